"""What a request to BinderHub's build API asks for, read from its raw path. Pure.

`gh/<org>/<repo>/<ref>`, where the ref may have slashes, and `git/<URL-encoded address>/<URL-encoded ref>`. Clients
encode slashes as %2F in different places, and WSGI hands on a path in which they are decoded already, so the path
is taken as it was sent.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from webhook.http.errors import HttpError
from webhook.http.parameters import request_target
from webhook.lookup.git_address import parse_address
from webhook.lookup.revision import Spec, parse_spec

SUPPORTED = "gh/<org>/<repo>/<ref> and git/<URL-encoded address>/<ref>"


def raw_path(environ: Mapping[str, Any], prefix: str) -> str:
    """Return what stands behind `prefix` in the path of a request, as it was sent.

    Where the server does not tell, or a proxy sent something that does not mean the same as what was routed here,
    it is the decoded path encoded again: then a slash is a slash.
    """
    routed = str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
    raw = request_target(environ)
    raw = re.sub(r"^[a-z]+://[^/]*", "", raw, flags=re.IGNORECASE).partition("?")[0]
    if not raw.startswith(prefix) or unquote(raw) != routed:
        raw = quote(routed, safe="/:@")
    return raw.removeprefix(prefix)


def parse_provider_spec(raw: str, *, git_hosts: Iterable[str], github_url: str) -> Spec:
    """Return the repository and the ref of `<provider>/<spec>`; without a ref, HEAD is meant.

    Raises HttpError 400 for a provider that is not supported, or ResolveError.
    """
    provider, _, spec = raw.rstrip("/").partition("/")
    if provider == "gh":
        return parse_spec(unquote(spec), github_url)
    if provider == "git":
        address, _, ref = spec.partition("/")
        if unquote(address).rstrip(":").lower() in ("http", "https"):
            message = (
                f"Encode the slashes of the address: git/https%3A%2F%2F{_host(unquote(spec))}%2Fpath/<ref>."
            )
            raise HttpError(400, "bad_repository", message)
        full_name = parse_address(unquote(address), git_hosts, github_url)
        return Spec(full_name, unquote(ref) or "HEAD")
    raise HttpError(400, "unsupported_provider", f"Unknown provider {provider[:40]!r}. Use {SUPPORTED}.")


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or "host"
    except ValueError:
        return "host"
