"""Describe a build as a GitHub commit status: a state, one line and a link. Pure.

GitHub has the states pending, success, failure and error. A cancelled or superseded build leaves the commit
pending, with a line that says why: success would claim that there is an image, and satisfy a branch protection
that waits for it; failure would blame the commit. A status that is set twice shows once, since GitHub shows the
newest of each context.
"""

from dataclasses import dataclass

from base.sanitize import one_line
from db.models import Build
from db.report_model import Report
from db.status import Reason, Status

CONTEXT = "repo2hub"
MAX_DESCRIPTION = 140
"""Characters, according to GitHub's documentation of commit statuses."""

_ERROR_REASONS = (Reason.INFRASTRUCTURE, Reason.LOST)


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """A commit status; `state` is one of GitHub's."""

    state: str
    description: str
    target_url: str | None

    def body(self) -> dict[str, str]:
        """Return the JSON of the request."""
        body = {"state": self.state, "description": self.description, "context": CONTEXT}
        return body | ({"target_url": self.target_url} if self.target_url else {})


def status_of_report(report: Report, build: Build, public_url: str | None) -> CommitStatus:
    """Return the status for a report, with a link to the build's page if `public_url` is set."""
    state, description = _STATES[report.status](report, build)
    target = f"{public_url}/builds/{build.id}" if public_url else None
    return CommitStatus(state, one_line(description, MAX_DESCRIPTION), target)


def _queued(report: Report, _build: Build) -> tuple[str, str]:
    if report.attempt and report.message:
        return "pending", f"Retrying: {report.message}"
    return "pending", "Building the image."


def _succeeded(_report: Report, build: Build) -> tuple[str, str]:
    if build.started_at is None or build.finished_at is None:
        return "success", "Image ready."
    seconds = max(0, round((build.finished_at - build.started_at).total_seconds()))
    minutes, rest = divmod(seconds, 60)
    return "success", f"Image ready after {f'{minutes} min {rest} s' if minutes else f'{rest} s'}."


def _failed(report: Report, _build: Build) -> tuple[str, str]:
    state = "error" if report.reason in _ERROR_REASONS else "failure"
    return state, report.message or "The build failed."


def _cancelled(report: Report, _build: Build) -> tuple[str, str]:
    return "pending", f"Not built: {report.message or 'the build was cancelled.'}"


_STATES = {
    Status.QUEUED: _queued,
    Status.RUNNING: _queued,
    Status.SUCCEEDED: _succeeded,
    Status.FAILED: _failed,
    Status.CANCELLED: _cancelled,
}
