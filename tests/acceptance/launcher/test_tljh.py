"""What an admin may change of TLJH's example: home volumes, which hide what images have in the home folder, so
that repositories lie elsewhere; links that start a server by themselves; no images of the admin's own."""

from collections.abc import Iterator

import docker
import pytest
import requests
from playwright.sync_api import expect

from tests.acceptance.launcher import hub_with_launcher as stage
from tests.acceptance.launcher.hub_with_launcher import CONTAINERS, TLJH, Launcher
from tests.support.browser import LIMIT, chromium

pytestmark = pytest.mark.engine

VOLUME = "r2htest-home-{username}"
CONFIG = f"""
import dataclasses

ours = c.LauncherDockerSpawner.launcher
c.LauncherDockerSpawner.launcher = dataclasses.replace(ours, allow_autostart=True, fixed_images={{}})
c.DockerSpawner.volumes = {{"{VOLUME}": "/home/jovyan"}}
c.Spawner.pre_spawn_hook = lambda spawner: spawner.environment.update(HOOK="ran")
"""
START = '#!/bin/bash\nexport FROM_START=yes\nexec "$@"\n'


@pytest.fixture(scope="module")
def launcher(
    tmp_path_factory: pytest.TempPathFactory, base_image: str, engine: docker.DockerClient
) -> Iterator[Launcher]:
    folder = tmp_path_factory.mktemp("launcher")
    with (
        chromium() as browser,
        stage.launcher(
            folder, base_image, engine, browser, config=CONFIG, example=TLJH, REPO_DIR="/srv/repo"
        ) as launcher,
    ):
        yield launcher
        launcher.leave()
    for volume in engine.volumes.list(filters={"name": VOLUME.partition("{")[0]}):
        volume.remove(force=True)


def start(launcher: Launcher, user: str, repository: str) -> None:
    launcher.hub.add_user(user)
    launcher.hub.api("POST", f"users/{user}/server", {"user_options": {"repo": repository}})


def test_with_a_home_volume_the_repository_is_in_another_folder_and_starts(
    launcher: Launcher, engine: docker.DockerClient
) -> None:
    repository = launcher.github.create("Org/with-start")
    repository.commit({"requirements.txt": "", "start": START, "a.txt": "1"}, executable=frozenset({"start"}))
    launcher.service.wait_for(launcher.service.request_build(repository.full_name), "succeeded")
    start(launcher, "ada", repository.full_name)
    running = engine.containers.get(f"{CONTAINERS}-ada")
    assert running.exec_run("ls /srv/repo").output.decode().split() == ["a.txt", "requirements.txt", "start"]
    assert running.exec_run("pwd").output.decode().strip() == "/srv/repo"
    # The entrypoint is process 1, and runs the server below it.
    environment = running.exec_run("sh -c 'cat /proc/[0-9]*/environ'").output.decode().split("\0")
    assert "FROM_START=yes" in environment
    assert "HOOK=ran" in environment, "the admin's own pre_spawn_hook"


def test_a_start_script_that_a_volume_hides_is_explained(launcher: Launcher) -> None:
    repository = launcher.github.create("Org/hidden")
    hidden = "ENV REPO_DIR=/home/jovyan R2D_ENTRYPOINT=/home/jovyan/start"
    repository.commit({"Dockerfile": f"FROM {launcher.service.base_image}\n{hidden}\n"})
    launcher.service.wait_for(launcher.service.request_build(repository.full_name), "succeeded")
    with pytest.raises(requests.HTTPError, match="hides this image's `start` script"):
        start(launcher, "bob", repository.full_name)


def test_images_of_other_users_are_never_preselected(launcher: Launcher) -> None:
    page = launcher.visit("lena")
    expect(page.locator('#r2h-list .r2h-card:has-text("Org/hello")')).to_be_visible(timeout=LIMIT)
    expect(page.locator("#r2h-list input:checked")).to_have_count(0)
    expect(page.locator("#r2h-choose-build")).to_be_checked()


def test_with_allow_autostart_a_link_can_start_a_server(launcher: Launcher) -> None:
    link = "/hub/spawn?repo=Org/hello&ref=main"
    page = launcher.visit("uma", at=link)
    expect(page.locator("#r2h-list input:checked")).to_have_count(1, timeout=LIMIT)
    assert not launcher.is_started("uma")
    # Nobody clicks: the spawn page is not even shown.
    page.goto(f"{launcher.hub.url}{link}&autostart=true")
    page.wait_for_url("**/user/uma/**", timeout=LIMIT)
    assert f"org/hello:{launcher.hello.head()}" in launcher.container("uma")["Config"]["Image"]
