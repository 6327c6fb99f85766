"""Validate the URLs of repositories that are not on GitHub, and bring them into one spelling. Pure.

A repository's URL makes this host and the builder connect to another one. So the URL is taken apart and
rebuilt from parts that are known to be safe: https, a host that the admin listed, a path of plain names.
Everything else that git understands (ssh, git, file, ext, user names, passwords, options) is rejected.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from base.allowed_git_hosts import is_listed
from webhook.http.errors import ResolveError
from webhook.lookup.revision import parse_repository

MAX_LENGTH = 300

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9_.~+-]*")


def parse_address(text: str, hosts: Iterable[str], github_url: str) -> str:
    """Return the full name of the repository at a URL: the normalized URL, or `org/name` if it is on GitHub.

    `hosts` is REPO2HUB_GIT_HOSTS. Raises ResolveError.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH or not re.fullmatch(r"(?i)https?://[!-~]+", text):
        raise _bad_address("Enter the repository as https://host/path, URL-encoded.")
    try:
        address = urlsplit(text)
        host, port = (address.hostname or "").lower(), address.port
    except ValueError:
        raise _bad_address("The repository's URL is invalid. Enter it as https://host/path.") from None
    if address.username is not None or address.password is not None:
        raise _bad_address("Remove the user name and password: repositories on other servers must be public.")
    if address.query or address.fragment or not _HOST.fullmatch(host):
        raise _bad_address("Enter the repository as https://host/path, without a query or fragment.")
    scheme = address.scheme.lower()
    port = None if (scheme, port) == ("https", 443) else port
    netloc = host if port is None else f"{host}:{port}"
    github = urlsplit(github_url).netloc.lower()
    if netloc in (github, f"www.{github}"):
        return parse_repository(address.path.strip("/"), github_url)
    if not _is_allowed(scheme, host, port, tuple(hosts)):
        raise ResolveError(
            "host_not_allowed",
            f"This service does not build repositories from {netloc}. An admin can add it to REPO2HUB_GIT_HOSTS.",
        )
    path = address.path.removeprefix("/").rstrip("/").removesuffix(".git")
    if not all(_NAME.fullmatch(name) for name in path.split("/")):
        raise _bad_address("The path of the repository's URL contains characters that are not allowed.")
    return f"{scheme}://{netloc}/{path}"


def _is_allowed(scheme: str, host: str, port: int | None, hosts: tuple[str, ...]) -> bool:
    if is_listed(scheme, host, port, hosts):
        return True
    # `*` allows the default port only: other ports often serve something that is not public.
    return "*" in hosts and scheme == "https" and port is None and _looks_public(host)


def _looks_public(host: str) -> bool:
    """Return whether a host is a public DNS name: no IP address, and no name of the local network."""
    try:
        ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        return "." in host and not last.isdigit() and last not in ("local", "internal", "localhost")
    return False


def _bad_address(message: str) -> ResolveError:
    return ResolveError("bad_repository", message)
