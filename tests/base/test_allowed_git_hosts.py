"""Which servers git may connect to, and that it goes to the addresses that were looked at."""

import socket
from collections.abc import Callable

import pytest

from base.allowed_git_hosts import HostNotAllowed, pin_address

GITHUB = "https://github.com"
HOSTS = ("git.internal", "git.example:8443", "http://127.0.0.1:3000", "*")
PROXY = {"https_proxy": "http://proxy.example:3128"}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every name stand for these addresses: DNS is not asked, and numbers are read as ever."""
    look_up = socket.getaddrinfo

    def stand_for(*addresses: str) -> None:
        def answer(host: str, port: int, *, flags: int = 0, **options: int) -> list[object]:
            try:
                return list(look_up(host, port, flags=socket.AI_NUMERICHOST))
            except socket.gaierror:
                if flags or not addresses:
                    raise
            return [(2, 1, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return stand_for


def ask(url: str, environ: dict[str, str] | None = None) -> list[tuple[str, str]]:
    return pin_address(url, github_url=GITHUB, hosts=HOSTS, environ=environ or {})


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/org/repo",
        "https://git.internal/a/b",
        "https://git.internal:443/a/b",
        "https://GIT.internal/a/b",
        "https://git.example:8443/a/b",
        "http://127.0.0.1:3000/a/b",
    ],
)
def test_github_and_listed_servers_may_be_anywhere(names: Callable[..., None], url: str) -> None:
    names("10.0.0.7")
    assert ask(url) == []


def test_a_public_server_is_pinned_to_its_addresses(names: Callable[..., None]) -> None:
    names("192.0.32.8", "2620:0:2d0:200::8")
    assert ask("https://host.example/a") == [
        ("http.curloptResolve", "host.example:443:192.0.32.8,[2620:0:2d0:200::8]")
    ]
    assert ask("https://me@host.example:8443/a")[0][1].startswith("host.example:8443:192.0.32.8")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.7",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.7",
        "64:ff9b::a00:7",
    ],
)
def test_a_name_with_one_private_address_is_not_asked(names: Callable[..., None], address: str) -> None:
    names("192.0.32.8", address)
    with pytest.raises(HostNotAllowed, match="private network"):
        ask("https://host.example/a")


@pytest.mark.parametrize(
    "url",
    [
        "http://host.example/a",
        "http://git.internal/a",
        "http://github.com/a",
        "https://github.com.evil.example\\@host.example/a",
        "https://a@b@host.example/a",
        "https://host.example\t/a",
        "https://[::1]/a",
        "https://host.example:/a",
        "https://host.example?@github.com/a",
        "https://h\u00f6st.example/a",
        "ssh://git.internal/a",
    ],
)
def test_what_is_no_plain_https_address_is_not_asked(names: Callable[..., None], url: str) -> None:
    names("192.0.32.8")
    with pytest.raises(HostNotAllowed):
        ask(url)


def test_behind_a_proxy_only_ip_addresses_are_checked(names: Callable[..., None]) -> None:
    names()
    assert ask("https://host.example/a", PROXY) == []
    for number in ("10.0.0.7", "0x7f.1", "2130706433"):
        with pytest.raises(HostNotAllowed):
            ask(f"https://{number}/a", PROXY)
    names("10.0.0.7")
    with pytest.raises(HostNotAllowed):
        ask("https://host.example/a", PROXY | {"no_proxy": ".example"})


def test_a_name_that_does_not_resolve_is_a_network_error(names: Callable[..., None]) -> None:
    names()
    with pytest.raises(socket.gaierror):
        ask("https://host.example/a")
