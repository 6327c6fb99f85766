"""REPO2HUB_AUTH=jupyterhub: the hub's users, by token or by a browser's session, and REPO2HUB_API_TOKENS.

A token in the Authorization header is a decision of whoever sends it. A session's cookie is not: the browser sends
it along with everything. So a cookie alone reads, and changes nothing; see `webhook/access/xsrf.py`.
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
from webhook.http.errors import HttpError
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
        if _is_for_a_page(request):
            abort(self._login.start(login.requested_path(request)))
        if xsrf.is_form(request) and _accepts_pages(request):
            raise self._logged_out(request)
        raise _token_needed()

    def check_may_change(self, request: Request) -> None:
        if g.session is None:
            require_json(request)
        else:
            self._check_xsrf_token(request)

    def check_may_start(self, request: Request) -> None:
        if g.session is not None:
            self._check_xsrf_token(request)
        elif g.user is ANONYMOUS:
            raise _token_needed()

    def xsrf_token(self) -> str:
        if g.session is None or not xsrf.may_disclose_token(request, self._base_path):
            return ""
        token = xsrf.sign(self._secret, g.session)
        if request.cookies.get(xsrf.COOKIE) != token:
            after_this_request(lambda answer: self._set_xsrf_cookie(answer, token))
        return token

    def login_link(self) -> tuple[str, str] | None:
        if g.session is not None:
            return "Log out", f"{self._base_path}logout"
        if g.user is not ANONYMOUS:
            return None
        return "Log in", f"{self._base_path}login?next={quote(login.requested_path(request), safe='/')}"

    def _logged_out(self, request: Request) -> HttpError:
        """Return the answer to a button of a page that was open for longer than its session lasted."""
        # The button is a form of the page above: /builds/7/cancel is on /builds/7.
        page = self._login.safe_next_path(login.requested_path(request).rpartition("/")[0])
        message = "Your session has ended, so nothing was changed. Log in and try again."
        link = "Log in", f"{self._base_path}login?next={quote(page, safe='/')}"
        return HttpError(401, "logged_out", message, {"WWW-Authenticate": "Bearer"}, link)

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
            raise _token_needed()
        return user

    def _by_session(self, request: Request) -> User | None:
        token = session.get(login.HUB_TOKEN_KEY)
        if token is None:
            return None
        user = self._hub.user(token, request.cookies.get(_HUB_SESSION, ""))
        if user is None:
            session.clear()  # logged out of the hub, or too long ago
        else:
            g.session = token
        return user


def _is_for_a_page(request: Request) -> bool:
    """Say whether a browser is on its way to a new page, and not a script that wants data."""
    return request.method == "GET" and _accepts_pages(request) and "Authorization" not in request.headers


def _accepts_pages(request: Request) -> bool:
    return any(kind == "text/html" for kind in request.accept_mimetypes.values())


def _token_needed() -> HttpError:
    message = (
        "Authentication required: log in, or send a JupyterHub token as Authorization: Bearer <token>. You can "
        "create a token on the hub's Token page."
    )
    return HttpError(401, "token_needed", message, {"WWW-Authenticate": "Bearer"})


def install(app: Flask, settings: WebSettings) -> HubAuthentication:
    """Let the hub's users into an application: its sessions, and the routes by which they log in and out."""
    oauth = HubOAuth(base_url=settings.base_url)
    hub = HubClient(oauth, HubUserRules.of(settings))
    hub_login = Login(hub, settings.base_url, oauth.api_token)
    login.set_up_session(app, settings.base_url, oauth.api_token)
    app.register_blueprint(hub_login.blueprint(), url_prefix=settings.base_url.rstrip("/"))
    return HubAuthentication(hub, hub_login, settings, login.secret(oauth.api_token, "xsrf"))
