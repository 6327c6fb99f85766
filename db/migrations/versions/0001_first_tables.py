"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "repository",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("provider_id", sa.BigInteger(), nullable=True),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("default_branch", sa.Text(), nullable=True),
        sa.Column("private", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("webhook_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository")),
        sa.UniqueConstraint("provider", "name_key", name=op.f("uq_repository_provider_name_key")),
    )
    with op.batch_alter_table("repository", schema=None) as batch_op:
        batch_op.create_index(
            "ix_repository_provider_id",
            ["provider", "provider_id"],
            unique=True,
            sqlite_where=sa.text("provider_id IS NOT NULL"),
            postgresql_where=sa.text("provider_id IS NOT NULL"),
        )

    op.create_table(
        "build",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(length=16), nullable=False),
        sa.Column("trigger", sa.String(24), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(24), nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("phase", sa.String(24), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fetching_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("building_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pushing_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("superseded_by", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("force", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("commit_title", sa.Text(), nullable=True),
        sa.Column("commit_author", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled'))",
            name=op.f("ck_build_finished_at"),
        ),
        sa.CheckConstraint(
            "(lease_expires_at IS NOT NULL) = (status = 'running')", name=op.f("ck_build_lease")
        ),
        sa.CheckConstraint(
            "(reason IS NOT NULL) = (status IN ('failed', 'cancelled'))", name=op.f("ck_build_has_reason")
        ),
        sa.CheckConstraint("(worker IS NOT NULL) OR (status <> 'running')", name=op.f("ck_build_worker")),
        sa.CheckConstraint("phase IN ('fetching', 'building', 'pushing')", name=op.f("ck_build_phase")),
        sa.CheckConstraint(
            "reason IN ('user_error', 'time_limit', 'memory_limit', 'infrastructure', 'lost', 'requested', 'superseded', 'ref_deleted', 'repository_gone')",
            name=op.f("ck_build_reason"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_build_status"),
        ),
        sa.CheckConstraint("\"trigger\" IN ('push', 'launch', 'manual')", name=op.f("ck_build_trigger")),
        sa.CheckConstraint("attempt >= 0 AND attempt <= max_attempts", name=op.f("ck_build_attempt")),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name=op.f("fk_build_repository_id")),
        sa.ForeignKeyConstraint(["superseded_by"], ["build.id"], name=op.f("fk_build_superseded_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_build")),
    )
    with op.batch_alter_table("build", schema=None) as batch_op:
        batch_op.create_index(
            "ix_build_claim",
            ["priority", "id"],
            unique=False,
            sqlite_where=sa.text("status = 'queued'"),
            postgresql_where=sa.text("status = 'queued'"),
        )
        batch_op.create_index("ix_build_commit", ["repository_id", "commit", "id"], unique=False)
        batch_op.create_index(
            "ix_build_lease",
            ["lease_expires_at"],
            unique=False,
            sqlite_where=sa.text("status = 'running'"),
            postgresql_where=sa.text("status = 'running'"),
        )
        batch_op.create_index("ix_build_repository", ["repository_id", "ref", "id"], unique=False)
        batch_op.create_index(
            "uq_build_active",
            ["repository_id", "commit", "recipe"],
            unique=True,
            sqlite_where=sa.text("status IN ('queued', 'running')"),
            postgresql_where=sa.text("status IN ('queued', 'running')"),
        )

    op.create_table(
        "ref_head",
        sa.Column("repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("learnt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("learnt_by", sa.String(length=16), nullable=False),
        sa.CheckConstraint("learnt_by IN ('push', 'ls-remote')", name=op.f("ck_ref_head_learnt_by")),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name=op.f("fk_ref_head_repository_id")),
        sa.PrimaryKeyConstraint("repository_id", "ref", name=op.f("pk_ref_head")),
    )
    with op.batch_alter_table("ref_head", schema=None) as batch_op:
        batch_op.create_index("ix_ref_head_commit", ["repository_id", "commit"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("guid", sa.String(length=128), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=True),
        sa.Column("repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("ref", sa.Text(), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("build_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["build.id"], name=op.f("fk_delivery_build_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name=op.f("fk_delivery_repository_id")),
        sa.PrimaryKeyConstraint("guid", name=op.f("pk_delivery")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_repository", ["repository_id", "received_at"], unique=False)

    op.create_table(
        "image",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.String(length=16), nullable=False),
        sa.Column("build_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("built_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["build_id"], ["build.id"], name=op.f("fk_image_build_id")),
        sa.ForeignKeyConstraint(["repository_id"], ["repository.id"], name=op.f("fk_image_repository_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint(
            "repository_id", "commit", "recipe", name=op.f("uq_image_repository_id_commit_recipe")
        ),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_build_id"), ["build_id"], unique=False)

    op.create_table(
        "log_chunk",
        sa.Column("build_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["build.id"], name=op.f("fk_log_chunk_build_id")),
        sa.PrimaryKeyConstraint("build_id", "attempt", "seq", name=op.f("pk_log_chunk")),
    )


def downgrade() -> None:
    op.drop_table("log_chunk")
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_build_id"))

    op.drop_table("image")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index("ix_delivery_repository")

    op.drop_table("delivery")
    with op.batch_alter_table("ref_head", schema=None) as batch_op:
        batch_op.drop_index("ix_ref_head_commit")

    op.drop_table("ref_head")
    with op.batch_alter_table("build", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_build_active",
            sqlite_where=sa.text("status IN ('queued', 'running')"),
            postgresql_where=sa.text("status IN ('queued', 'running')"),
        )
        batch_op.drop_index("ix_build_repository")
        batch_op.drop_index(
            "ix_build_lease",
            sqlite_where=sa.text("status = 'running'"),
            postgresql_where=sa.text("status = 'running'"),
        )
        batch_op.drop_index("ix_build_commit")
        batch_op.drop_index(
            "ix_build_claim",
            sqlite_where=sa.text("status = 'queued'"),
            postgresql_where=sa.text("status = 'queued'"),
        )

    op.drop_table("build")
    with op.batch_alter_table("repository", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_repository_provider_id",
            sqlite_where=sa.text("provider_id IS NOT NULL"),
            postgresql_where=sa.text("provider_id IS NOT NULL"),
        )

    op.drop_table("repository")
