"""The tables, except for reports (`db.report_model`).

Constraints enforce the invariants of the records, so that no code can violate them.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.columns import Base, BigId, EnumText, StorableText, one_of
from db.status import ACTIVE, FINAL, Phase, Reason, Status, Trigger

# Literal text instead of bound parameters: PostgreSQL uses a partial index only if its condition matches
# literally.
IS_ACTIVE = text("status IN (" + ", ".join(f"'{s}'" for s in ACTIVE) + ")")
IS_QUEUED = text(f"status = '{Status.QUEUED}'")
IS_RUNNING = text(f"status = '{Status.RUNNING}'")
_FINAL_SQL = "status IN (" + ", ".join(f"'{s}'" for s in FINAL) + ")"
IS_FINAL = text(_FINAL_SQL)


def _history_index(name: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=IS_FINAL, postgresql_where=IS_FINAL)


class Repository(Base):
    """A repository at a provider."""

    __tablename__ = "repository"
    __table_args__ = (
        UniqueConstraint("provider", "name_key"),
        Index(
            "ix_repository_provider_id",
            "provider",
            "provider_id",
            unique=True,
            sqlite_where=text("provider_id IS NOT NULL"),
            postgresql_where=text("provider_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    provider: Mapped[str] = mapped_column(String(16))
    provider_id: Mapped[int | None] = mapped_column(BigInteger)
    """GitHub's id, which stays the same when the repository is renamed or transferred."""
    full_name: Mapped[str] = mapped_column(StorableText)
    """The name as the provider writes it, for display. For the provider `git`, the URL."""
    name_key: Mapped[str] = mapped_column(StorableText)
    """`full_name` normalized for lookups by `base.repository_names.name_key`: GitHub ignores case."""
    default_branch: Mapped[str | None] = mapped_column(StorableText)
    private: Mapped[bool] = mapped_column(default=False, server_default=false())
    private_known: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a delivery or GitHub's API confirmed the value of `private`."""
    described_at: Mapped[datetime | None]
    """When the provider wrote the description that last changed the name, default branch or visibility."""
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    """False after the provider deleted the repository."""
    webhook_since: Mapped[datetime | None]
    """Since when deliveries arrive without a known gap. Ref heads learnt since then are up to date."""
    created_at: Mapped[datetime]
    installation_id: Mapped[int | None] = mapped_column(BigInteger)
    """The installation of the GitHub App that sends the deliveries, if there is one."""


class RefHead(Base):
    """The last known commit of a ref, so that lookups need no network access."""

    __tablename__ = "ref_head"
    __table_args__ = (
        one_of("learnt_by", ("push", "ls-remote"), "learnt_by"),
        # `db.queue.supersede` checks whether another ref points at a commit.
        Index("ix_ref_head_commit", "repository_id", "commit"),
        # `ref_images.newest_of_refs`: the refs that stood at a commit before.
        Index("ix_ref_head_previous", "repository_id", "previous"),
    )

    repository_id: Mapped[int] = mapped_column(ForeignKey("repository.id"), primary_key=True)
    ref: Mapped[str] = mapped_column(StorableText, primary_key=True)
    """The full ref, such as refs/heads/main or refs/tags/v1."""
    commit: Mapped[str | None] = mapped_column(String(64))
    """NULL after the ref was deleted. The row stays, so that a late older push does not restore the ref."""
    previous: Mapped[str | None] = mapped_column(String(64))
    """The commit that `commit` replaced. It orders two pushes within the same second."""
    pushed_at: Mapped[datetime | None]
    learnt_at: Mapped[datetime]
    learnt_by: Mapped[str] = mapped_column(String(16))


class Build(Base):
    """A request for the image of a commit, and its result."""

    __tablename__ = "build"
    __table_args__ = (
        one_of("status", Status, "status"),
        one_of("reason", Reason, "reason"),
        one_of("phase", Phase, "phase"),
        one_of('"trigger"', Trigger, "trigger"),
        CheckConstraint(f"(finished_at IS NOT NULL) = ({_FINAL_SQL})", name="finished_at"),
        CheckConstraint("(lease_expires_at IS NOT NULL) = (status = 'running')", name="lease"),
        CheckConstraint("(worker IS NOT NULL) OR (status <> 'running')", name="worker"),
        CheckConstraint("(reason IS NOT NULL) = (status IN ('failed', 'cancelled'))", name="has_reason"),
        CheckConstraint("attempt >= 0 AND attempt <= max_attempts", name="attempt"),
        # At most one active build for each image: `enqueue` joins it.
        Index(
            "uq_build_active",
            "repository_id",
            "commit",
            "recipe",
            unique=True,
            sqlite_where=IS_ACTIVE,
            postgresql_where=IS_ACTIVE,
        ),
        # `claim` reads queued builds in this order.
        Index(
            "ix_build_claim",
            "priority",
            "id",
            sqlite_where=IS_QUEUED,
            postgresql_where=IS_QUEUED,
        ),
        # `reap` looks for expired leases.
        Index(
            "ix_build_lease",
            "lease_expires_at",
            sqlite_where=IS_RUNNING,
            postgresql_where=IS_RUNNING,
        ),
        # Pages and lists of builds, newest first, by repository and by ref.
        Index("ix_build_repository", "repository_id", "ref", "id"),
        Index("ix_build_commit", "repository_id", "commit", "id"),
        # `quota.find_excess` counts the recent builds of a user.
        Index(
            "ix_build_requested_by",
            "requested_by",
            "created_at",
            sqlite_where=text("requested_by IS NOT NULL"),
            postgresql_where=text("requested_by IS NOT NULL"),
        ),
        # `history.page` by status, trigger or both: for all repositories, for one repository, and for one ref.
        # They contain only ended builds, so pushes and claims do not update them.
        _history_index("ix_build_history", "status", "trigger", "id"),
        _history_index("ix_build_history_repository", "repository_id", "status", "trigger", "id"),
        _history_index("ix_build_history_ref", "repository_id", "ref", "status", "trigger", "id"),
        # `history.builds_by_commit_prefix` finds builds in all repositories by an abbreviated SHA.
        Index("ix_build_commit_prefix", "commit"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repository.id"))
    ref: Mapped[str] = mapped_column(StorableText)
    """The full ref, such as refs/heads/main; empty for a bare commit."""
    commit: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[Trigger] = mapped_column(EnumText(Trigger))
    requested_by: Mapped[str | None] = mapped_column(StorableText)
    priority: Mapped[int]
    status: Mapped[Status] = mapped_column(EnumText(Status))
    reason: Mapped[Reason | None] = mapped_column(EnumText(Reason))
    cause: Mapped[str | None] = mapped_column(String(40))
    """A short code of the failure, such as package_not_found."""
    message: Mapped[str | None] = mapped_column(StorableText)
    """The explanation of the outcome for users, in one line."""
    phase: Mapped[Phase | None] = mapped_column(EnumText(Phase))
    attempt: Mapped[int] = mapped_column(default=0)
    """The fencing token. It only grows: a builder that claimed another attempt has lost the build."""
    max_attempts: Mapped[int] = mapped_column(default=3)
    run_after: Mapped[datetime]
    worker: Mapped[str | None] = mapped_column(StorableText)
    lease_expires_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    cancelled_by: Mapped[str | None] = mapped_column(StorableText)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    fetching_at: Mapped[datetime | None]
    building_at: Mapped[datetime | None]
    pushing_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    pushed_at: Mapped[datetime | None]
    """GitHub's time of the push. It orders pushes, because deliveries arrive in any order."""
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    superseded_by: Mapped[int | None] = mapped_column(ForeignKey("build.id"))
    force: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Build even if the image exists."""
    commit_title: Mapped[str | None] = mapped_column(StorableText)
    commit_author: Mapped[str | None] = mapped_column(StorableText)

    repository: Mapped[Repository] = relationship(lazy="raise")


class Delivery(Base):
    """A webhook delivery and its outcome. GitHub's GUID identifies redeliveries, which change nothing."""

    __tablename__ = "delivery"
    __table_args__ = (Index("ix_delivery_repository", "repository_id", "received_at"),)

    guid: Mapped[str] = mapped_column(String(128), primary_key=True)
    event: Mapped[str] = mapped_column(String(64))
    action: Mapped[str | None] = mapped_column(String(64))
    repository_id: Mapped[int | None] = mapped_column(ForeignKey("repository.id"))
    ref: Mapped[str | None] = mapped_column(StorableText)
    commit: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str | None] = mapped_column(StorableText)
    build_id: Mapped[int | None] = mapped_column(ForeignKey("build.id"))
    received_at: Mapped[datetime]


class Image(Base):
    """An existing image, identified by its repository, commit and recipe."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("repository_id", "commit", "recipe"),
        # `ref_images.newest_of_refs`: the newest images of a recipe.
        Index("ix_image_recipe", "recipe", "build_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repository.id"))
    commit: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(16))
    build_id: Mapped[int] = mapped_column(ForeignKey("build.id"), index=True)
    name: Mapped[str] = mapped_column(StorableText)
    digest: Mapped[str | None] = mapped_column(String(80))
    """The digest of the manifest in the registry, or the engine's image id if the image was not pushed."""
    size: Mapped[int | None] = mapped_column(BigInteger)
    """The size in bytes in the builder's engine."""
    built_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class ImageTotal(Base):
    """The number of images and their total size in one row, which triggers update: see migration 0005."""

    __tablename__ = "image_total"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    images: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    """Layers that images share count once per image."""


class EndedTotal(Base):
    """The ended builds that the metrics have counted, in one row; see `db.records.ended_totals`."""

    __tablename__ = "ended_total"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    settled_to: Mapped[int] = mapped_column(BigInteger)
    unfinished: Mapped[str] = mapped_column(Text)
    """JSON: ids of builds."""
    counts: Mapped[str] = mapped_column(Text)
    """JSON: status, provider, seconds, number of builds."""


class LogChunk(Base):
    """A part of a build's log. Resending a chunk changes nothing. A new attempt starts a new log."""

    __tablename__ = "log_chunk"

    build_id: Mapped[int] = mapped_column(ForeignKey("build.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(StorableText)
    created_at: Mapped[datetime]


class Builder(Base):
    """A builder process, recorded only to show it to admins: the queue does not depend on it."""

    __tablename__ = "builder"

    name: Mapped[str] = mapped_column(StorableText, primary_key=True)
    """The value of `worker` in the builds that it runs."""
    slots: Mapped[int]
    version: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """When the builder last recorded its presence."""
