"""Indexes for the list of the newest image of each ref, so that it does not read all images."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_image_recipe", "image", ["recipe", "build_id"])
    op.create_index("ix_ref_head_previous", "ref_head", ["repository_id", "previous"])


def downgrade() -> None:
    op.drop_index("ix_ref_head_previous", "ref_head")
    op.drop_index("ix_image_recipe", "image")
