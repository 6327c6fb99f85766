"""Who may use the service, and how they prove who they are.

`token`: whoever sends one of REPO2HUB_API_TOKENS: scripts as a bearer, browsers as the password that they ask for
(RFC 7617). `jupyterhub`: the hub's users, see `webhook/access/hub/authentication.py`.
`none`: whoever is on this machine; the settings refuse it where the service listens on anything but a loopback
address.

Loopback alone does not keep web pages out, which run on this machine too, in its user's browser. Two guards
stand against them in the mode `none`. The Host header must name this machine: a page at evil.example can let
its own name point to 127.0.0.1 (DNS rebinding), and the browser would take our answers for its own; the name in
the header is then still evil.example. And whatever changes something must not be sent by another site, whose
browser says where a request comes from (Sec-Fetch-Site, Origin); one that says nothing may send JSON, which no
page can without asking first, but no form.

The webhook is not behind this: deliveries are signed, and may come through a tunnel under any name.
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
from webhook.http.errors import HttpError
from webhook.settings import WebSettings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOGIN = "login"
"""The page below our base path that asks a browser who it is."""
_SCHEMES = ("bearer", "token")


class Authentication(Protocol):
    """How people prove who they are."""

    def authenticate(self, request: Request) -> User:
        """Return who asks. Raises HttpError, or an HTTPException that leads to a login."""

    def check_may_change(self, request: Request) -> None:
        """Raise HttpError unless the request, of whoever `authenticate` found, may change something."""

    def check_may_start(self, request: Request) -> None:
        """Raise HttpError unless the request, though a GET, may start a build."""

    def xsrf_token(self) -> str:
        """Return what a form of our pages is to send as `_xsrf`."""

    def login_link(self) -> tuple[str, str] | None:
        """Return what a page offers to whoever looks, to log in or out: its name and address."""


class Guard:
    """Decides over each request to the API and the pages, by the settings of this process."""

    def __init__(self, settings: WebSettings, hub_users: Authentication | None = None) -> None:
        """`hub_users` is for REPO2HUB_AUTH=jupyterhub, which cannot do without."""
        tokens = ApiTokens(settings.api_tokens)
        by_token = _TokenAuthentication(tokens, settings)
        self._base_url = settings.base_url
        self._authentication: Authentication = hub_users or (
            by_token if settings.auth == "token" else _LoopbackAuthentication()
        )

    def check(self, request: Request) -> None:
        """Note who asks, for `user`; raise HttpError unless this request may be answered.

        Whoever has still to log in with the hub, and asks for a page, is led there by an HTTPException.
        """
        g.user = self._authentication.authenticate(request)
        if request.method not in SAFE_METHODS:
            self._authentication.check_may_change(request)

    def check_may_start(self, request: Request) -> None:
        """Raise HttpError unless this GET, which `check` let through, may start a build.

        BinderHub's protocol starts builds by GET, which a page of any web site can make a browser send, with its
        cookies. So the request must prove what another site cannot send along: the bearer token that `check` has
        seen, an XSRF token beside the cookie, or, where nobody needs one, that no other site sent it.
        """
        self._authentication.check_may_start(request)

    def log_in(self) -> Response:
        """Lead a browser that proves who it is to the pages, and ask any other to."""
        self.check(request)
        return redirect(self._base_url)

    def user(self) -> User:
        """Return who asks, in a request that `check` let through."""
        user: User = g.user
        return user

    def xsrf_token(self) -> str:
        """Return what a form of our pages sends in its field `_xsrf`: "" where it needs none.

        The pages' JavaScript finds the same in the cookie `_xsrf`, and sends it as X-XSRFToken.
        """
        return self._authentication.xsrf_token()

    def login_link(self) -> tuple[str, str] | None:
        """Return the link that a page offers, "Log in" or "Log out": its text and address; None: neither."""
        return self._authentication.login_link()


class ApiTokens:
    """REPO2HUB_API_TOKENS."""

    def __init__(self, tokens: Iterable[SecretStr]) -> None:
        stripped = (token.get_secret_value().strip().encode() for token in tokens)
        self._tokens = tuple(token for token in stripped if token)

    def has(self, token: str) -> bool:
        """Say whether it is one of them."""
        candidate = token.encode("utf-8", "surrogatepass")
        # All are compared, in a time that tells neither which nor how much of one was right.
        return any([hmac.compare_digest(candidate, token) for token in self._tokens])


def bearer(request: Request) -> str | None:
    """Return the token of the Authorization header; None without one, "" for a header that holds none."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() in _SCHEMES else ""


def require_json(request: Request) -> None:
    """Raise HttpError for what is not JSON."""
    if request.mimetype != "application/json":
        raise HttpError(415, "not_json", "Send the body as JSON, with Content-Type: application/json.")


class _TokenAuthentication:
    """A browser sends the password along whoever makes it ask, so with one only our pages change anything."""

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
            raise _password_needed() if html.prefers_html() else _token_needed()
        return API_TOKEN_USER

    def check_may_change(self, request: Request) -> None:
        if g.by_password:
            _check_from_our_page(request, self._host)
        else:
            require_json(request)

    def check_may_start(self, request: Request) -> None:
        if g.by_password or g.user is ANONYMOUS:
            raise _token_needed()

    def xsrf_token(self) -> str:
        return ""  # `_check_from_our_page` asks the browser instead

    def login_link(self) -> tuple[str, str] | None:
        return ("Log in", self._login) if g.user is ANONYMOUS else None


def _password(request: Request) -> str | None:
    given = request.authorization
    return given.password if given is not None and given.type == "basic" else None


def _token_needed() -> HttpError:
    message = "Authentication required: send an API token as Authorization: Bearer <token>."
    return HttpError(401, "token_needed", message, {"WWW-Authenticate": "Bearer"})


def _password_needed() -> HttpError:
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
        return ""  # `_check_from_our_page` asks the browser instead

    def login_link(self) -> None:
        return None


def _check_from_our_page(request: Request, public_host: str = "") -> None:
    _check_same_site(request, public_host)
    is_told = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not (is_told and xsrf.is_form(request)):
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
    """Return an address as a Host header would write it: an IPv6 one in brackets."""
    address = address.strip()
    return f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address


@lru_cache(maxsize=256)  # nearly all requests come with one of a few
def is_this_machine(host: str) -> bool:
    """Tell whether a Host header names the loopback interface."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost":
            return True
        address = ip_address(name)
        # ::ffff:127.0.0.1 is an IPv4 address as a server on both kinds sees it; before 3.13 Python does not.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False
