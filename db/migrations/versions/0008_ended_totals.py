"""The builds that the metrics have counted, so that a process that starts does not count all of them again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_total",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("settled_to", sa.BigInteger(), nullable=False),
        sa.Column("unfinished", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_ended_total_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ended_total")),
    )


def downgrade() -> None:
    op.drop_table("ended_total")
