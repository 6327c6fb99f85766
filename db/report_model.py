"""The table of reports to GitHub and to other channels. `db.queue.outbox` reads and writes it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.columns import Base, BigId, EnumText, StorableText, one_of
from db.status import Reason, Status

IS_DUE = text("due_at IS NOT NULL")
IS_GIVEN_UP = text("outcome = 'gave_up'")


class Report(Base):
    """A change of a build's status that is reported to one channel.

    It copies the build's columns, so that a late report still shows the build at the time of the change.
    """

    __tablename__ = "report"
    __table_args__ = (
        one_of("status", Status, "status"),
        CheckConstraint("(settled_at IS NOT NULL) = (outcome IS NOT NULL)", name="outcome"),
        CheckConstraint("(settled_at IS NULL) = (due_at IS NOT NULL)", name="due"),
        # `claim` looks for due reports.
        Index("ix_report_due", "channel", "due_at", sqlite_where=IS_DUE, postgresql_where=IS_DUE),
        # `claim` looks for other unsent reports of the same commit.
        Index(
            "ix_report_commit",
            "channel",
            "repository_id",
            "commit",
            "id",
            sqlite_where=IS_DUE,
            postgresql_where=IS_DUE,
        ),
        # `remove_settled` looks for old reports.
        Index("ix_report_settled", "settled_at"),
        # `list_given_up` shows admins the reports that were given up.
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
    """Not a foreign key, whose check would lock the repository after the build, against the order of locks."""
    commit: Mapped[str] = mapped_column(String(64))
    channel: Mapped[str] = mapped_column(String(32))
    """The receiver; see `base.report_channels`."""
    status: Mapped[Status] = mapped_column(EnumText(Status))
    reason: Mapped[Reason | None] = mapped_column(EnumText(Reason))
    cause: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(StorableText)
    attempt: Mapped[int]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """When the report is to be sent; NULL after it is settled."""
    lease_expires_at: Mapped[datetime | None]
    """Set while a builder is sending the report."""
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """The fencing token of the builder that sends the report. It only grows."""
    outcome: Mapped[str | None] = mapped_column(String(16))
    """`delivered`, `overtaken` (a newer report replaced it), or `gave_up` (`error` explains why to admins)."""
    error: Mapped[str | None] = mapped_column(StorableText)
    """Why the last try to send it failed."""
    settled_at: Mapped[datetime | None]
