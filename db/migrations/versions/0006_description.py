"""The time of a repository's description, so that a late delivery neither undoes a rename nor exposes a private one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("repository", sa.Column("described_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("repository", "described_at")
