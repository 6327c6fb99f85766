"""What must be known where users differ: whether a repository is private, and who asked for how much."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    known: sa.Column[bool] = sa.Column(
        "private_known", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    # Not in a batch: that makes the table anew on SQLite, which what refers to it forbids.
    op.add_column("repository", known)
    # Only deliveries have told it so far, and they tell the number too.
    op.execute(sa.text("UPDATE repository SET private_known = true WHERE provider_id IS NOT NULL"))
    op.create_index(
        "ix_build_requested_by",
        "build",
        ["requested_by", "created_at"],
        sqlite_where=sa.text("requested_by IS NOT NULL"),
        postgresql_where=sa.text("requested_by IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_build_requested_by", "build")
    op.drop_column("repository", "private_known")
