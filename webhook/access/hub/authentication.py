"""REPO2HUB_AUTH=jupyterhub: authenticate users of the hub by token or session cookie, and REPO2HUB_API_TOKENS.

A client sends a token in the Authorization header on purpose, but a browser sends a session cookie with every
request. So a cookie alone can read but change nothing; see `webhook/access/xsrf.py`.
"""

from urllib.parse import quote

from flask import Flask, Request, after_this_request, g, request, session
from jupyterhub.services.auth import HubOAuth
from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from webhook.access import xsrf
from webhook.access.auth import SAFE_METHODS, ApiTokens, bearer, require_json
from webhook.access.hub import login
from webhook.access.hub.client import HubClient
from webhook.access.hub.login import Login
from webhook.access.hub.user_rules import HubUserRules
from webhook.access.permissions import ANONYMOUS, API_TOKEN_USER, User
from webhook.http.errors import HttpError, Link
from webhook.settings import WebSettings

_HUB_SESSION = "jupyterhub-session-id"


class HubAuthentication:
    """The mode `jupyterhub` of `webhook.access.auth.Guard`."""

    def __init__(self, hub: HubClient, hub_login: Login, settings: WebSettings, secret: bytes) -> None:
        self._hub = hub
        self._login = hub_login
        self._secret = secret
        self._base_path = settings.base_url
        self._is_public = settings.public_pages
        self._api_tokens = ApiTokens(settings.api_tokens)

    def authenticate(self, request: Request) -> User:
        g.session = None
        token = bearer(request)
        if token is not None:
            return self._by_token(token)
        if (user := self._by_session(request)) is not None:
            return user
        if self._is_public and request.method in SAFE_METHODS:
            return ANONYMOUS
        if _is_navigation(request):
            abort(self._login.start(login.requested_path(request)))
        if xsrf.is_form(request) and _accepts_html(request):
            raise self._session_ended(request)
        raise _token_required()

    def check_may_change(self, request: Request) -> None:
        if g.session is None:
            require_json(request)
        else:
            self._check_xsrf_token(request)

    def check_may_start(self, request: Request) -> None:
        if g.session is not None:
            self._check_xsrf_token(request)
        elif g.user is ANONYMOUS:
            raise _token_required()

    def xsrf_token(self) -> str:
        if g.session is None or not xsrf.may_disclose_token(request, self._base_path):
            return ""
        token = xsrf.sign(self._secret, g.session)
        if request.cookies.get(xsrf.COOKIE) != token:
            after_this_request(lambda answer: self._set_xsrf_cookie(answer, token))
        return token

    def login_link(self) -> Link | None:
        if g.session is not None:
            return Link("Log out", f"{self._base_path}logout")
        if g.user is not ANONYMOUS:
            return None
        return self._link_to_login(login.requested_path(request))

    def _session_ended(self, request: Request) -> HttpError:
        """Return the error for a form of a page whose session has ended since it was opened."""
        # The form is on the page above its action: /builds/7/cancel is on /builds/7.
        page = self._login.safe_next_path(login.requested_path(request).rpartition("/")[0])
        message = "Your session has ended, so nothing was changed. Log in and try again."
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpError(401, "logged_out", message, headers, self._link_to_login(page))

    def _link_to_login(self, next_path: str) -> Link:
        return Link("Log in", f"{self._base_path}login?next={quote(next_path, safe='/')}")

    def _set_xsrf_cookie(self, answer: Response, token: str) -> Response:
        is_https = login.is_https(request)
        answer.set_cookie(xsrf.COOKIE, token, path=self._base_path, secure=is_https, samesite="Lax")
        return answer

    def _check_xsrf_token(self, request: Request) -> None:
        if not xsrf.has_valid_token(request, xsrf.sign(self._secret, g.session)):
            message = (
                f"The request has no valid {xsrf.HEADER} header. Reload the page and try again; scripts must send "
                "a JupyterHub token (Authorization: Bearer <token>)."
            )
            raise HttpError(403, "xsrf", message)

    def _by_token(self, token: str) -> User:
        if self._api_tokens.has(token):
            return API_TOKEN_USER
        user = self._hub.user(token) if token else None
        if user is None:
            raise _token_required()
        return user

    def _by_session(self, request: Request) -> User | None:
        token = session.get(login.HUB_TOKEN_KEY)
        if token is None:
            return None
        user = self._hub.user(token, request.cookies.get(_HUB_SESSION, ""))
        if user is None:
            session.clear()  # the hub's token was revoked or has expired
        else:
            g.session = token
        return user


def _is_navigation(request: Request) -> bool:
    """Return whether a browser navigates to a page, as opposed to a script that reads data."""
    return request.method == "GET" and _accepts_html(request) and "Authorization" not in request.headers


def _accepts_html(request: Request) -> bool:
    return any(kind == "text/html" for kind in request.accept_mimetypes.values())


def _token_required() -> HttpError:
    message = (
        "Authentication required: log in, or send a JupyterHub token as Authorization: Bearer <token>. You can "
        "create a token on the hub's Token page."
    )
    return HttpError(401, "token_needed", message, {"WWW-Authenticate": "Bearer"})


def install(app: Flask, settings: WebSettings) -> HubAuthentication:
    """Add sessions and the login's routes to an application, and return its authentication."""
    oauth = HubOAuth(base_url=settings.base_url)
    hub = HubClient(oauth, HubUserRules.of(settings))
    hub_login = Login(hub, settings.base_url, oauth.api_token)
    login.set_up_session(app, settings.base_url, oauth.api_token)
    app.register_blueprint(hub_login.blueprint(), url_prefix=settings.base_url.rstrip("/"))
    return HubAuthentication(hub, hub_login, settings, login.secret(oauth.api_token, "xsrf"))
