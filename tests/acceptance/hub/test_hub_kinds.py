"""The service behind every kind of hub: of versions 5 and 6, one that starts it itself, one that is away."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.acceptance.hub.hub_service import API_TOKEN, Behind, Browser, behind_hub, start_web, wait_for
from tests.conftest import ROOT
from tests.support.hub import ADMIN, External, Hub
from tests.support.registry import free_port
from tests.support.service import SECRET, Service

NOWHERE = "http://127.0.0.1:1"


def python_of_5() -> str:
    """The Python of an environment with JupyterHub 5."""
    script = str(ROOT / "machine" / "jupyterhub5")
    made = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    return made.stdout.strip()


def hub_as_doctor_finds_it(web: Service) -> dict[str, str]:
    found: list[dict[str, str]] = json.loads(web.run("doctor", "--json").stdout)["findings"]
    return next(one for one in found if one["part"] == "hub")


@pytest.fixture(params=["5", "6"])
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    python = python_of_5() if request.param == "5" else None
    with behind_hub(tmp_path, NOWHERE, python=python) as behind:
        assert behind.hub.version.split(".")[0] == request.param
        yield behind


def test_both_versions_identify_the_user(behind: Behind) -> None:
    browser = behind.browser("alice")
    page = browser.visit("/")
    assert (page.status_code, urlsplit(page.url).path) == (200, "/services/binder/")
    assert "alice" in page.text
    assert browser.post("/builds/1/cancel", data={}).status_code == 403
    assert browser.post("/builds/1/cancel", data={"_xsrf": browser.xsrf}).status_code == 404
    for name, status in ((ADMIN, 200), ("bob", 403)):
        assert behind.get("/admin", behind.hub.token(name)).status_code == status
    narrow = behind.hub.token(ADMIN, [behind.external.scope])
    assert behind.get("/admin", narrow).status_code == 200
    refused = behind.get("/api/v1/builds", behind.hub.token("bob", ["read:users:name!user=bob"]))
    assert refused.status_code == 403
    found = hub_as_doctor_finds_it(behind.web)
    assert found["level"] == "ok"
    assert f"JupyterHub {behind.hub.version}" in found["found"] and "as binder" in found["found"]
    browser.session.get(f"{behind.hub.url}/hub/logout", timeout=30)
    assert browser.step(f"{behind.url}/").status_code == 302


@pytest.mark.parametrize("command", ["web", "up"])
def test_a_hub_starts_the_service_itself(tmp_path: Path, command: str) -> None:
    """With nothing said of where it listens and under which path: the hub says that."""
    external = External("binder", free_port())
    environ = {
        "REPO2HUB_AUTH": "jupyterhub",
        "REPO2HUB_DATA_DIR": str(tmp_path / "data"),
        "REPO2HUB_WEBHOOK_SECRETS": SECRET,
        "REPO2HUB_GITHUB_URL": NOWHERE,
    }
    service = {
        "name": external.name,
        "url": f"http://127.0.0.1:{external.port}",
        "command": ["repo2hub", command],
        "environment": environ,
        "oauth_no_confirm": True,
    }
    roles = [{"name": "user", "scopes": ["self", external.scope]}]
    config = f"c.JupyterHub.services += [{service!r}]\nc.JupyterHub.load_roles += {roles!r}"
    web = Service(tmp_path / "data", NOWHERE, "none")
    assert web.run("db", "upgrade").returncode == 0
    with Hub(tmp_path / "hub", config) as hub:
        behind = Behind(hub, web, external)
        wait_for(behind.url, hub.log_path)
        page = behind.browser("alice").visit("/")
        assert (page.status_code, "alice" in page.text) == (200, True)
        assert behind.get("/api/v1/builds", hub.token("bob")).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{external.port}/services/binder/health", timeout=5)


@pytest.fixture
def start_alone(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """Start the web process with a hub at an address, whatever is there."""
    started: list[Service] = []

    def start(api_url: str) -> Service:
        environ = External("binder", 0).environ(Hub(tmp_path / "hub")) | {"JUPYTERHUB_API_URL": api_url}
        web = start_web(tmp_path / "web", environ, free_port(), NOWHERE)
        started.append(web)
        wait_for(f"{web.url}/services/binder", web.log_path("web"))
        return web

    yield start
    for web in started:
        web.stop_all()


def test_without_the_hub_users_get_an_error_and_api_tokens_keep_working(
    start_alone: Callable[[str], Service],
) -> None:
    web = start_alone(f"http://127.0.0.1:{free_port()}/hub/api")
    url = f"{web.url}/services/binder"
    answer = requests.get(f"{url}/api/v1/builds", headers={"Authorization": "Bearer x"}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "hub_unavailable")
    assert "Try again" in answer.json()["error"]["message"]
    assert answer.headers["Retry-After"]
    headers = {"Authorization": f"Bearer {API_TOKEN}"}
    assert requests.get(f"{url}/api/v1/builds", headers=headers, timeout=30).status_code == 200
    found = hub_as_doctor_finds_it(web)
    assert (found["level"], "cannot connect, so nobody can log in" in found["problem"]) == ("broken", True)
    # A login goes on to the hub, by the browser: whether that is there is seen there.
    behind = Behind(Hub(web.data_dir / "none"), web, External("binder", web.port))
    assert Browser(behind).step(f"{url}/").status_code == 302


def test_wrong_settings_are_all_named_at_once(tmp_path: Path) -> None:
    environ = {
        "JUPYTERHUB_API_TOKEN": "",
        "JUPYTERHUB_API_URL": "not an address",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": "access:services",
    }
    settings = {"AUTH": "jupyterhub", "PRIVATE_ACCESS": "no-rule", "USER_ACTIVE_BUILDS": "some", "PORT": "0"}
    web = Service(tmp_path, NOWHERE, "none", settings, environ)
    said = web.run("web")
    assert said.returncode != 0
    for word in (
        "JUPYTERHUB_API_TOKEN is not set",
        "JUPYTERHUB_API_URL must be an address",
        "JUPYTERHUB_CLIENT_ID is not set",
        "JUPYTERHUB_SERVICE_PREFIX is not set",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES must be a list",
        "REPO2HUB_PRIVATE_ACCESS",
        "REPO2HUB_USER_ACTIVE_BUILDS",
    ):
        assert word in said.stderr
