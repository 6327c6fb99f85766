"""Permissions and quotas: whether the visibility of a repository is known, and the builds of each user."""

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
    # Not in a batch, which recreates the table on SQLite: foreign keys that refer to it forbid that.
    op.add_column("repository", known)
    # So far only deliveries set the visibility, and they also set the provider's id.
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
