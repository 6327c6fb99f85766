"""REPO2HUB_AUTH=jupyterhub: the hub's users, by token or by a browser's session, and REPO2HUB_API_TOKENS.

A token in the Authorization header is a decision of whoever sends it. A session's cookie is not: the browser sends
it along with everything. So a cookie alone reads, and changes nothing; see `webhook/xsrf.py`.
"""

from urllib.parse import quote

from flask import Flask, Request, after_this_request, g, request, session
from jupyterhub.services.auth import HubOAuth
from werkzeug.exceptions import abort
from werkzeug.wrappers import Response

from webhook import login, xsrf
from webhook.auth import SAFE, ApiTokens, bearer, require_json
from webhook.hub import Hub
from webhook.hub_rules import Rules
from webhook.login import Login
from webhook.person import ANYBODY, TOKEN, Person
from webhook.problem import Problem
from webhook.settings import WebSettings

_HUB_SESSION = "jupyterhub-session-id"


class HubUsers:
    """The mode `jupyterhub` of `webhook.auth.Guard`."""

    def __init__(self, hub: Hub, way_in: Login, settings: WebSettings, secret: bytes) -> None:
        self._hub = hub
        self._login = way_in
        self._secret = secret
        self._base_path = settings.base_url
        self._is_public = settings.public_pages
        self._api_tokens = ApiTokens(settings.api_tokens)

    def who(self, request: Request) -> Person:
        g.session = None
        token = bearer(request)
        if token is not None:
            return self._by_token(token)
        if (person := self._by_session(request)) is not None:
            return person
        if self._is_public and request.method in SAFE:
            return ANYBODY
        if _is_for_a_page(request):
            abort(self._login.start(login.asked_path(request)))
        if xsrf.is_form(request) and _accepts_pages(request):
            raise self._logged_out(request)
        raise _token_needed()

    def check_change(self, request: Request) -> None:
        if g.session is None:
            require_json(request)
        else:
            self._check_proven(request)

    def check_may_start(self, request: Request) -> None:
        if g.session is not None:
            self._check_proven(request)
        elif g.person is ANYBODY:
            raise _token_needed()

    def xsrf_token(self) -> str:
        if g.session is None or not xsrf.may_be_told(request, self._base_path):
            return ""
        token = xsrf.sign(self._secret, g.session)
        if request.cookies.get(xsrf.COOKIE) != token:
            after_this_request(lambda answer: self._tell(answer, token))
        return token

    def door(self) -> tuple[str, str] | None:
        if g.session is not None:
            return "Log out", f"{self._base_path}logout"
        if g.person is not ANYBODY:
            return None
        return "Log in", f"{self._base_path}login?next={quote(login.asked_path(request), safe='/')}"

    def _logged_out(self, request: Request) -> Problem:
        """Return the answer to a button of a page that was open for longer than its session lasted."""
        # The button is a form of the page above: /builds/7/cancel is on /builds/7.
        page = self._login.ours(login.asked_path(request).rpartition("/")[0])
        message = (
            "You were logged out since this page was opened, so nothing was changed. Log in, and press again."
        )
        link = "Log in", f"{self._base_path}login?next={quote(page, safe='/')}"
        return Problem(401, "logged_out", message, {"WWW-Authenticate": "Bearer"}, link)

    def _tell(self, answer: Response, token: str) -> Response:
        is_https = login.is_https(request)
        answer.set_cookie(xsrf.COOKIE, token, path=self._base_path, secure=is_https, samesite="Lax")
        return answer

    def _check_proven(self, request: Request) -> None:
        if not xsrf.is_proven(request, xsrf.sign(self._secret, g.session)):
            message = (
                "A cookie alone starts and stops nothing. Load the page again and try once more; a program sends "
                f"a token of the hub (Authorization: Bearer <token>), a page of ours the header {xsrf.HEADER}."
            )
            raise Problem(403, "xsrf", message)

    def _by_token(self, token: str) -> Person:
        if self._api_tokens.has(token):
            return TOKEN
        person = self._hub.person(token) if token else None
        if person is None:
            raise _token_needed()
        return person

    def _by_session(self, request: Request) -> Person | None:
        token = session.get(login.HELD)
        if token is None:
            return None
        person = self._hub.person(token, request.cookies.get(_HUB_SESSION, ""))
        if person is None:
            session.clear()  # logged out of the hub, or too long ago
        else:
            g.session = token
        return person


def _is_for_a_page(request: Request) -> bool:
    """Say whether a browser is on its way to a new page, and not a script that wants data."""
    return request.method == "GET" and _accepts_pages(request) and "Authorization" not in request.headers


def _accepts_pages(request: Request) -> bool:
    return any(kind == "text/html" for kind in request.accept_mimetypes.values())


def _token_needed() -> Problem:
    message = (
        "Say who you are: with a token of the hub (its page Token makes one) as Authorization: Bearer <token>, "
        "or by logging in with a browser."
    )
    return Problem(401, "token_needed", message, {"WWW-Authenticate": "Bearer"})


def set_up(app: Flask, settings: WebSettings) -> HubUsers:
    """Let the hub's users into an application: its sessions, and the routes by which they log in and out."""
    oauth = HubOAuth(base_url=settings.base_url)
    hub = Hub(oauth, Rules.of(settings))
    way_in = Login(hub, settings.base_url, oauth.api_token)
    login.set_up_session(app, settings.base_url, oauth.api_token)
    app.register_blueprint(way_in.blueprint(), url_prefix=settings.base_url.rstrip("/"))
    return HubUsers(hub, way_in, settings, login.secret(oauth.api_token, "xsrf"))
