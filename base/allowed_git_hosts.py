"""Decide which servers git may connect to, when a user names an address.

The configured GitHub and the servers in REPO2HUB_GIT_HOSTS may be anywhere, also on a private network. Any other
server (allowed by `*`, or named by a submodule) must be public and use https; otherwise users could reach this
host's private network through it. Its name is therefore resolved here, and git gets the addresses
(`http.curloptResolve`, git 2.37), so that the name cannot resolve to another address later.

Redirects would bypass this, so git follows only GitHub's own (`base.git_environment`). Behind a proxy, the proxy
resolves names and must protect its private network.
"""

import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

#: Only what git, curl and this module parse to the same host: no backslash, no second @, no [...].
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?:[\w.~%+:-]+@)?(?P<host>[\w.-]+)(?::(?P<port>[0-9]{1,5}))?(?:/[!-\[\]-~]*)?",
    re.ASCII,
)
#: NAT64 (RFC 6052): public IPv6 addresses that embed an IPv4 address.
_NAT64 = ip_network("64:ff9b::/96")
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


class HostNotAllowed(Exception):
    """The server is not allowed; the text completes a sentence that begins with its address."""


def is_listed(scheme: str, host: str, port: int | None, hosts: Iterable[str]) -> bool:
    """Return whether a server is one of `hosts`, each as `host`, `host:port` or `http://host:port`."""
    netloc = host.lower() if port is None or (scheme, port) == ("https", 443) else f"{host.lower()}:{port}"
    return (netloc if scheme == "https" else f"{scheme}://{netloc}") in hosts


def pin_address(
    url: str, *, github_url: str, hosts: Sequence[str], environ: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the git configuration that pins the server of `url` to its checked addresses.

    Empty for servers that may be anywhere. Raises HostNotAllowed, or OSError if the name does not resolve.
    """
    if url.startswith(f"{github_url}/"):
        return []
    address = _ADDRESS.fullmatch(url)
    if address is None:
        raise HostNotAllowed("does not have an address of the form https://host/path")
    host, port = address["host"], int(address["port"]) if address["port"] else None
    if is_listed(address["scheme"], host, port, hosts):
        return []
    if address["scheme"] != "https":
        raise HostNotAllowed("must be accessed with https")
    is_proxied = _is_proxied(host, environ)
    try:
        # Behind a proxy only numeric addresses are checked here; the proxy resolves names.
        found = _addresses(host, socket.AI_NUMERICHOST if is_proxied else 0)
    except OSError:
        if is_proxied:
            return []
        raise
    if not all(_is_public(one) for one in found):
        raise HostNotAllowed("is on a private network and not in REPO2HUB_GIT_HOSTS")
    listed = ",".join(f"[{one}]" if isinstance(one, IPv6Address) else str(one) for one in found)
    return [("http.curloptResolve", f"{host}:{port or 443}:{listed}")]


def with_git_suffix(url: str) -> str:
    """Return the URL of a repository with the suffix `.git`, to which GitLab redirects."""
    return f"{url.rstrip('/')}.git"


def _is_proxied(host: str, environ: Mapping[str, str]) -> bool:
    if not any(environ.get(name) for name in _PROXIES):
        return False
    direct = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return not proxy_bypass_environment(host, {"no": direct})


def _addresses(host: str, flags: int) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as exc:
        raise HostNotAllowed("has an invalid name") from exc
    return [ip_address(str(where[0]).partition("%")[0]) for *_, where in found]


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address.is_global and not address.is_multicast
