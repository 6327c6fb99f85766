"""What the commands do with errors of the service, and how they find and authenticate to it."""

import json
import subprocess

import pytest

from demo.github.git_server import GitServer
from tests.repo2hub.command_line import REPO2HUB, Web, clean_environment
from tests.repo2hub.commands.conftest import SECRET

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("build", "NAME@nosuch"), 3),
        (("lookup", "org/nosuch"), 3),
        (("build", "evil/repo"), 2),
        (("build", "NAME@-x..y"), 2),
        (("cancel", "99999"), 3),
        (("log", "99999"), 3),
    ],
)
def test_an_error_of_the_service_is_one_line_and_an_exit_code(
    words: tuple[str, ...], code: int, web: Web, name: str
) -> None:
    got, out, err = web.run(*(word.replace("NAME", name) for word in words))
    assert (got, out, len(err.splitlines())) == (code, "", 1), err


def test_another_kind_of_server_counts_as_unreachable(github: GitServer) -> None:
    environment = clean_environment(SERVER=github.url)
    result = subprocess.run(
        [REPO2HUB, "lookup", "a/b"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (4, "")


def test_a_token_is_required_and_read_from_the_environment(
    sqlite_url: str,
) -> None:
    settings = {"DATABASE_URL": sqlite_url, "WEBHOOK_SECRETS": SECRET}
    closed = Web(settings | {"AUTH": "token", "API_TOKENS": "first-token,second-token"})
    closed.start()
    try:
        code, _, err = closed.run("builds")
        assert (code, len(err.splitlines())) == (2, 1)
        assert closed.run("builds", API_TOKEN="second-token")[0] == 0
        assert closed.run("builds", "--token", "wrong")[0] == 2
    finally:
        closed.stop()


def test_a_service_of_a_hub_is_found_by_the_variables_of_the_hub(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = {
        "JUPYTERHUB_API_TOKEN": "a token",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
        "JUPYTERHUB_CLIENT_ID": "service-binder",
        "JUPYTERHUB_SERVICE_NAME": "binder",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/binder/",
    }
    for name, value in hub.items():
        monkeypatch.setenv(name, value)
    settings = {"DATABASE_URL": sqlite_url, "WEBHOOK_SECRETS": SECRET}
    settings |= {"AUTH": "jupyterhub", "API_TOKENS": "a-token"}
    behind = Web(settings, base="/services/binder")
    behind.start()
    try:
        here = settings | {"SERVER": "", "PORT": str(behind.port)}
        code, out, err = behind.run("builds", "--json", **here)
        assert (code, json.loads(out)) == (0, []), err
        # A 404 outside of the base path does not mean that there is no image.
        code, _, err = behind.run("lookup", "org/repo", **here | {"BASE_URL": "/"})
        assert (code, len(err.splitlines())) == (4, 1) and "base path included" in err
    finally:
        behind.stop()
