"""Totals for the overview at a constant cost: the size of all images, and the reports that were given up.

Triggers update the total instead of our code, so that changes by the previous release and by hand count too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_GAVE_UP = "outcome = 'gave_up'"

# SQLite only has triggers for each row.
_SQLITE = {
    "image_total_insert": """AFTER INSERT ON image BEGIN
        UPDATE image_total SET images = images + 1, bytes = bytes + coalesce(NEW.size, 0); END""",
    "image_total_update": """AFTER UPDATE OF size ON image WHEN OLD.size IS NOT NEW.size BEGIN
        UPDATE image_total SET bytes = bytes + coalesce(NEW.size, 0) - coalesce(OLD.size, 0); END""",
    "image_total_delete": """AFTER DELETE ON image BEGIN
        UPDATE image_total SET images = images - 1, bytes = bytes - coalesce(OLD.size, 0); END""",
}

# One update for each statement, so that a COPY of many rows updates the total once. Changes of the size come one row at
# a time. Changes of `last_used_at`, which lookups make, run no trigger.
_FUNCTION = """
    CREATE FUNCTION keep_image_total() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO image_total (id, images, bytes)
                SELECT 1, count(*), coalesce(sum(size), 0) FROM changed HAVING count(*) > 0
                ON CONFLICT (id) DO UPDATE
                SET images = image_total.images + excluded.images, bytes = image_total.bytes + excluded.bytes;
        ELSIF TG_OP = 'UPDATE' THEN
            UPDATE image_total SET bytes = bytes + coalesce(NEW.size, 0) - coalesce(OLD.size, 0);
        ELSIF TG_OP = 'DELETE' THEN
            UPDATE image_total SET images = images - gone.count, bytes = bytes - gone.sum
                FROM (SELECT count(*), coalesce(sum(size), 0) AS sum FROM changed) AS gone
                WHERE gone.count > 0;
        ELSE
            DELETE FROM image_total;
        END IF;
        RETURN NULL;
    END $$
"""
_POSTGRESQL = {
    "image_total_insert": "AFTER INSERT ON image REFERENCING NEW TABLE AS changed FOR EACH STATEMENT",
    "image_total_update": """AFTER UPDATE OF size ON image FOR EACH ROW
        WHEN (OLD.size IS DISTINCT FROM NEW.size)""",
    "image_total_delete": "AFTER DELETE ON image REFERENCING OLD TABLE AS changed FOR EACH STATEMENT",
    "image_total_truncate": "AFTER TRUNCATE ON image FOR EACH STATEMENT",
}


def upgrade() -> None:
    op.create_table(
        "image_total",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_image_total_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_total")),
    )
    # Create the triggers first: on PostgreSQL that locks the images until the current total is inserted.
    if _is_sqlite():
        for name, what in _SQLITE.items():
            op.execute(f"CREATE TRIGGER {name} {what}")
    else:
        op.execute(_FUNCTION)
        for name, what in _POSTGRESQL.items():
            op.execute(f"CREATE TRIGGER {name} {what} EXECUTE FUNCTION keep_image_total()")
    op.execute(
        "INSERT INTO image_total (id, images, bytes) SELECT 1, count(*), coalesce(sum(size), 0) FROM image"
    )
    op.create_index(
        "ix_report_gave_up",
        "report",
        ["settled_at"],
        sqlite_where=sa.text(_GAVE_UP),
        postgresql_where=sa.text(_GAVE_UP),
    )


def downgrade() -> None:
    op.drop_index("ix_report_gave_up", "report")
    if _is_sqlite():
        for name in _SQLITE:
            op.execute(f"DROP TRIGGER {name}")
    else:
        op.execute("DROP FUNCTION keep_image_total() CASCADE")
    op.drop_table("image_total")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
