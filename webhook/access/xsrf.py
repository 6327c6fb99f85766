"""Proof that a request comes from one of our own pages, where a browser's cookie says who asks.

A browser sends its cookies along whoever makes it send a request: another web site, or, on a hub, a page of
another user's server, which has the very same origin. So what is changed by cookie must bring along what only our
pages were told: a signature of the session, as a header (X-XSRFToken) or as a form's field (_xsrf).

It is told in our pages and in a cookie that their JavaScript can read, under our path only. The cookie is a
messenger and proves nothing: whoever can plant one cannot sign.
"""

import hmac
from urllib.parse import urlsplit

from flask import Request

COOKIE = "_xsrf"
FIELD = "_xsrf"
HEADER = "X-XSRFToken"


def sign(secret: bytes, session: str) -> str:
    """Return what proves that somebody was told by us in this session."""
    return hmac.digest(secret, f"xsrf {session}".encode("utf-8", "surrogatepass"), "sha256").hex()


def has_valid_token(request: Request, expected: str) -> bool:
    """Say whether a request brings the proof along."""
    given = request.headers.get(HEADER)
    if given is None and is_form(request):
        given = request.form.get(FIELD)
    candidate = (given or "").encode("utf-8", "surrogatepass")
    return hmac.compare_digest(candidate, expected.encode("ascii"))


def is_form(request: Request) -> bool:
    """Say whether a request is what a page's form sends."""
    return request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")


def may_disclose_token(request: Request, base_path: str) -> bool:
    """Say whether the answer is read by the user's eyes or one of our pages: then it may hold the proof.

    A page of another path of this origin could fetch ours and read it; it cannot make the browser say that it
    is on its way to a new page. The Referer it can choose within its origin, and a window that it opened it can
    read: this is a hurdle for such pages, and a domain for each user the only wall (docs/access.md).
    """
    if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        return True
    asker = urlsplit(request.headers.get("Referer", ""))
    return asker.netloc == request.headers.get("Host") and asker.path.startswith(base_path)
