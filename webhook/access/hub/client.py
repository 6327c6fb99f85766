"""Ask the hub for the owner of a token, and for the token of a user who has logged in.

JupyterHub's HubOAuth knows the hub's URLs, the scopes that give access to this service, and how scopes
compare. The two requests are sent without it: its blocking calls share one thread and have no time limit, so
a hub that hangs would block all of our threads, including those of deliveries.
"""

import base64
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import requests
import structlog
from jupyterhub.services.auth import HubOAuth

from webhook.access.hub.user_rules import HubUserRules
from webhook.access.permissions import User
from webhook.http.errors import HttpError

CACHE_AGE = 60.0
"""Seconds that an answer of the hub is cached: a revoked token gives access for that long."""

_MAX_CACHED = 10_000  # tokens
_TIME_LIMIT = (3.05, 10)  # seconds to connect, and to wait for an answer
_MAX_OPEN_REQUESTS = 16  # at once, which leaves threads for requests that do not need the hub
_RETRY = {"Retry-After": "10"}

log = structlog.get_logger()


class _CachedUser(NamedTuple):
    """The hub's answer about a token: its owner, or None for an unknown token."""

    user: User | None
    has_access: bool
    expires_at: float


class HubClient:
    """The hub of this service. Thread-safe; sends nothing before it is used."""

    def __init__(
        self, oauth: HubOAuth, rules: HubUserRules, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._oauth = oauth
        self._rules = rules
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], _CachedUser] = OrderedDict()
        self._lock = threading.Lock()
        self._open_requests = threading.BoundedSemaphore(_MAX_OPEN_REQUESTS)

    def user(self, token: str, session: str = "") -> User | None:
        """Return the owner of a token, or None if the hub does not know the token.

        `session` is the browser's session with the hub, if any: a new session does not use the cached answer of an
        old one. Raises HttpError: 403 if the owner has no access to this service, 503 if the hub does not answer.
        """
        key = (hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest(), session)
        with self._lock:
            answer = self._cache.get(key)
        if answer is None or answer.expires_at < self._clock():
            answer = self._fetch_user(token)
            with self._lock:
                self._cache[key] = answer
                self._cache.move_to_end(key)
                while len(self._cache) > _MAX_CACHED:
                    self._cache.popitem(last=False)
        if answer.user is not None and not answer.has_access:
            raise HttpError(403, "not_allowed", self._not_allowed(answer.user))
        return answer.user

    def authorization_url(self, state: str, verifier: str) -> str:
        """Return the URL at which a browser logs in, to return with a code and `state`."""
        challenge = hashlib.sha256(verifier.encode("ascii")).digest()
        query = {
            "client_id": self._oauth.oauth_client_id,
            "redirect_uri": self._oauth.oauth_redirect_uri,
            "response_type": "code",
            "state": state,
            "code_challenge": _base64url(challenge),  # RFC 7636; hubs before version 6 ignore it
            "code_challenge_method": "S256",
        }
        return f"{self._oauth.oauth_authorization_url}?{urlencode(query)}"

    @property
    def logout_url(self) -> str:
        """The URL at which a browser ends its session with the hub."""
        return f"{self._oauth.hub_host}{self._oauth.hub_prefix}logout"

    def token(self, code: str, verifier: str) -> str:
        """Exchange the code of a browser that returned for its token. Raises HttpError."""
        form = {
            "client_id": self._oauth.oauth_client_id,
            "client_secret": self._oauth.api_token,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._oauth.oauth_redirect_uri,
            "code_verifier": verifier,
        }
        answer = self._request("POST", self._oauth.oauth_token_url, data=form)
        if not answer.ok:
            log.warning("hub.code_refused", status=answer.status_code, response=answer.text[:300])
            raise HttpError(400, "login_failed", "The login has expired. Log in again.")
        token: str = _parse_json(answer)["access_token"]
        return token

    def _fetch_user(self, token: str) -> _CachedUser:
        if not _is_valid_header(token):
            return _CachedUser(None, False, self._clock() + CACHE_AGE)
        headers = {"Authorization": f"Bearer {token}"}
        answer = self._request("GET", f"{self._oauth.api_url.rstrip('/')}/user", headers=headers)
        if answer.status_code in (401, 403, 404):
            return _CachedUser(None, False, self._clock() + CACHE_AGE)
        if not answer.ok:
            log.error("hub.refused", status=answer.status_code, response=answer.text[:300])
            raise _hub_unavailable()
        model = _parse_json(answer)
        has_access = bool(self._oauth.check_scopes(self._oauth.access_scopes, model))
        return _CachedUser(self._user(model), has_access, self._clock() + CACHE_AGE)

    def _user(self, model: dict[str, Any]) -> User:
        groups: Sequence[str] = model.get("groups") or ()
        name, is_admin = str(model["name"]), bool(model.get("admin"))
        if model.get("kind") == "service":
            return self._rules.service(name, is_admin=is_admin)
        return self._rules.user(name, is_admin=is_admin, groups=frozenset(groups))

    def _not_allowed(self, user: User) -> str:
        needed = ", ".join(sorted(self._oauth.access_scopes))
        return (
            f"{user.name} does not have access to this service. Ask the hub's admin for a role with the scope "
            f"{needed}; a token needs this scope too."
        )

    def _request(self, method: str, url: str, **sent: Any) -> requests.Response:
        if not self._open_requests.acquire(timeout=1):
            raise _hub_unavailable()
        oauth = self._oauth
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy or .netrc between the hub and its services
                if oauth.certfile and oauth.keyfile:  # the hub's internal_ssl
                    session.cert = (oauth.certfile, oauth.keyfile)
                    session.verify = oauth.client_ca or True
                return session.request(method, url, timeout=_TIME_LIMIT, allow_redirects=False, **sent)
        except requests.RequestException as exc:
            log.error("hub.unreachable", url=url, error=type(exc).__name__)
            raise _hub_unavailable() from exc
        finally:
            self._open_requests.release()


def _parse_json(answer: requests.Response) -> dict[str, Any]:
    try:
        model: dict[str, Any] = answer.json()
    except ValueError as exc:  # such as the error page of a proxy
        log.error("hub.not_json", response=answer.text[:300])
        raise _hub_unavailable() from exc
    return model


def _hub_unavailable() -> HttpError:
    message = "Cannot verify your login because the hub does not answer. Try again in a few seconds."
    return HttpError(503, "hub_unavailable", message, _RETRY)


def _is_valid_header(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
