"""Get tokens of a GitHub App: one for each installation, valid for an hour.

A token may only set commit statuses, whatever else the App may do. See "Generating a JSON Web Token (JWT) for a
GitHub App" and "Generating an installation access token" in GitHub's documentation.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import jwt
import requests

from builder.reports.http_client import Authenticate, json_or_none
from builder.reports.notifier import NotifyError, PermanentNotifyError, TransientNotifyError

PERMISSIONS = {"statuses": "write"}

_CLOCK_SKEW = timedelta(seconds=60)
_JWT_LIFETIME = timedelta(minutes=9)  # GitHub allows ten
_REFRESH_BEFORE_EXPIRY = timedelta(minutes=5)

Call = Callable[..., requests.Response]
ErrorFrom = Callable[[requests.Response], NotifyError]


class _Token(NamedTuple):
    text: str
    expires_at: datetime


class GitHubApp:
    """The tokens of one App. `call` sends a request to a path of GitHub's API, `error_from` interprets errors."""

    def __init__(
        self, app_id: int, private_key: str, call: Call, error_from: ErrorFrom, clock: Callable[[], datetime]
    ) -> None:
        self._app_id = app_id
        self._private_key = private_key
        self._call = call
        self._error_from = error_from
        self._clock = clock
        self._installations: dict[str, int] = {}
        self._tokens: dict[int, _Token] = {}

    def token(self, full_name: str, installation_id: int | None) -> str:
        """Return a token for a repository. `installation_id` is from its deliveries, if known. Raises
        NotifyError."""
        found = self._installations.get(full_name) or installation_id
        if found is not None and (token := self._token(found)) is not None:
            return token
        # The installation is unknown, or the App was reinstalled since.
        found = self._find_installation(full_name)
        token = self._token(found)
        if token is None:
            raise TransientNotifyError("GitHub gives no token for the installation of the App")
        self._installations[full_name] = found
        return token

    def discard(self, token: str) -> None:
        """Forget a token that GitHub rejected."""
        self._tokens = {key: known for key, known in self._tokens.items() if known.text != token}

    def _token(self, installation_id: int) -> str | None:
        """Return an installation's token; None if there is no such installation."""
        known = self._tokens.get(installation_id)
        if known is not None and self._clock() < known.expires_at - _REFRESH_BEFORE_EXPIRY:
            return known.text
        path = f"/app/installations/{installation_id}/access_tokens"
        answer = self._call("POST", path, self._authenticate, json={"permissions": PERMISSIONS})
        if answer.status_code == 404:
            return None
        if answer.status_code == 422:
            raise PermanentNotifyError(
                "the GitHub App may not set commit statuses: grant it the permission Commit statuses, read and "
                "write"
            )
        token = self._read_token(self._checked_json(answer))
        self._tokens[installation_id] = token
        return token.text

    def _find_installation(self, full_name: str) -> int:
        answer = self._call("GET", f"/repos/{full_name}/installation", self._authenticate)
        if answer.status_code == 404:
            raise PermanentNotifyError(
                f"the GitHub App is not installed on {full_name}: ask its owner to install it"
            )
        found = self._checked_json(answer)
        try:
            return int(found["id"])
        except (KeyError, TypeError, ValueError):
            raise TransientNotifyError("GitHub's answer names no installation") from None

    def _checked_json(self, answer: requests.Response) -> Any:
        if answer.status_code == 401:
            raise PermanentNotifyError(
                "GitHub rejected the App: check REPO2HUB_GITHUB_APP_ID, its private key and the machine's clock"
            )
        if answer.status_code not in (200, 201):
            raise self._error_from(answer)
        if (content := json_or_none(answer)) is None:
            raise TransientNotifyError("GitHub's answer is not JSON")
        return content

    def _read_token(self, answer: Any) -> _Token:
        try:
            expires = datetime.fromisoformat(answer["expires_at"])
            return _Token(str(answer["token"]), expires.replace(tzinfo=expires.tzinfo or UTC))
        except (KeyError, TypeError, ValueError):
            raise TransientNotifyError("GitHub's answer has no token") from None

    def _authenticate(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        now = self._clock()
        claims = {"iat": now - _CLOCK_SKEW, "exp": now + _JWT_LIFETIME, "iss": str(self._app_id)}
        signed = jwt.encode(claims, self._private_key, algorithm="RS256")
        return bearer(signed)(request)


def bearer(token: str) -> Authenticate:
    """Return the authentication that sends a token with a request."""

    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return authenticate
