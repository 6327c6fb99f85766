"""Render the form of the spawn page: the admin's images and sizes, and the fields for a repository.

`launcher.js` fetches the ready images and build logs from the service as the user, so the page loads at once,
also while the service is down. All names and values are escaped.
"""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from repo2hub_launcher.settings import Resources, Settings

_HERE = Path(__file__).parent
_GIB = 2**30


def render_form(
    settings: Settings, *, link_fields: Mapping[str, str], last_options: Mapping[str, str], note: str = ""
) -> str:
    """Return the form's HTML, style and script included.

    `link_fields`, from the link, take precedence over `last_options`, the user options of the last start.
    """
    initial = dict(link_fields) if link_fields.get("repo") else {**last_options, **link_fields}
    config = {
        "service": settings.service_name,
        "repo": initial.get("repo", ""),
        "ref": initial.get("ref", ""),
        "link": bool(link_fields.get("repo")),
    }
    parts = {
        "style": (_HERE / "launcher.css").read_text(encoding="utf-8"),
        "script": (_HERE / "launcher.js").read_text(encoding="utf-8"),
        "config": _json(config),
        "note": f'<p class="alert alert-warning" role="note">{escape(note)}</p>' if note else "",
        "fixed": _fixed(settings, initial),
        "resources": _resources(settings, initial.get("resources", "")),
        "repo": escape(initial.get("repo", "")),
        "ref": escape("" if initial.get("ref") == "HEAD" else initial.get("ref", "")),
    }
    page = (_HERE / "form.html").read_text(encoding="utf-8")
    for name, value in parts.items():
        page = page.replace(f"<!-- {name} -->", value)
    return page


def _fixed(settings: Settings, initial: Mapping[str, str]) -> str:
    if not settings.fixed_images:
        return ""
    chosen = initial.get("fixed")
    if chosen not in settings.fixed_images and not initial.get("repo"):
        chosen = next(iter(settings.fixed_images))
    cards = [_card(name, image, name == chosen) for name, image in settings.fixed_images.items()]
    return f'<div class="r2h-group"><h2 class="r2h-heading">Images of this hub</h2>{"".join(cards)}</div>'


def _card(name: str, image: str, checked: bool) -> str:
    mark = " checked" if checked else ""
    return (
        f'<label class="r2h-card"><input type="radio" name="choice" value="fixed:{escape(name)}"{mark}>'
        f'<span class="r2h-card-body"><span class="r2h-name">{escape(name)}</span>'
        f'<span class="r2h-detail r2h-image" title="{escape(image)}">{escape(image)}</span></span></label>'
    )


def _resources(settings: Settings, chosen: str) -> str:
    if not settings.resources:
        return ""
    if chosen not in settings.resources:
        chosen = next(iter(settings.resources))
    cards = [_size(name, size, name == chosen) for name, size in settings.resources.items()]
    return (
        '<fieldset class="r2h-fieldset"><legend>Resource Allocation</legend>'
        f'<div class="r2h-sizes">{"".join(cards)}</div></fieldset>'
    )


def _size(name: str, size: Resources, checked: bool) -> str:
    mark = " checked" if checked else ""
    return (
        f'<label class="r2h-card"><input type="radio" name="resources" value="{escape(name)}"{mark}>'
        f'<span class="r2h-card-body"><span class="r2h-name">{escape(name)}</span>'
        f'<span class="r2h-detail">{escape(describe_resources(size))}</span></span></label>'
    )


def describe_resources(size: Resources) -> str:
    """Return a size as text, such as "2 GB memory, 1 CPU"."""
    parts = []
    if size.memory is not None:
        parts.append(f"{size.memory / _GIB:.3g} GB memory")
    if size.cpu is not None:
        parts.append(f"{size.cpu:g} CPU" if size.cpu <= 1 else f"{size.cpu:g} CPUs")
    return ", ".join(parts) or "no limit"


def _json(value: object) -> str:
    """Return JSON for a script element, which nothing in it can close."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
