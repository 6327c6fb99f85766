"""What git is given of the machine, and of the token."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from base.git_environment import git_environment
from builder.source.git_access import GitAccess

GITHUB = "https://github.example"
TOKEN = "ghs_notarealtokenbutlongenough"


def config(environment: dict[str, str]) -> dict[str, str]:
    count = int(environment["GIT_CONFIG_COUNT"])
    return {environment[f"GIT_CONFIG_KEY_{n}"]: environment[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}


@pytest.mark.parametrize(
    ("github_url", "protocols"), [(GITHUB, "https"), ("http://127.0.0.1:8000", "http:https")]
)
def test_plain_http_is_spoken_only_where_github_speaks_it(
    tmp_path: Path, github_url: str, protocols: str
) -> None:
    access = GitAccess(github_url, None, tmp_path, None)
    assert access.environment()["GIT_ALLOW_PROTOCOL"] == protocols


def test_nothing_is_taken_over_but_the_way_to_the_network(tmp_path: Path) -> None:
    environ = {
        "PATH": "/opt/git/bin",
        "https_proxy": "http://proxy.example:3128",
        "HOME": "/home/admin",
        "SSH_AUTH_SOCK": "/run/agent",
        "GIT_DIR": "/elsewhere",
        "GIT_CONFIG_PARAMETERS": "'core.hooksPath=/evil'",
        "REPO2HUB_DATABASE_URL": "postgresql://u:p@host/db",
    }
    given = GitAccess(GITHUB, None, tmp_path, None, environ).environment()
    assert (given["PATH"], given["https_proxy"]) == ("/opt/git/bin", "http://proxy.example:3128")
    assert given["HOME"] == given["XDG_CONFIG_HOME"] == str(tmp_path)
    assert given["GIT_CONFIG_GLOBAL"] == "/dev/null" and given["GIT_CONFIG_NOSYSTEM"] == "1"
    assert not {"SSH_AUTH_SOCK", "GIT_DIR", "GIT_CONFIG_PARAMETERS", "REPO2HUB_DATABASE_URL"} & given.keys()


def test_the_token_is_for_one_repository_and_follows_no_redirect(tmp_path: Path) -> None:
    access = GitAccess(GITHUB, SecretStr(TOKEN), tmp_path, None)
    named = config(access.environment(f"{GITHUB}/org/repo"))
    assert [key for key in named if "extraHeader" in key] == [f"http.{GITHUB}/org/repo.extraHeader"]
    assert named["http.followRedirects"] == "false"
    anonymous = config(access.environment())
    assert not [key for key in anonymous if "extraHeader" in key]
    assert "initial" not in named.values()
    assert anonymous["http.followRedirects"] == "false"
    assert anonymous[f"http.{GITHUB}/.followRedirects"] == "initial"


def test_without_a_token_nobody_is_told_who_asks(tmp_path: Path) -> None:
    named = config(GitAccess(GITHUB, None, tmp_path, None).environment(f"{GITHUB}/org/repo"))
    assert not [key for key in named if "extraHeader" in key]


def test_extra_certificates_are_trusted_besides_the_systems(tmp_path: Path) -> None:
    (tmp_path / "system.pem").write_text("SYSTEM")
    (tmp_path / "extra.pem").write_text("EXTRA")
    environ = {"SSL_CERT_FILE": str(tmp_path / "system.pem")}
    home = tmp_path / "home"
    home.mkdir()
    given = GitAccess(GITHUB, None, home, tmp_path / "extra.pem", environ).environment()
    assert Path(given["GIT_SSL_CAINFO"]).read_text().split() == ["SYSTEM", "EXTRA"]
    assert Path(given["GIT_SSL_CAINFO"]).parent == home


def test_the_machines_own_bundle_is_named_to_git(tmp_path: Path) -> None:
    given = GitAccess(GITHUB, None, tmp_path, None, {"SSL_CERT_FILE": "/etc/bundle.pem"}).environment()
    assert given["GIT_SSL_CAINFO"] == "/etc/bundle.pem"
    assert "GIT_SSL_CAINFO" not in GitAccess(GITHUB, None, tmp_path, None).environment()


def test_git_gets_only_the_network_settings_of_this_host() -> None:
    here = {
        "PATH": "/bin",
        "HOME": "/root",
        "GIT_DIR": "/x",
        "SSL_CERT_FILE": "/ca",
        "https_proxy": "p",
        "X": "y",
    }
    seen = git_environment("https://github.com", here, github_url="https://github.com")
    assert {"GIT_DIR", "X"} & seen.keys() == set() and seen["HOME"] != "/root"
    assert (seen["PATH"], seen["https_proxy"], seen["GIT_SSL_CAINFO"]) == ("/bin", "p", "/ca")
    assert seen["GIT_ALLOW_PROTOCOL"] == "https"
