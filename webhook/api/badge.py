"""The badge of a ref: an SVG for READMEs that says ready, building, failed or none.

Badges need no login, because GitHub fetches the images of a README on behalf of every reader. The badge of a
repository that the user may not see is the same as for one that does not exist. There are four fixed images, and
nothing of a request gets into them.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from flask import Blueprint, Request, Response, request
from werkzeug.exceptions import HTTPException

from db.database import Database
from db.queries import badge_status
from db.queries.badge_status import BadgeStatus, RefBadge
from webhook.access.auth import Guard
from webhook.access.permissions import User, may_see
from webhook.http.errors import HttpError, ResolveError
from webhook.lookup.revision import parse_ref, parse_spec

MAX_AGE = 30
"""Seconds that browsers and GitHub's image proxy cache a badge."""

_FOR_ALL, _FOR_ONE = f"public, max-age={MAX_AGE}", "private, no-cache"
_LABEL = "image"
_LENGTHS = {
    _LABEL: 34,
    BadgeStatus.READY: 32,
    BadgeStatus.BUILDING: 44,
    BadgeStatus.FAILED: 31,
    BadgeStatus.NONE: 28,
}  # widths in pixels in 11 px Verdana or DejaVu Sans; `textLength` fits other fonts to them
_COLOURS = {
    BadgeStatus.READY: "#1a7f37",
    BadgeStatus.BUILDING: "#9a6700",
    BadgeStatus.FAILED: "#cf222e",
    BadgeStatus.NONE: "#59636e",
}
_PADDING = 7


class RenderedBadge(NamedTuple):
    """One of the images, with its ETag."""

    svg: bytes
    etag: str


@dataclass(frozen=True)
class Badges:
    """The view of badges; `recipe` is that of the images."""

    database: Database
    recipe: str
    guard: Guard

    def blueprint(self) -> Blueprint:
        """Return the route, to be registered under the base path."""
        badges = Blueprint("badge", __name__)
        badges.add_url_rule("/badge/gh/<path:spec>.svg", view_func=self.badge, methods=["GET"])
        return badges

    def badge(self, spec: str) -> Response:
        """Return the badge of `org/repo` or `org/repo/ref`; the ref defaults to the default branch."""
        found = self._find(spec)
        if found is not None and may_see(None, found):
            return _answer(found.badge_status)
        # Authenticates even if nothing was found: the response must not reveal whether the repository exists.
        user = self._user(request)
        if found is None or user is None or not may_see(user, found):
            return _answer(BadgeStatus.NONE)
        return _answer(found.badge_status, _FOR_ONE)

    def _find(self, spec: str) -> RefBadge | None:
        try:
            full_name, ref = parse_spec(spec)
            revision = parse_ref(ref)
        except ResolveError:
            return None
        return badge_status.find(
            self.database, full_name, self.recipe, commit=revision.commit, refs=revision.refs
        )

    def _user(self, request: Request) -> User | None:
        try:
            self.guard.check(request)
        except (HttpError, HTTPException):  # the latter is a redirect to a login
            return None
        return self.guard.user()


def render_badge(of: BadgeStatus) -> RenderedBadge:
    """Return the image of a status."""
    left, right = _LENGTHS[_LABEL] + 2 * _PADDING, _LENGTHS[of] + 2 * _PADDING
    svg = _SVG.format(
        label=_LABEL,
        value=of.value,
        width=left + right,
        left=left,
        right=right,
        label_at=left / 2,
        value_at=left + right / 2,
        label_length=_LENGTHS[_LABEL],
        value_length=_LENGTHS[of],
        colour=_COLOURS[of],
    ).encode()
    return RenderedBadge(svg, hashlib.sha256(svg).hexdigest()[:20])


def _answer(of: BadgeStatus, cache: str = _FOR_ALL) -> Response:
    svg, etag = _RENDERED[of]
    headers = [
        ("ETag", f'"{etag}"'),
        ("Cache-Control", cache),
        # Badges are for other sites.
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Vary", "Authorization, Cookie"),
    ]
    if request.if_none_match.contains(etag):
        return Response(status=304, headers=headers)
    return Response(svg, headers=headers, content_type="image/svg+xml; charset=utf-8")


# Without style attributes and web fonts, which the Content-Security-Policy of the response forbids.
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" viewBox="0 0 {width} 20" role="img" \
aria-label="repo2hub {label}: {value}">
<title>repo2hub {label}: {value}</title>
<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)">
<rect width="{left}" height="20" fill="#30363d"/>
<rect x="{left}" width="{right}" height="20" fill="{colour}"/>
</g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">
<text x="{label_at}" y="14" textLength="{label_length}" lengthAdjust="spacingAndGlyphs">{label}</text>
<text x="{value_at}" y="14" textLength="{value_length}" lengthAdjust="spacingAndGlyphs">{value}</text>
</g>
</svg>
"""
_RENDERED = {of: render_badge(of) for of in BadgeStatus}
