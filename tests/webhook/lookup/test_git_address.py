"""Addresses of other git servers: which are let in, and that two spellings of one are one."""

import pytest

from webhook.http.errors import ResolveError
from webhook.lookup.git_address import parse_address

GITHUB = "https://github.com"
HOSTS = ("gitlab.com", "git.example.org:8443", "http://127.0.0.1:3000")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://gitlab.com/group/sub/project", "https://gitlab.com/group/sub/project"),
        ("https://GitLab.com/Group/Project.git", "https://gitlab.com/Group/Project"),
        (" HTTPS://gitlab.com:443/group/project/ ", "https://gitlab.com/group/project"),
        ("https://git.example.org:8443/~user/x", "https://git.example.org:8443/~user/x"),
        ("http://127.0.0.1:3000/a/b", "http://127.0.0.1:3000/a/b"),
        ("https://github.com/Org/Repo.git", "Org/Repo"),
        ("https://www.GitHub.com/Org/Repo/", "Org/Repo"),
    ],
)
def test_an_allowed_url_has_one_spelling(text: str, name: str) -> None:
    assert parse_address(text, HOSTS, GITHUB) == name


@pytest.mark.parametrize(
    "text",
    [
        "http://gitlab.com/a/b",
        "https://gitlab.com.evil.example/a/b",
        "https://evil.example/gitlab.com/a",
        "https://gitlab.com:8443/a/b",
        "https://git.example.org/a/b",
        "https://127.0.0.1:3000/a/b",
        "http://127.0.0.1:3001/a/b",
        "http://localhost:3000/a/b",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/a/b",
        "https://user@gitlab.com/a/b",
        "https://user:secret@gitlab.com/a/b",
        "https://gitlab.com@evil.example/a/b",
        "https://gitlab.com\\@evil.example/a/b",
        "https://gitlab.com/a/../b",
        "https://gitlab.com//a/b",
        "https://gitlab.com/-a/b",
        "https://gitlab.com/a b",
        "https://gitlab.com/a\nb",
        "https://gitlab.com/a%2f..%2fb",
        "https://gitlab.com/",
        "https://gitlab.com/a?x=1",
        "https://gitlab.com/a#x",
        "https://gitlab.com:99999/a",
        "https://gitlab.com/" + "a" * 300,
        "ssh://git@gitlab.com/a/b",
        "git@gitlab.com:a/b",
        "git://gitlab.com/a/b",
        "file:///etc/passwd",
        "ext::sh -c id",
        "--upload-pack=touch /tmp/x",
        "/etc/passwd",
        "gitlab.com/a/b",
        "",
    ],
)
def test_a_url_that_could_reach_another_server_is_rejected(text: str) -> None:
    with pytest.raises(ResolveError):
        parse_address(text, HOSTS, GITHUB)


@pytest.mark.parametrize("host", ["anything.example", "git.sr.ht"])
def test_a_star_allows_every_public_host(host: str) -> None:
    assert parse_address(f"https://{host}/a/b", ["*"], GITHUB) == f"https://{host}/a/b"


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/a",
        "https://10.0.0.7/a",
        "https://2130706433/a",
        "https://0x7f.1/a",
        "https://localhost/a",
        "https://git/a",
        "https://db.internal/a",
        "https://printer.local/a",
        "http://anything.example/a",
    ],
)
def test_a_star_allows_no_ip_addresses_and_local_names(address: str) -> None:
    with pytest.raises(ResolveError):
        parse_address(address, ["*"], GITHUB)
