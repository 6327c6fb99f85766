"""Authenticate the requests to the API and the pages, in the mode that REPO2HUB_AUTH names.

`token`: one of REPO2HUB_API_TOKENS, from scripts as a bearer token, from browsers as a password (RFC 7617).
`jupyterhub`: the users of the hub, see `webhook/access/hub/authentication.py`.
`none`: everyone on this machine; the settings allow it on loopback addresses only.

Web pages of other sites reach loopback addresses too, because they run in a browser on this machine. In the
mode `none` two checks stop them. The Host header must name this machine: evil.example can resolve to
127.0.0.1 (DNS rebinding), but the header then still says evil.example. A request that changes something must
not come from another site, as the browser states in Sec-Fetch-Site or Origin; without these headers it must
send JSON, which a page cannot do without a preflight request.

The webhook does not need authentication: deliveries are signed, and can arrive through a tunnel under any name.
"""

import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from flask import Request, g, redirect, request
from pydantic import SecretStr
from werkzeug.wrappers import Response

from webhook.access import xsrf
from webhook.access.permissions import ANONYMOUS, API_TOKEN_USER, LOCAL_USER, User
from webhook.http import html
from webhook.http.errors import HttpError, Link
from webhook.settings import WebSettings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOGIN = "login"
"""The path, below the base path, at which browsers log in."""
_SCHEMES = ("bearer", "token")


class Authentication(Protocol):
    """One way to authenticate users."""

    def authenticate(self, request: Request) -> User:
        """Return the user. Raises HttpError, or an HTTPException that redirects to a login."""

    def check_may_change(self, request: Request) -> None:
        """Raise HttpError unless the authenticated request is protected against forgery by another site."""

    def check_may_start(self, request: Request) -> None:
        """Raise HttpError unless the authenticated request may start a build, even though it is a GET."""

    def xsrf_token(self) -> str:
        """Return the value of the field `_xsrf` in the forms of our pages, or ""."""

    def login_link(self) -> Link | None:
        """Return the link to log in or out, if the user can."""


class Guard:
    """Authenticates each request to the API and the pages."""

    def __init__(self, settings: WebSettings, hub: Authentication | None = None) -> None:
        """`hub` is required for REPO2HUB_AUTH=jupyterhub."""
        tokens = ApiTokens(settings.api_tokens)
        by_token = _TokenAuthentication(tokens, settings)
        self._base_url = settings.base_url
        self._authentication: Authentication = hub or (
            by_token if settings.auth == "token" else _LoopbackAuthentication()
        )

    def check(self, request: Request) -> None:
        """Authenticate a request, so that `user` returns its user.

        Raises HttpError if the request must not be answered, or an HTTPException that redirects a browser to
        a login.
        """
        g.user = self._authentication.authenticate(request)
        if request.method not in SAFE_METHODS:
            self._authentication.check_may_change(request)

    def check_may_start(self, request: Request) -> None:
        """Raise HttpError unless this GET, which passed `check`, may start a build.

        BinderHub's protocol starts builds by GET, which every web site can make a browser send, with its
        cookies. So the request needs what another site cannot send: the bearer token, an XSRF token in
        addition to the cookie, or in the mode `none` the browser's statement that no other site sent it.
        """
        self._authentication.check_may_start(request)

    def log_in(self) -> Response:
        """Authenticate a browser, and redirect it to the pages."""
        self.check(request)
        return redirect(self._base_url)

    def user(self) -> User:
        """Return the user of a request that passed `check`."""
        user: User = g.user
        return user

    def xsrf_token(self) -> str:
        """Return the value of the field `_xsrf` in the forms of our pages: "" if they need none.

        The pages' JavaScript reads the same value from the cookie `_xsrf` and sends it as X-XSRFToken.
        """
        return self._authentication.xsrf_token()

    def login_link(self) -> Link | None:
        """Return the link of the page's header, "Log in" or "Log out", or None."""
        return self._authentication.login_link()


class ApiTokens:
    """REPO2HUB_API_TOKENS."""

    def __init__(self, tokens: Iterable[SecretStr]) -> None:
        stripped = (token.get_secret_value().strip().encode() for token in tokens)
        self._tokens = tuple(token for token in stripped if token)

    def has(self, token: str) -> bool:
        """Return whether a token is one of them."""
        candidate = token.encode("utf-8", "surrogatepass")
        # Compares all of them, so that the time does not depend on which one matches or how far.
        return any([hmac.compare_digest(candidate, token) for token in self._tokens])


def bearer(request: Request) -> str | None:
    """Return the token of the Authorization header: None without the header, "" if it contains no token."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() in _SCHEMES else ""


def require_json(request: Request) -> None:
    """Raise HttpError 415 unless the request says that it sends JSON."""
    if request.mimetype != "application/json":
        raise HttpError(415, "not_json", "Send the body as JSON, with Content-Type: application/json.")


class _TokenAuthentication:
    """API tokens. With one as the browser's password, which it sends always, only our pages change things."""

    def __init__(self, tokens: ApiTokens, settings: WebSettings) -> None:
        self._tokens = tokens
        self._is_public = settings.public_pages
        self._login = f"{settings.base_url}{LOGIN}"
        self._host = urlsplit(settings.public_url or "").netloc

    def authenticate(self, request: Request) -> User:
        password = _password(request)
        g.by_password = password is not None
        token = bearer(request) if password is None else password
        is_open = self._is_public and request.method in SAFE_METHODS and request.path != self._login
        if token is None and is_open:
            return ANONYMOUS
        if not token or not self._tokens.has(token):
            raise _password_required() if html.prefers_html() else _token_required()
        return API_TOKEN_USER

    def check_may_change(self, request: Request) -> None:
        if g.by_password:
            _check_from_our_page(request, self._host)
        else:
            require_json(request)

    def check_may_start(self, request: Request) -> None:
        if g.by_password or g.user is ANONYMOUS:
            raise _token_required()

    def xsrf_token(self) -> str:
        return ""  # `_check_from_our_page` relies on the browser's headers instead

    def login_link(self) -> Link | None:
        return Link("Log in", self._login) if g.user is ANONYMOUS else None


def _password(request: Request) -> str | None:
    header = request.authorization
    return header.password if header is not None and header.type == "basic" else None


def _token_required() -> HttpError:
    message = "Authentication required: send an API token as Authorization: Bearer <token>."
    return HttpError(401, "token_needed", message, {"WWW-Authenticate": "Bearer"})


def _password_required() -> HttpError:
    message = (
        "Authentication required: reload the page and log in with any name and an API token as the password."
    )
    challenge = 'Basic realm="repo2hub: any name, and an API token as the password", charset="UTF-8"'
    return HttpError(401, "token_needed", message, {"WWW-Authenticate": challenge})


class _LoopbackAuthentication:
    def authenticate(self, request: Request) -> User:
        senders = request.headers.get("X-Forwarded-For", "")
        if not all(is_this_machine(_with_brackets(one)) for one in senders.split(",") if one.strip()):
            raise HttpError(
                403,
                "behind_proxy",
                "Without authentication this service accepts requests from its own machine only, and this one was "
                "forwarded by a proxy. Set REPO2HUB_AUTH=token, or forward only the webhook.",
            )
        if not is_this_machine(request.headers.get("Host", "")):
            raise HttpError(
                403,
                "foreign_host",
                "Without authentication this service accepts requests to localhost and 127.0.0.1 only. "
                "To use a proxy or another host name, set REPO2HUB_AUTH=token.",
            )
        return LOCAL_USER

    def check_may_change(self, request: Request) -> None:
        _check_from_our_page(request)

    def check_may_start(self, request: Request) -> None:
        _check_same_site(request)

    def xsrf_token(self) -> str:
        return ""  # `_check_from_our_page` relies on the browser's headers instead

    def login_link(self) -> None:
        return None


def _check_from_our_page(request: Request, public_host: str = "") -> None:
    _check_same_site(request, public_host)
    has_origin = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not (has_origin and xsrf.is_form(request)):
        require_json(request)


def _check_same_site(request: Request, public_host: str = "") -> None:
    """Raise HttpError for requests from other sites. Behind a proxy, the browser's host may be `public_host`."""
    origin = request.headers.get("Origin")
    fetch_site = request.headers.get("Sec-Fetch-Site", "same-origin")
    ours = [request.headers.get("Host", ""), public_host]
    foreign = origin is not None and _site(origin) not in ours
    if foreign or fetch_site != "same-origin":
        raise HttpError(
            403,
            "cross_site",
            "Requests from other sites cannot start or stop builds. Use the pages of this service.",
        )


def _site(origin: str) -> str:
    try:
        return urlsplit(origin).netloc or "null"
    except ValueError:
        return "null"


def _with_brackets(address: str) -> str:
    """Return an address as in a Host header: IPv6 in brackets."""
    address = address.strip()
    return f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address


@lru_cache(maxsize=256)  # almost all requests have one of a few hosts
def is_this_machine(host: str) -> bool:
    """Return whether a Host header names the loopback interface."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        address = ip_address(name)
        # A dual-stack server sees 127.0.0.1 as ::ffff:127.0.0.1, which Python before 3.13 does not call loopback.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False
