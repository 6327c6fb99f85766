"""The seam for whoever is notified of builds: a git provider's commit statuses, or any URL.

NotifyError
├── TransientNotifyError  an outage or a rate limit: retried
└── PermanentNotifyError  a wrong token, an unknown repository: an admin has to fix something, so not retried
"""

from typing import Protocol

from db.models import Build
from db.report_model import Report


class NotifyError(Exception):
    """A report was not delivered. The text is one line that says why, without any URL or token: it is stored."""


class TransientNotifyError(NotifyError):
    """The report has to be delivered later, after at least `wait` seconds if that is known.

    `blocks_scope` names what else must wait: "" for the whole channel, else a `Notifier.scope`; None for this
    report alone.
    """

    def __init__(self, text: str, *, wait: float | None = None, blocks_scope: str | None = None) -> None:
        super().__init__(text)
        self.wait, self.blocks_scope = wait, blocks_scope


class PermanentNotifyError(NotifyError):
    """The report cannot be delivered until somebody fixes something."""


class Notifier(Protocol):
    """Delivers the reports of one channel."""

    def scope(self, build: Build) -> str:
        """Return the rate limit group of a build's reports; "" if the whole channel is one group."""

    def notify(self, report: Report, build: Build) -> None:
        """Deliver a report. Raises NotifyError. The report may have been delivered before."""
