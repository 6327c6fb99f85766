"""jupyterhub-fancy-profiles' own page, as published, builds through the service and starts what was built.

In Chromium, with a real hub and KubeSpawner; the cluster is kubernetes_api.py, which runs pods as containers.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import requests
from playwright.sync_api import Browser, expect

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.launcher.fancy_hub import HOOKS, LAUNCHER, FancyHub
from tests.acceptance.launcher.fancy_page import FancyPage, permalink
from tests.acceptance.standstill import Standstill
from tests.conftest import ROOT
from tests.support.browser import LIMIT

pytestmark = pytest.mark.engine

NAMED = "image--unlisted-choice"
BUILD = "--extra-selectable-item"
FIELD = f"profile-option-custom--{NAMED}"
OLD_PAGE = ROOT / "tests" / "acceptance" / "fancy-profiles-0.6.0.txt"
CACHE = Path(os.environ.get("REPO2HUB_CACHE") or Path.home() / ".cache" / "repo2hub")

Visit = Callable[..., FancyPage]
Commit = Callable[..., str]


@pytest.fixture(scope="module")
def there(
    tmp_path_factory: pytest.TempPathFactory,
    engine: docker.DockerClient,
    github: GitServer,
    base_image: str,
) -> Iterator[FancyHub]:
    """A hub whose page is fancy-profiles 0.7.0, as it is locked, with an admin's own hooks below our one line."""
    config = LAUNCHER + HOOKS
    with FancyHub(tmp_path_factory.mktemp("fancy"), engine, github, base_image, config=config) as there:
        yield there


@pytest.fixture(scope="module")
def old_page() -> Path:
    """A folder with fancy-profiles 0.6.0, outside of the repository and of the environment."""
    folder = CACHE / "fancy-profiles-0.6.0"
    if not (folder / "jupyterhub_fancy_profiles" / "static").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, f"--target={folder}", f"--requirement={OLD_PAGE}"], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def today(
    tmp_path_factory: pytest.TempPathFactory,
    engine: docker.DockerClient,
    github: GitServer,
    base_image: str,
    old_page: Path,
) -> Iterator[FancyHub]:
    """A hub as it was with binderhub-service: fancy-profiles 0.6.0, and not a line of the launcher's."""
    folder = tmp_path_factory.mktemp("today")
    with FancyHub(folder, engine, github, base_image, config="", packages=old_page) as today:
        yield today


def build_lab(where: FancyHub, github: GitServer, name: str) -> str:
    """Return an image with JupyterLab and the hub's server in it, which the repositories below build upon."""
    repository = github.create(f"Org/{name}")
    commit = repository.commit({"requirements.txt": ""})
    build = where.service.wait_for(where.service.push(repository.full_name, commit)["build"])
    assert build["status"] == "succeeded", where.service.log(build["id"])
    image: str = where.service.image(repository.full_name)["image"]
    return image


@pytest.fixture(scope="module")
def lab(there: FancyHub, github: GitServer) -> str:
    return build_lab(there, github, "lab")


def version(
    repository: BareRepository,
    lab: str,
    word: str,
    branch: str = "main",
    *,
    standstill: Standstill | None = None,
) -> str:
    """Commit a repository's next version, which builds in a second; a nasty word makes it fail.

    It may stand still after its word: the page's terminal draws only what is in view when it comes to it.
    """
    step = f"RUN echo {word}-is-built" if word != "broken" else "RUN echo no-such-tool >&2; exit 7"
    step += f" && {standstill.step}" if standstill else ""
    return repository.commit({"Dockerfile": f"FROM {lab}\n{step}\n"}, branch=branch)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open the spawn page of a hub as somebody; their browser and their server end with the test."""
    visits: list[tuple[FancyHub, FancyPage]] = []

    def visit(where: FancyHub, user: str) -> FancyPage:
        visits.append((where, FancyPage(browser, where.hub, user)))
        return visits[-1][1]

    yield visit
    for where, page in visits:
        page.page.context.close()
        if f"jupyter-{page.user}" in where.cluster.pods:
            where.stop_server(page.user)


def test_a_repository_is_built_with_its_log_and_started(
    there: FancyHub, visit: Visit, repository: BareRepository, lab: str, standstill: Standstill
) -> None:
    head = version(repository, lab, "first", standstill=standstill)
    page = visit(there, "alice").open().fill(repository.full_name)
    page.press("Build Image and Start")
    page.wait_for_log("first-is-built")
    standstill.go_on()
    page.wait_for_server()
    found = there.service.image(repository.full_name)
    assert found["commit"] == head
    assert there.image_of("alice") == found["image"]
    # What the page itself would not send: its fields are disabled while it builds.
    sent = page.posted[0]
    assert (sent[f"{FIELD}--repo"], sent[f"{FIELD}--ref"]) == (repository.full_name, "HEAD")


def test_starting_again_after_a_push_waits_for_the_new_image_and_shows_its_log(
    there: FancyHub, visit: Visit, repository: BareRepository, lab: str
) -> None:
    version(repository, lab, "old")
    page = visit(there, "bob").open().fill(repository.full_name, "main")
    page.press("Build Image and Start")
    page.wait_for_server()
    before = there.image_of("bob")
    there.stop_server("bob")
    head = version(repository, lab, "new")
    there.service.stop("builder")
    try:
        there.service.push(repository.full_name, head)
        there.start_server("bob")  # with what the hub remembers
        page.page.goto(f"{there.hub.url}/hub/spawn-pending/bob")
        page.page.get_by_text("Event log").click()
        progress = page.page.locator("#progress-details")
        expect(progress).to_contain_text("Building it", timeout=LIMIT)
    finally:
        there.service.start("builder")
    expect(progress).to_contain_text("new-is-built", timeout=LIMIT)
    page.wait_for_server()
    assert head in there.image_of("bob")
    assert there.image_of("bob") != before


def test_a_failing_build_says_why_and_starts_nothing(
    there: FancyHub, visit: Visit, repository: BareRepository, lab: str
) -> None:
    version(repository, lab, "broken")
    page = visit(there, "carol").open().fill(repository.full_name)
    page.press("Build Image and Start")
    page.wait_for_log("no-such-tool")
    expect(page.page.get_by_text("image build failed").first).to_be_visible(timeout=LIMIT)
    build = there.service.get(f"builds?repository={repository.full_name}")["builds"][0]
    assert build["status"] == "failed"
    page.wait_for_log(build["message"][:30])
    assert not page.posted
    assert "jupyter-carol" not in there.cluster.pods


def test_the_error_names_a_repository_that_does_not_exist(there: FancyHub, visit: Visit) -> None:
    page = visit(there, "dave").open().fill("org/nowhere")
    page.press("Build Image and Start")
    expect(page.page.get_by_text("image build failed").first).to_be_visible(timeout=LIMIT)
    assert "org/nowhere" in page.log()
    assert not page.posted


def test_a_permalink_with_autostart_builds_and_starts_without_a_click(
    there: FancyHub, visit: Visit, repository: BareRepository, lab: str
) -> None:
    head = version(repository, lab, "linked", branch="feature/plots")
    link = permalink(
        **{
            "profile": "custom",
            "image": BUILD,
            "image:binderProvider": "gh",
            "image:binderRepo": repository.full_name,
            "image:ref": "feature/plots",
            "autoStart": "true",
        }
    )
    page = visit(there, "erin").open(link)
    page.wait_for_server()
    assert head in there.image_of("erin")
    assert (
        there.hub.api("GET", "users/erin")["servers"][""]["user_options"][f"{NAMED}--ref"] == "feature/plots"
    )


@pytest.fixture
def start(there: FancyHub) -> Iterator[Callable[..., str]]:
    """Start somebody's server by the hub's API, as a script does; return the image that its pod runs."""
    users: list[str] = []

    def start(user: str, **options: str) -> str:
        users.append(user)
        there.start_server(user, {"profile": "custom", **options})
        there.wait_for_server(user)
        return there.image_of(user)

    yield start
    for user in users:
        if f"jupyter-{user}" in there.cluster.pods:
            there.stop_server(user)


def entered(repository: BareRepository, ref: str = "HEAD", image: str | None = None) -> dict[str, str]:
    """Return the options of "Build your own image"."""
    named = {} if image is None else {NAMED: image}
    return {"image": BUILD, f"{NAMED}--repo": repository.full_name, f"{NAMED}--ref": ref} | named


def test_a_start_by_the_api_builds_the_entered_repository_and_ignores_the_image(
    there: FancyHub, start: Callable[..., str], repository: BareRepository, lab: str
) -> None:
    head = version(repository, lab, "asked")
    image = start("gina", **entered(repository, image="images.example.org/evil:1"))
    assert image == there.service.image(repository.full_name)["image"]
    assert head in image
    pod = there.cluster.pods["jupyter-gina"]
    # The admin's hooks ran too, and saw what was chosen.
    assert pod["metadata"]["labels"]["modified"] == "yes"
    assert {"name": "CHOSEN", "value": image} in pod["spec"]["containers"][0]["env"]


def test_without_the_service_the_last_image_starts_and_the_hub_says_so(
    there: FancyHub, repository: BareRepository, lab: str
) -> None:
    version(repository, lab, "before")
    there.service.wait_for(there.service.request_build(repository.full_name))
    image = there.service.image(repository.full_name)["image"]
    there.service.stop("web")
    try:
        there.start_server("hans", {"profile": "custom", **entered(repository, image=image)})
        told = there.progress("hans")
    finally:
        there.service.start("web")
        there.service.wait_until_up()
    there.wait_for_server("hans")
    assert there.image_of("hans") == image
    assert any("does not answer" in message and image in message for message in told), told
    there.stop_server("hans")


def test_after_a_failed_build_the_last_successful_image_starts_and_the_hub_says_so(
    there: FancyHub, repository: BareRepository, lab: str
) -> None:
    good = version(repository, lab, "good")
    there.service.wait_for(there.service.push(repository.full_name, good)["build"])
    bad = version(repository, lab, "broken")
    failed = there.service.wait_for(there.service.push(repository.full_name, bad, before=good)["build"])
    assert failed["status"] == "failed"
    there.start_server("ida", {"profile": "custom", **entered(repository, "main")})
    told = there.progress("ida")
    there.wait_for_server("ida")
    assert good in there.image_of("ida")
    assert any("last successful image" in message and good in message for message in told), told
    there.stop_server("ida")


def test_a_repository_that_does_not_exist_is_refused_with_a_message(there: FancyHub) -> None:
    wish = {"image": BUILD, f"{NAMED}--repo": "org/nowhere", f"{NAMED}--ref": "main"}
    with pytest.raises(requests.HTTPError, match="org/nowhere"):
        there.start_server("jan", {"profile": "custom", **wish})
    assert "jupyter-jan" not in there.cluster.pods


def test_a_rule_does_not_allow_an_image_that_is_hidden_from_the_user(there: FancyHub, lab: str) -> None:
    hidden = lab.replace("/org/", "/other/")  # by its name one of ours, and none that this person is shown
    with pytest.raises(requests.HTTPError, match="was not built by this hub"):
        there.start_server("kay", {"profile": "custom", NAMED: hidden})


def test_without_a_rule_only_images_that_were_built_here_start(
    there: FancyHub, start: Callable[..., str], lab: str
) -> None:
    for foreign in ("images.example.org/evil:1", lab.replace("/org/", "/other/"), f"evil/{lab}"):
        with pytest.raises(requests.HTTPError, match="was not built by this hub"):
            there.start_server("strict-kim", {"profile": "strict", NAMED: foreign})
    assert start("strict-kim", **{"profile": "strict", NAMED: lab}) == lab


def test_the_configuration_of_an_existing_hub_keeps_working_with_its_page(
    today: FancyHub, visit: Visit, repository: BareRepository, github: GitServer, standstill: Standstill
) -> None:
    lab = build_lab(today, github, "lab-of-today")
    head = version(repository, lab, "today", branch="feature/maps", standstill=standstill)
    page = visit(today, "alice").open().fill(repository.full_name, "feature/maps")
    page.press("Build image")
    page.wait_for_log("today-is-built")
    standstill.go_on()
    page.wait_for_log("Click the start button")
    page.press("Start")
    page.wait_for_server()
    assert head in today.image_of("alice")
    assert page.posted[0][f"{FIELD}--repo"] == repository.full_name


def test_the_oauth_addresses_of_an_existing_hub_keep_working(today: FancyHub) -> None:
    address = f"{today.hub.url}/services/binder/"
    page = today.hub.login("frank").get(f"{address}login", timeout=30)
    assert (page.status_code, page.url) == (200, address), page.text
