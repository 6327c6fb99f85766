"""Status pages: indexes of ended builds, and the presence of builders."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FINAL = "status IN ('succeeded', 'failed', 'cancelled')"
_HISTORY = {
    "ix_build_history": ["status", "trigger", "id"],
    "ix_build_history_repository": ["repository_id", "status", "trigger", "id"],
    "ix_build_history_ref": ["repository_id", "ref", "status", "trigger", "id"],
}


def upgrade() -> None:
    op.create_table(
        "builder",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_builder")),
    )
    for name, columns in _HISTORY.items():
        op.create_index(
            name, "build", columns, sqlite_where=sa.text(_FINAL), postgresql_where=sa.text(_FINAL)
        )
    op.create_index("ix_build_commit_prefix", "build", ["commit"])


def downgrade() -> None:
    op.drop_index("ix_build_commit_prefix", "build")
    for name in reversed(_HISTORY):
        op.drop_index(name, "build")
    op.drop_table("builder")
