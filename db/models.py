"""The tables, but for that of the reports (`db/report_model.py`).

What must never happen is forbidden here, by constraints, so that no code can forget it.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.columns import Base, BigId, EnumText, StorableText, one_of
from db.status import ACTIVE, FINAL, Phase, Reason, Status, Trigger

# Spelt out, not bound as parameters: PostgreSQL recognises a partial index only by its own words.
IS_ACTIVE = text("status IN (" + ", ".join(f"'{s}'" for s in ACTIVE) + ")")
IS_QUEUED = text(f"status = '{Status.QUEUED}'")
IS_RUNNING = text(f"status = '{Status.RUNNING}'")
_FINAL_SQL = "status IN (" + ", ".join(f"'{s}'" for s in FINAL) + ")"
IS_FINAL = text(_FINAL_SQL)


def _history_index(name: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=IS_FINAL, postgresql_where=IS_FINAL)


class Repository(Base):
    """A repository at the provider; `provider_id`, GitHub's number, survives a rename or a transfer."""

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
    full_name: Mapped[str] = mapped_column(StorableText)
    """As the provider writes it, for display; of the provider `git`, the address."""
    name_key: Mapped[str] = mapped_column(StorableText)
    """`full_name` for look-ups, see `repositories.name_key`: GitHub's names are case-insensitive."""
    default_branch: Mapped[str | None] = mapped_column(StorableText)
    private: Mapped[bool] = mapped_column(default=False, server_default=false())
    private_known: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a delivery or GitHub itself said that it is `private` or not; until then nobody knows."""
    described_at: Mapped[datetime | None]
    """When the provider wrote the description that last changed its name, default branch or visibility here."""
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    """False once the repository was deleted at the provider."""
    webhook_since: Mapped[datetime | None]
    """Since when deliveries arrive without a known gap; a ref head learnt after it needs no asking."""
    created_at: Mapped[datetime]
    installation_id: Mapped[int | None] = mapped_column(BigInteger)
    """The installation of our GitHub App that its deliveries come from, where there is one."""


class RefHead(Base):
    """The commit that a ref stood at when it was last heard of: the reason a lookup needs no network."""

    __tablename__ = "ref_head"
    __table_args__ = (
        one_of("learnt_by", ("push", "ls-remote"), "learnt_by"),
        # "supersede" asks whether another ref still needs a commit.
        Index("ix_ref_head_commit", "repository_id", "commit"),
    )

    repository_id: Mapped[int] = mapped_column(ForeignKey("repository.id"), primary_key=True)
    ref: Mapped[str] = mapped_column(StorableText, primary_key=True)
    """In full: refs/heads/main, refs/tags/v1."""
    commit: Mapped[str | None] = mapped_column(String(64))
    """NULL once the ref was deleted; the row stays, so that a late older push does not revive it."""
    previous: Mapped[str | None] = mapped_column(String(64))
    """What `commit` replaced, by the push or the answer that set it; it orders two pushes of one second."""
    pushed_at: Mapped[datetime | None]
    learnt_at: Mapped[datetime]
    learnt_by: Mapped[str] = mapped_column(String(16))


class Build(Base):
    """One wish to have the image of a commit, and what became of it."""

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
        # One active build for each thing that can be wanted: `enqueue` joins it.
        Index(
            "uq_build_active",
            "repository_id",
            "commit",
            "recipe",
            unique=True,
            sqlite_where=IS_ACTIVE,
            postgresql_where=IS_ACTIVE,
        ),
        # `claim` reads it in this order; finished builds are not in it.
        Index(
            "ix_build_claim",
            "priority",
            "id",
            sqlite_where=IS_QUEUED,
            postgresql_where=IS_QUEUED,
        ),
        # `reap` looks for leases that ran out.
        Index(
            "ix_build_lease",
            "lease_expires_at",
            sqlite_where=IS_RUNNING,
            postgresql_where=IS_RUNNING,
        ),
        # Pages and the list of builds, newest first, by repository and by ref.
        Index("ix_build_repository", "repository_id", "ref", "id"),
        Index("ix_build_commit", "repository_id", "commit", "id"),
        # How much one person has asked for lately: limits per user.
        Index(
            "ix_build_requested_by",
            "requested_by",
            "created_at",
            sqlite_where=text("requested_by IS NOT NULL"),
            postgresql_where=text("requested_by IS NOT NULL"),
        ),
        # `db.queries.history.page` with a state or a trigger (or both), of all repositories, of one, and of one's ref.
        # Only what has ended is in them: a push and a claim do not pay for them.
        _history_index("ix_build_history", "status", "trigger", "id"),
        _history_index("ix_build_history_repository", "repository_id", "status", "trigger", "id"),
        _history_index("ix_build_history_ref", "repository_id", "ref", "status", "trigger", "id"),
        # `db.queries.history.of_commit`: the builds of a commit by the beginning of its SHA, whatever the repository.
        Index("ix_build_commit_prefix", "commit"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repository.id"))
    ref: Mapped[str] = mapped_column(StorableText)
    """In full where one is known: refs/heads/main; empty for a bare commit."""
    commit: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[Trigger] = mapped_column(EnumText(Trigger))
    requested_by: Mapped[str | None] = mapped_column(StorableText)
    priority: Mapped[int]
    status: Mapped[Status] = mapped_column(EnumText(Status))
    reason: Mapped[Reason | None] = mapped_column(EnumText(Reason))
    cause: Mapped[str | None] = mapped_column(String(40))
    """A short code of what went wrong, such as package_not_found."""
    message: Mapped[str | None] = mapped_column(StorableText)
    """The one line that explains the outcome to a person."""
    phase: Mapped[Phase | None] = mapped_column(EnumText(Phase))
    attempt: Mapped[int] = mapped_column(default=0)
    """Only grows; it is the fencing token: a worker whose attempt is not this one has lost the build."""
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
    """GitHub's time of the push: the order of pushes, whatever order they arrived in."""
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    superseded_by: Mapped[int | None] = mapped_column(ForeignKey("build.id"))
    force: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Build although an image exists."""
    commit_title: Mapped[str | None] = mapped_column(StorableText)
    commit_author: Mapped[str | None] = mapped_column(StorableText)

    repository: Mapped[Repository] = relationship(lazy="raise")


class Delivery(Base):
    """One webhook delivery and what became of it; GitHub's GUID makes a redelivery a no-op."""

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
    """An image that is there, by what it was made of."""

    __tablename__ = "image"
    __table_args__ = (UniqueConstraint("repository_id", "commit", "recipe"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    repository_id: Mapped[int] = mapped_column(ForeignKey("repository.id"))
    commit: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(16))
    build_id: Mapped[int] = mapped_column(ForeignKey("build.id"), index=True)
    name: Mapped[str] = mapped_column(StorableText)
    digest: Mapped[str | None] = mapped_column(String(80))
    """The manifest's digest in the registry; the engine's image id where nothing was pushed."""
    size: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes in the local engine."""
    built_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class ImageTotal(Base):
    """How many images there are and their bytes, in one row that triggers keep: see migration 0005."""

    __tablename__ = "image_total"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    images: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    """Layers that images share are in it as often as they are shared."""


class LogChunk(Base):
    """A piece of a build's output. A resend of a chunk changes nothing; a new attempt starts clean."""

    __tablename__ = "log_chunk"

    build_id: Mapped[int] = mapped_column(ForeignKey("build.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(StorableText)
    created_at: Mapped[datetime]


class Builder(Base):
    """A process that looks for builds, for the eyes of admins: nothing is decided by it."""

    __tablename__ = "builder"

    name: Mapped[str] = mapped_column(StorableText, primary_key=True)
    """What stands as `worker` on the builds that it runs."""
    slots: Mapped[int]
    version: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """When it last said that it lives."""
