"""Log browsers in and out with the hub (OAuth 2).

All state is in signed cookies, so that every web process can finish a login and a restart logs nobody out. While a
login is in progress, a cookie of its own holds the PKCE verifier and the page to return to. Afterwards the session
cookie holds the hub's token.
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
from webhook.http.parameters import request_target

LOGIN_TIME_LIMIT = timedelta(minutes=10)
"""How long a login may take, from the redirect to the hub until the browser returns."""
HUB_TOKEN_KEY = "token"  # noqa: S105 -- a name, no token
"""The key of the hub's token in the session."""

log = structlog.get_logger()


def secret(api_token: str, purpose: str) -> bytes:
    """Return a secret that all processes of this service share, derived for one purpose."""
    return hmac.digest(api_token.encode(), f"repo2hub {purpose}".encode(), "sha256")


def is_https(request: Request) -> bool:
    """Return whether the browser uses https, as the outermost proxy states in X-Forwarded-Proto."""
    protocols = request.headers.get("X-Forwarded-Proto", request.scheme)
    return protocols.split(",")[0].strip().lower() == "https"


class Login:
    """The login of a service under `base_path`."""

    def __init__(self, hub: HubClient, base_path: str, api_token: str) -> None:
        self._hub = hub
        self._base_path = base_path
        self._cookies = URLSafeTimedSerializer(secret(api_token, "login"))

    def start(self, next_path: str) -> Response:
        """Redirect a browser to the hub, to return to `next_path` if that is one of our paths."""
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
        """Return a path if browsers resolve it to one of our pages, else the base path."""
        # No backslash or control character, and short enough for a cookie.
        parts = urlsplit(path) if re.fullmatch(r"/[!-\[\]-~]{,1500}", path) else None
        if parts is None or parts.scheme or parts.netloc or not parts.path.startswith(self._base_path):
            return self._base_path
        has_dots = any(unquote(name) in (".", "..") for name in parts.path.split("/"))
        is_login = parts.path.removeprefix(self._base_path) in ("login", "oauth_callback", "logout")
        return self._base_path if has_dots or is_login or path.startswith("//") else path

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
            reason = request.args.get("error_description", error)[:200]
            raise HttpError(403, "login_refused", f"The hub denied the login: {reason}")
        state = request.args.get("state", "")
        verifier, next_path = self._load_login_state(state)
        session[HUB_TOKEN_KEY] = self._hub.token(request.args.get("code", ""), verifier)
        answer = redirect(next_path)
        answer.delete_cookie(_cookie(state), path=self._base_path)
        return answer

    def _load_login_state(self, state: str) -> tuple[str, str]:
        """Return the verifier and the next path of the login that a browser returns from. Raises HttpError."""
        cookie, limit = request.cookies.get(_cookie(state), ""), int(LOGIN_TIME_LIMIT.total_seconds())
        try:
            # The signature includes the state, so the cookie of another login is not accepted.
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
    """Return the name of a login's cookie: browser tabs can be in different logins at the same time."""
    return f"repo2hub-login-{hashlib.sha256(state.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


class _SessionInterface(SecureCookieSessionInterface):
    def get_cookie_secure(self, app: Flask) -> bool:
        """Restrict the cookie to https if the browser uses it."""
        return is_https(request)


def set_up_session(app: Flask, base_path: str, api_token: str) -> None:
    """Configure an application's signed session cookie, under our path."""
    app.secret_key = secret(api_token, "session")
    app.session_interface = _SessionInterface()
    app.config.update(
        SESSION_COOKIE_NAME="repo2hub-session",
        SESSION_COOKIE_PATH=base_path,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )


def requested_path(request: Request) -> str:
    """Return the path and query of a request as they were sent: %2F in a path is not a slash."""
    target = request_target(request.environ)
    return target if target.startswith("/") else request.full_path.rstrip("?")
