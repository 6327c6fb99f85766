"""Addresses of repositories that are not at GitHub: which are let in, and how they are spelt.

A repository's address is a request to make this host (and the builder) speak to another one, so it is taken apart
and put together again from what is known to be harmless: https, a host that the admin listed, a path of plain
names. What git would understand besides (ssh, git, file and ext, user names, passwords, options) is not let in.
Pure.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from base.git_hosts import is_listed
from webhook.lookup.revision import ResolveError, parse_repository

MAX_LENGTH = 300

_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_~][A-Za-z0-9_.~+-]*")


def parse_address(text: str, hosts: Iterable[str], github_url: str) -> str:
    """Return the name under which the repository at an address is known: the address, or GitHub's `org/name`.

    `hosts` are those of REPO2HUB_GIT_HOSTS. Raises ResolveError.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH or not re.fullmatch(r"(?i)https?://[!-~]+", text):
        raise _bad_address("Write the repository's address as https://host/path, URL-encoded as one word.")
    try:
        address = urlsplit(text)
        host, port = (address.hostname or "").lower(), address.port
    except ValueError:
        raise _bad_address("That is no address.") from None
    if address.username is not None or address.password is not None:
        raise _bad_address(
            "Leave the user name and password out: only public repositories are fetched this way."
        )
    if address.query or address.fragment or not _HOST.fullmatch(host):
        raise _bad_address("Write the repository's address as https://host/path, with nothing behind it.")
    scheme = address.scheme.lower()
    port = None if (scheme, port) == ("https", 443) else port
    netloc = host if port is None else f"{host}:{port}"
    github = urlsplit(github_url).netloc.lower()
    if netloc in (github, f"www.{github}"):
        return parse_repository(address.path.strip("/"), github_url)
    if not _is_allowed(scheme, host, port, tuple(hosts)):
        raise ResolveError(
            "host_not_allowed",
            f"This service fetches no repositories from {netloc}. Its admin can add it to REPO2HUB_GIT_HOSTS.",
        )
    path = address.path.removeprefix("/").rstrip("/").removesuffix(".git")
    if not all(_NAME.fullmatch(name) for name in path.split("/")):
        raise _bad_address("The path of the address is not one of plain names.")
    return f"{scheme}://{netloc}/{path}"


def _is_allowed(scheme: str, host: str, port: int | None, hosts: tuple[str, ...]) -> bool:
    if is_listed(scheme, host, port, hosts):
        return True
    # `*` is for the web's own port: on others stand services that are not meant for everybody.
    return "*" in hosts and scheme == "https" and port is None and _looks_public(host)


def _looks_public(host: str) -> bool:
    """Tell a name from an address by number and from the names that mean something on this network alone."""
    try:
        ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        return "." in host and not last.isdigit() and last not in ("local", "internal", "localhost")
    return False


def _bad_address(message: str) -> ResolveError:
    return ResolveError("bad_repository", message)
