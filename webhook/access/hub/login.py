"""Logging in with the hub (OAuth 2), for browsers: there, back, and out again.

What must be known when a browser comes back is in signed cookies and nowhere else, so that whichever process of
ours it comes back to can go on, and a restart logs nobody out: in a cookie for each login under way the PKCE
verifier and where to go then, afterwards in the session's the token that the hub gave.
"""

import hashlib
import hmac
import re
import secrets
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import structlog
from flask import Blueprint, Flask, Request, redirect, request, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from webhook.access.hub.client import HubClient
from webhook.http.errors import HttpError

LOGIN_TIME_LIMIT = timedelta(minutes=10)
"""How long a login may take, from our page to the hub and back."""
HUB_TOKEN_KEY = "token"  # noqa: S105 -- a name, no token
"""Under this name the session holds the hub's token."""

log = structlog.get_logger()


def secret(api_token: str, purpose: str) -> bytes:
    """Return a secret that all processes of this service have, and nobody else."""
    return hmac.digest(api_token.encode(), f"repo2hub {purpose}".encode(), "sha256")


def is_https(request: Request) -> bool:
    """Say whether the browser speaks https with the hub: proxies say so, the outermost first."""
    spoken = request.headers.get("X-Forwarded-Proto", request.scheme)
    return spoken.split(",")[0].strip().lower() == "https"


class Login:
    """The way to the hub and back, for one deployment under `base_path`."""

    def __init__(self, hub: HubClient, base_path: str, api_token: str) -> None:
        self._hub = hub
        self._base_path = base_path
        self._cookies = URLSafeTimedSerializer(secret(api_token, "login"))

    def start(self, next_path: str) -> Response:
        """Send a browser to the hub; it comes back to `next_path`, if that is one of ours."""
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        answer = redirect(self._hub.authorization_url(state, verifier))
        answer.set_cookie(
            _cookie(state),
            self._cookies.dumps((verifier, self.safe_next_path(next_path)), salt=state),
            max_age=LOGIN_TIME_LIMIT,
            path=self._base_path,
            secure=is_https(request),
            httponly=True,
            samesite="Lax",
        )
        return answer

    def safe_next_path(self, path: str) -> str:
        """Return a path if a browser takes it for one under our base path, else the base path itself."""
        # No backslash, no control character, and short enough for a cookie.
        parts = urlsplit(path) if re.fullmatch(r"/[!-\[\]-~]{,1500}", path) else None
        if parts is None or parts.scheme or parts.netloc or not parts.path.startswith(self._base_path):
            return self._base_path
        is_climbing = any(unquote(step) in (".", "..") for step in parts.path.split("/"))
        is_door = parts.path.removeprefix(self._base_path) in ("login", "oauth_callback", "logout")
        return self._base_path if is_climbing or is_door or path.startswith("//") else path

    def blueprint(self) -> Blueprint:
        """Return the routes, to be registered under the base path."""
        login = Blueprint("login", __name__)
        login.add_url_rule("/login", view_func=self._login, methods=["GET"])
        login.add_url_rule("/oauth_callback", view_func=self._callback, methods=["GET"])
        login.add_url_rule("/logout", view_func=self._logout, methods=["GET"])
        return login

    def _login(self) -> Response:
        return self.start(request.args.get("next", self._base_path))

    def _callback(self) -> Response:
        if error := request.args.get("error"):
            said = request.args.get("error_description", error)[:200]
            raise HttpError(403, "login_refused", f"The hub denied the login: {said}")
        state = request.args.get("state", "")
        verifier, next_path = self._load_login_state(state)
        session[HUB_TOKEN_KEY] = self._hub.token(request.args.get("code", ""), verifier)
        answer = redirect(next_path)
        answer.delete_cookie(_cookie(state), path=self._base_path)
        return answer

    def _load_login_state(self, state: str) -> tuple[str, str]:
        """Return the verifier and the path of the login that a browser comes back from. Raises HttpError."""
        cookie, limit = request.cookies.get(_cookie(state), ""), int(LOGIN_TIME_LIMIT.total_seconds())
        try:
            # The state is part of what is signed: the cookie of another login does not do.
            verifier, next_path = self._cookies.loads(cookie, max_age=limit, salt=state)
        except (BadSignature, UnicodeError):
            message = (
                "The login took longer than ten minutes, started in another browser, or cookies are blocked. "
                f"Start again at {self._base_path}."
            )
            raise HttpError(400, "login_unknown", message) from None
        return verifier, next_path

    def _logout(self) -> Response:
        session.clear()
        return redirect(self._hub.logout_url)


def _cookie(state: str) -> str:
    """Return a login's cookie: one each, for a browser with many tabs begins many at once."""
    return f"repo2hub-login-{hashlib.sha256(state.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


class _SessionInterface(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        """Keep the session from unencrypted connections where the browser has another."""
        return is_https(request)


def set_up_session(app: Flask, base_path: str, api_token: str) -> None:
    """Let an application keep signed sessions under our path."""
    app.secret_key = secret(api_token, "session")
    app.session_interface = _SessionInterface()
    app.config.update(
        SESSION_COOKIE_NAME="repo2hub-session",
        SESSION_COOKIE_PATH=base_path,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )


def requested_path(request: Request) -> str:
    """Return what was asked for as it was written: a path's %2F is not a slash."""
    raw: str = request.environ.get("RAW_URI", "")
    return raw if raw.startswith("/") else request.full_path.rstrip("?")
