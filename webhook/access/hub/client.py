"""Asking the hub: who is this token's owner, and which token does somebody bring who logged in.

JupyterHub's own HubOAuth knows the hub's addresses, the scopes that open this service, and how scopes compare. The
two questions are put with requests all the same: HubOAuth's blocking calls share one thread and wait as long as
the hub likes, so that a hub which hangs would take all of our threads, deliveries among them.
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
"""Seconds for which an answer of the hub holds: a revoked token opens the service that long."""

_MAX_CACHED = 10_000  # tokens
_TIME_LIMIT = (3.05, 10)  # seconds to connect, and to wait for an answer
_MAX_OPEN_REQUESTS = 16  # at once: the other threads are there for what needs no hub
_RETRY = {"Retry-After": "10"}

log = structlog.get_logger()


class _CachedUser(NamedTuple):
    """What the hub said of a token: its owner, or that it knows no such token (None)."""

    user: User | None
    has_access: bool
    expires_at: float


class HubClient:
    """One hub, whose service this is. Safe to use from many threads; it asks nothing before it is asked."""

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
        """Return a token's owner; None where the hub does not know the token (any more).

        `session` is the hub's own session of the browser, if any: when that ends, so does what was remembered.
        Raises HttpError: 403 where the owner may not use this service, 503 where the hub does not answer.
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
        """Return where a browser goes to log in, and to come back with a code and `state`."""
        challenge = hashlib.sha256(verifier.encode("ascii")).digest()
        asked = {
            "client_id": self._oauth.oauth_client_id,
            "redirect_uri": self._oauth.oauth_redirect_uri,
            "response_type": "code",
            "state": state,
            "code_challenge": _base64url(challenge),  # RFC 7636; a hub before version 6 does without
            "code_challenge_method": "S256",
        }
        return f"{self._oauth.oauth_authorization_url}?{urlencode(asked)}"

    @property
    def logout_url(self) -> str:
        """Where a browser goes to end its session with the hub."""
        return f"{self._oauth.hub_host}{self._oauth.hub_prefix}logout"

    def token(self, code: str, verifier: str) -> str:
        """Return the token that a code stands for, of a browser that came back. Raises HttpError."""
        asked = {
            "client_id": self._oauth.oauth_client_id,
            "client_secret": self._oauth.api_token,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._oauth.oauth_redirect_uri,
            "code_verifier": verifier,
        }
        answer = self._request("POST", self._oauth.oauth_token_url, data=asked)
        if not answer.ok:
            log.warning("hub.code_refused", status=answer.status_code, said=answer.text[:300])
            raise HttpError(400, "login_failed", "The login has expired. Log in again.")
        token: str = _parse_json(answer)["access_token"]
        return token

    def _fetch_user(self, token: str) -> _CachedUser:
        if not _can_be_sent(token):
            return _CachedUser(None, False, self._clock() + CACHE_AGE)
        asked = {"Authorization": f"Bearer {token}"}
        answer = self._request("GET", f"{self._oauth.api_url.rstrip('/')}/user", headers=asked)
        if answer.status_code in (401, 403, 404):
            return _CachedUser(None, False, self._clock() + CACHE_AGE)
        if not answer.ok:
            log.error("hub.refused", status=answer.status_code, said=answer.text[:300])
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
                session.trust_env = False  # a proxy or a .netrc is of no use between the hub and its services
                if oauth.certfile and oauth.keyfile:  # the hub's internal_ssl
                    session.cert = (oauth.certfile, oauth.keyfile)
                    session.verify = oauth.client_ca or True
                return session.request(method, url, timeout=_TIME_LIMIT, allow_redirects=False, **sent)
        except requests.RequestException as exc:
            log.error("hub.away", url=url, error=type(exc).__name__)
            raise _hub_unavailable() from exc
        finally:
            self._open_requests.release()


def _parse_json(answer: requests.Response) -> dict[str, Any]:
    try:
        model: dict[str, Any] = answer.json()
    except ValueError as exc:  # something else answers in the hub's place, such as a proxy with an error page
        log.error("hub.not_json", said=answer.text[:300])
        raise _hub_unavailable() from exc
    return model


def _hub_unavailable() -> HttpError:
    message = "Cannot verify your login because the hub does not answer. Try again in a few seconds."
    return HttpError(503, "hub_unavailable", message, _RETRY)


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
