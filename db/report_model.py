"""The table of what is to be told of builds, to GitHub and to others; `db/queue/outbox.py` is its story."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.columns import Base, BigId, EnumText, StorableText, one_of
from db.status import Reason, Status

IS_DUE = text("due_at IS NOT NULL")
IS_GIVEN_UP = text("outcome = 'gave_up'")


class Report(Base):
    """A change of a build's status that is to be told to somebody.

    What it says is a copy of the build as it was: a notification that is late still tells of its own moment.
    """

    __tablename__ = "report"
    __table_args__ = (
        one_of("status", Status, "status"),
        CheckConstraint("(settled_at IS NOT NULL) = (outcome IS NOT NULL)", name="outcome"),
        CheckConstraint("(settled_at IS NULL) = (due_at IS NOT NULL)", name="due"),
        # `claim` takes what is due.
        Index("ix_report_due", "channel", "due_at", sqlite_where=IS_DUE, postgresql_where=IS_DUE),
        # And asks what else is to be told of the same commit.
        Index(
            "ix_report_commit",
            "channel",
            "repository_id",
            "commit",
            "id",
            sqlite_where=IS_DUE,
            postgresql_where=IS_DUE,
        ),
        # Housekeeping.
        Index("ix_report_settled", "settled_at"),
        # An admin who looks for what could not be told.
        Index(
            "ix_report_gave_up",
            "settled_at",
            sqlite_where=IS_GIVEN_UP,
            postgresql_where=IS_GIVEN_UP,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    build_id: Mapped[int] = mapped_column(ForeignKey("build.id"))
    repository_id: Mapped[int] = mapped_column(BigId)
    """Not a foreign key: its check would lock the repository after the build, against the order of locks."""
    commit: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(32))
    """Who is told; see `base.report_channels`."""
    status: Mapped[Status] = mapped_column(EnumText(Status))
    reason: Mapped[Reason | None] = mapped_column(EnumText(Reason))
    cause: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(StorableText)
    attempt: Mapped[int]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """When it is to be told; NULL once it is settled."""
    lease_expires_at: Mapped[datetime | None]
    """Set while somebody is telling it."""
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Only grows; it is the fencing token of who is telling it."""
    outcome: Mapped[str | None] = mapped_column(String(16))
    """delivered; overtaken by a newer one; gave_up, with `error` for an admin to read."""
    error: Mapped[str | None] = mapped_column(StorableText)
    """Why the last try failed."""
    settled_at: Mapped[datetime | None]
