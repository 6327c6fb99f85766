"""XSRF tokens: they prove that a request with a session cookie comes from one of our pages.

A browser sends its cookies with every request, also if another web site caused it, or on a hub a page of
another user's server, which has the same origin. So a request that changes something by cookie must contain
what only our pages know: a signature of the session, in the header X-XSRFToken or the form field _xsrf.

Our pages get the token in their HTML, and in a cookie under our path that their JavaScript can read. This
cookie proves nothing: a site that can plant one still cannot sign it.
"""

import hmac
from urllib.parse import urlsplit

from flask import Request

COOKIE = "_xsrf"
FIELD = "_xsrf"
HEADER = "X-XSRFToken"


def sign(secret: bytes, session: str) -> str:
    """Return the XSRF token of a session."""
    return hmac.digest(secret, f"xsrf {session}".encode("utf-8", "surrogatepass"), "sha256").hex()


def has_valid_token(request: Request, expected: str) -> bool:
    """Return whether a request contains the expected token."""
    token = request.headers.get(HEADER)
    if token is None and is_form(request):
        token = request.form.get(FIELD)
    candidate = (token or "").encode("utf-8", "surrogatepass")
    return hmac.compare_digest(candidate, expected.encode("ascii"))


def is_form(request: Request) -> bool:
    """Return whether a request was sent by an HTML form."""
    return request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")


def may_disclose_token(request: Request, base_path: str) -> bool:
    """Return whether only the user or one of our pages reads the response, so that it may contain the token.

    A page under another path of this origin can fetch our pages, but then Sec-Fetch-Mode is not `navigate`. It can
    still forge the Referer within its origin, and read a window that it opened. So this is a hurdle; the only
    protection against such pages is a domain for each user (docs/access.md).
    """
    if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        return True
    referrer = urlsplit(request.headers.get("Referer", ""))
    return referrer.netloc == request.headers.get("Host") and referrer.path.startswith(base_path)
