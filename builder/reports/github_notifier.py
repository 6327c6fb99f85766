"""Set commit statuses through GitHub's API, with a token or as a GitHub App, within GitHub's rate limits.

See "REST API endpoints for commit statuses" and "Rate limits for the REST API" in GitHub's documentation.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import requests

from base.sanitize import one_line
from builder.reports import commit_status
from builder.reports.commit_status import CONTEXT, CommitStatus
from builder.reports.github_app import GitHubApp, bearer
from builder.reports.http_client import Authenticate, HttpClient, json_or_none, retry_after
from builder.reports.notifier import NotifyError, PermanentNotifyError, TransientNotifyError
from builder.settings import BuilderSettings
from db.models import Build
from db.report_model import Report

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_DEFAULT_WAIT = 60.0  # seconds to wait if GitHub limits requests without saying for how long
_MAX_WAIT = 2 * 3600.0


class GitHubStatusNotifier:
    """Sets commit statuses. Implements `builder.reports.notifier.Notifier`."""

    def __init__(self, settings: BuilderSettings, http: HttpClient, clock: Callable[[], datetime]) -> None:
        self._api = settings.api_url(settings.github_url)
        self._public_url = settings.public_url
        self._http = http
        self._clock = clock
        token, key = settings.github_status_token, settings.github_app_private_key
        self._token = token.get_secret_value() if token else ""
        self._app: GitHubApp | None = None
        if settings.github_app_id is not None and key is not None:
            self._app = GitHubApp(
                settings.github_app_id, key.get_secret_value(), self._call, self._error_from, clock
            )

    def scope(self, build: Build) -> str:
        """Return the rate limit group: all repositories of a token, or those of one installation."""
        return "" if self._app is None else build.repository.full_name.partition("/")[0].lower()

    def notify(self, report: Report, build: Build) -> None:
        """Set the status on the commit. Raises NotifyError."""
        status = commit_status.status_of_report(report, build, self._public_url)
        token = self._access_token(build)
        try:
            self._set(status, report, build, token)
        except _TokenRefused:
            if self._app is None:
                raise
            # A token may end early: the App's permissions changed, or it was reinstalled.
            self._app.discard(token)
            self._set(status, report, build, self._access_token(build))

    def _access_token(self, build: Build) -> str:
        if self._app is None:
            return self._token
        return self._app.token(build.repository.full_name, build.repository.installation_id)

    def _set(self, status: CommitStatus, report: Report, build: Build, token: str) -> None:
        path = f"/repos/{build.repository.full_name}"
        # The result of an earlier try may be unknown: its answer was lost, or its sender died. And a push that
        # found an image (`db.queue.outbox.note_existing_image`) may be the first or the hundredth to this
        # commit.
        if report.tries > 1 and self._is_already_set(
            status, f"{path}/commits/{report.commit}/statuses", token
        ):
            return
        answer = self._call("POST", f"{path}/statuses/{report.commit}", bearer(token), json=status.body())
        if answer.status_code != 201:
            raise self._error_from(answer, self.scope(build))

    def _is_already_set(self, status: CommitStatus, path: str, token: str) -> bool:
        """Return whether the commit already has this status; False if GitHub does not say."""
        answer = self._call("GET", path, bearer(token), params={"per_page": 100})
        if answer.status_code != 200:
            return False
        ours = [one for one in _list(answer) if isinstance(one, dict) and one.get("context") == CONTEXT]
        return bool(ours) and status.body().items() <= ours[0].items()

    def _call(self, method: str, path: str, authenticate: Authenticate, **request: Any) -> requests.Response:
        return self._http.send(method, f"{self._api}{path}", authenticate, headers=_HEADERS, **request)

    def _error_from(self, answer: requests.Response, scope: str = "") -> NotifyError:
        """Return the error for an answer that is no success."""
        message = _message(answer)
        code = answer.status_code
        if code == 429 or (code == 403 and _is_limit(answer, message)):
            return TransientNotifyError(
                f"GitHub limits requests: {message}", wait=self._wait(answer), blocks_scope=scope
            )
        if code >= 500:
            return TransientNotifyError(
                f"GitHub answered {code}: {message}", wait=retry_after(answer), blocks_scope=""
            )
        if code == 401:
            return _TokenRefused("GitHub rejected the token: it is wrong, expired or revoked")
        if 300 <= code < 400:
            return TransientNotifyError(
                "the repository was renamed; its next push or Repositories event brings the new name"
            )
        return PermanentNotifyError(f"GitHub answered {code}: {message}. {_FIXES.get(code, '')}".strip())

    def _wait(self, answer: requests.Response) -> float:
        """Return how many seconds to wait before the next request."""
        if (seconds := retry_after(answer)) is not None:
            return min(seconds, _MAX_WAIT)
        reset = answer.headers.get("X-RateLimit-Reset", "")
        if answer.headers.get("X-RateLimit-Remaining") == "0" and reset.isascii() and reset.isdigit():
            until = int(reset[:12]) - self._clock().timestamp()
            return min(max(until, 1.0), _MAX_WAIT)
        return _DEFAULT_WAIT


class _TokenRefused(PermanentNotifyError):
    pass


_FIXES = {
    403: "The token or App needs write access to commit statuses of this repository.",
    404: "The token or App has no access to this repository, or the repository was deleted.",
    422: "GitHub does not have the commit, or it has reached the limit of 1000 statuses.",
}


def _is_limit(answer: requests.Response, message: str) -> bool:
    return (
        answer.headers.get("X-RateLimit-Remaining") == "0"
        or "Retry-After" in answer.headers
        or "rate limit" in message.lower()
    )


def _message(answer: requests.Response) -> str:
    content = json_or_none(answer)
    message = content.get("message") if isinstance(content, dict) else None
    return one_line(message, 200) if isinstance(message, str) else "no reason given"


def _list(answer: requests.Response) -> list[Any]:
    content = json_or_none(answer)
    return content if isinstance(content, list) else []
