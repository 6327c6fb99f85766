"""Users of the spawn page of a real hub: they build, watch the log, start, and work in JupyterLab."""

import re
import time
from collections.abc import Iterator

import docker
import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.acceptance.launcher import hub_with_launcher as stage
from tests.acceptance.launcher.hub_with_launcher import FIXED, NOTEBOOK, Launcher
from tests.acceptance.standstill import Standstill
from tests.conftest import ROOT
from tests.support.browser import LIMIT, SHIFTS, jumps

pytestmark = pytest.mark.engine

BUILD_LIMIT = 300_000
"""Milliseconds for one build."""
TOKEN = "token-that-reads-what-is-private"
AXE = ROOT / "machine" / "npm" / "node_modules" / "axe-core" / "axe.min.js"

expect.set_options(timeout=LIMIT)


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, base_image: str, engine: docker.DockerClient, browser: Browser
) -> Iterator[Launcher]:
    folder = tmp_path_factory.mktemp("launcher")
    settings = {"GITHUB_TOKEN": TOKEN, "PRIVATE_ACCESS": "org/secret=lab"}
    with stage.launcher(folder, base_image, engine, browser, **settings) as everything:
        yield everything


@pytest.fixture
def launcher(everything: Launcher) -> Iterator[Launcher]:
    yield everything
    everything.leave()


def fill(page: Page, repository: str, ref: str = "") -> None:
    page.check("#r2h-choose-build")
    page.fill("#r2h-repo", repository)
    page.fill("#r2h-ref", ref)


def ask_for_build(page: Page, repository: str, ref: str = "") -> None:
    fill(page, repository, ref)
    page.click("#r2h-build-button")


def press_start(page: Page) -> None:
    page.click("#spawn_form button[type=submit]")


def refusal(page: Page) -> Locator:
    """Return where the hub says why it starts no server: above the form, or, if that took a second, beyond it."""
    return page.locator(".spawn-error-msg, #progress-message")


def card(page: Page, repository: str) -> str:
    return f'#r2h-list .r2h-card:has-text("{repository}")'


def wait_for_lab(page: Page, user: str) -> None:
    page.wait_for_url(f"**/user/{user}/**")
    page.wait_for_selector("#jp-main-dock-panel")


def test_a_repository_is_built_and_started_and_runs_a_cell(launcher: Launcher) -> None:
    commit = launcher.commit()
    page = launcher.visit("ada")
    ask_for_build(page, f"https://github.com/{launcher.hello.full_name}.git")
    expect(page.locator("#r2h-log")).to_contain_text(f"[repo2hub] attempt 1: fetching {launcher.github.url}")
    expect(page.locator("#r2h-status")).to_have_text(re.compile("image is ready"), timeout=BUILD_LIMIT)
    expect(page.locator("#r2h-log")).to_contain_text("[repo2hub] ready: ")
    page.check('input[name="resources"][value="Large"]')
    press_start(page)
    wait_for_lab(page, "ada")
    page.goto(f"{launcher.hub.url}/user/ada/lab/tree/index.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").click()
    # Before the notebook has its kernel, which this names, running a cell asks for one.
    page.get_by_role("button", name="Python 3 (ipykernel) | Idle").wait_for()
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text("six times seven is 42")
    container = launcher.container("ada")
    assert commit in container["Config"]["Image"]
    assert container["HostConfig"]["Memory"] == 4 * 2**30
    assert container["HostConfig"]["CpuQuota"] == 2 * container["HostConfig"]["CpuPeriod"]


def test_a_push_appears_without_reloading_and_starts_at_once(launcher: Launcher) -> None:
    page = launcher.visit("bob")
    page.evaluate("window.notReloaded = true")
    commit = launcher.commit()
    pushed = launcher.service.deliver(launcher.hello.full_name, commit)
    here = page.locator(card(page, launcher.hello.full_name))
    expect(here).to_contain_text(commit[:7], timeout=BUILD_LIMIT)
    expect(here).to_contain_text("Measure the tides again")
    expect(page.locator("#r2h-ready-note")).to_contain_text(f"Now ready: {launcher.hello.full_name} main")
    assert page.evaluate("window.notReloaded") is True
    assert launcher.service.get(f"builds/{pushed['build']}")["status"] == "succeeded"
    here.locator("input").check()
    press_start(page)
    wait_for_lab(page, "bob")
    assert commit in launcher.container("bob")["Config"]["Image"]


def test_a_failed_build_and_a_start_show_the_cause(launcher: Launcher) -> None:
    bad = launcher.github.create("Org/bad")
    bad.commit({"requirements.txt": "no-such-package-for-sure==1\n"})
    page = launcher.visit("cora")
    ask_for_build(page, bad.full_name)
    said = page.locator("#r2h-status")
    expect(said).to_have_text(re.compile("The build failed: .*no-such-package-for-sure"), timeout=BUILD_LIMIT)
    expect(page.locator("#r2h-log")).to_contain_text("no-such-package-for-sure")
    expect(page.locator("#r2h-advice")).to_contain_text(
        "How to fix it (repository owner): Check the package name"
    )
    [build] = launcher.service.get(f"builds?repository={bad.full_name}")["builds"]
    address = f"/services/binder/builds/{build['id']}"
    expect(page.get_by_role("link", name="Open the build page")).to_have_attribute("href", address)
    press_start(page)
    expect(refusal(page)).to_contain_text("no-such-package-for-sure")
    assert not launcher.is_started("cora")


@pytest.mark.parametrize(
    ("repository", "ref", "says"),
    [
        ("", "", "Enter the repository as org/repo"),
        ("Org/nowhere", "", "Repository Org/nowhere not found"),
        ("Org/hello", "no-such-branch", "Branch or tag no-such-branch not found"),
        ("Org/hello", "a..b", "not a valid git name"),
    ],
)
def test_the_form_shows_why_a_build_is_impossible_beside_the_field(
    launcher: Launcher, repository: str, ref: str, says: str
) -> None:
    page = launcher.visit("dora")
    ask_for_build(page, repository, ref)
    expect(page.get_by_role("alert")).to_contain_text(says)


def test_start_without_a_repository_stays_on_the_page(launcher: Launcher) -> None:
    page = launcher.visit("dora")
    fill(page, "")
    press_start(page)
    expect(page.get_by_role("alert")).to_contain_text("Enter the repository as org/repo")
    expect(page.locator("#r2h-repo")).to_be_focused()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_a_second_user_joins_the_build_and_a_reload_loses_nothing(
    launcher: Launcher, standstill: Standstill
) -> None:
    # Long lines, which may not keep the browser busy; as fast as BuildKit takes them.
    long = "for i in $(seq 12); do head -c 60000 /dev/zero | tr '\\0' x; echo; sleep 0.4; done"
    slow = launcher.plain(long, "echo before-''noon", standstill.step, "echo after-''noon")
    first, second = launcher.visit("emil"), launcher.visit("finn")
    ask_for_build(first, slow.full_name)
    expect(first.locator("#r2h-log")).to_contain_text("before-noon", timeout=BUILD_LIMIT)
    ask_for_build(second, slow.full_name)
    expect(second.locator("#r2h-log")).to_contain_text("before-noon")
    first.reload()
    expect(first.locator("#r2h-log")).to_contain_text("[repo2hub] attempt 1: fetching")
    expect(first.locator("#r2h-log")).to_contain_text("before-noon")
    standstill.go_on()
    for page in (first, second):
        expect(page.locator("#r2h-status")).to_have_text(re.compile("image is ready"), timeout=BUILD_LIMIT)
        expect(page.locator("#r2h-log")).to_contain_text("after-noon")
    builds = launcher.service.get(f"builds?repository={slow.full_name}")["builds"]
    assert [build["requested_by"] for build in builds] == ["emil"]


def test_a_start_waits_for_the_build_and_an_image_without_a_server_is_explained(
    launcher: Launcher, standstill: Standstill
) -> None:
    slow = launcher.plain(standstill.step, "echo after-''noon")
    page = launcher.visit("gina")
    fill(page, slow.full_name, "main")
    press_start(page)
    page.wait_for_url("**/spawn-pending/**")
    page.click("#progress-details summary")
    log = page.locator("#progress-log")
    expect(log).to_contain_text("Building it")
    standstill.go_on()
    expect(log).to_contain_text("after-noon", timeout=BUILD_LIMIT)
    expect(log).to_contain_text("jupyterhub-singleuser is not installed", timeout=BUILD_LIMIT)
    expect(page.locator("#progress-bar")).to_have_class(re.compile("bg-danger"))
    assert launcher.service.get(f"builds?repository={slow.full_name}")["builds"][0]["requested_by"] == "gina"


def test_a_link_fills_in_the_form_and_starts_nothing(launcher: Launcher) -> None:
    link = "/services/binder/v2/gh/Org/hello/main?urlpath=lab/tree/index.ipynb"
    page = launcher.visit("hugo", at=link)
    expect(page.locator("#r2h-list input:checked")).to_have_count(1)
    assert not launcher.is_started("hugo")
    press_start(page)
    page.wait_for_url("**/user/hugo/lab/tree/index.ipynb")


def test_a_private_repository_is_usable_by_its_group_and_unknown_to_other_users(
    launcher: Launcher,
) -> None:
    secret = launcher.github.create("Org/secret", token=TOKEN)
    commit = secret.commit({"requirements.txt": "", "index.ipynb": NOTEBOOK}, message="Not for all")
    launcher.hub.add_user("quinn", "lab")
    page = launcher.visit("quinn")
    ask_for_build(page, secret.full_name)
    expect(page.locator("#r2h-status")).to_have_text(re.compile("image is ready"), timeout=BUILD_LIMIT)
    expect(page.locator(card(page, secret.full_name))).to_contain_text("Not for all")
    press_start(page)
    page.wait_for_url("**/user/quinn/**")
    assert commit in launcher.container("quinn")["Config"]["Image"]

    other = launcher.visit("rosa")
    expect(other.locator(card(other, "Org/hello"))).to_be_visible()
    expect(other.locator("#r2h-list")).not_to_contain_text(secret.full_name)
    alert = other.get_by_role("alert")
    shown = {}
    for name in (secret.full_name, "Org/nowhere"):
        ask_for_build(other, name, "main")
        expect(alert).to_contain_text(name)
        shown[name] = alert.inner_text()
    assert shown[secret.full_name] == shown["Org/nowhere"].replace("Org/nowhere", secret.full_name)
    fill(other, secret.full_name, "main")
    press_start(other)
    expect(refusal(other)).to_contain_text(shown[secret.full_name])
    assert not launcher.is_started("rosa")


def test_the_choice_can_be_shared_as_a_link(launcher: Launcher) -> None:
    page = launcher.visit("sven")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    share = page.locator("#r2h-share")
    page.check(f'input[value="fixed:{FIXED}"]')
    expect(share).to_be_hidden()
    for choose, query in (
        (lambda: page.locator(card(page, "Org/hello")).locator("input").check(), "repo=Org%2Fhello&ref=main"),
        (lambda: fill(page, "Org/other"), "repo=Org%2Fother&ref=HEAD"),
    ):
        choose()
        share.click()
        expect(share).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == f"{launcher.hub.url}/hub/spawn?{query}"
        expect(share).to_have_text("Copy a link to share")


def test_the_page_does_not_jump_when_the_list_of_images_arrives(launcher: Launcher) -> None:
    page = launcher.visit("tove")
    expect(page.locator(card(page, "Org/hello"))).to_be_visible()
    page.add_init_script(SHIFTS)
    page.reload()
    expect(page.locator(card(page, "Org/hello"))).to_be_visible()
    assert jumps(page) < 0.02


@pytest.mark.parametrize(
    "query",
    ["repo=Org/other&ref=topic&autostart=true", "opt-repo=Org/other&opt-ref=topic&opt-autostart=true"],
)
def test_a_link_never_starts_a_server_by_itself(launcher: Launcher, query: str) -> None:
    page = launcher.visit("ines", at=f"/hub/spawn?{query}")
    expect(page.locator("#r2h-repo")).to_have_value("Org/other")
    expect(page.locator("#r2h-ref")).to_have_value("topic")
    expect(page.get_by_role("note")).to_contain_text("press Start")
    assert not launcher.is_started("ines")


def test_a_user_over_the_limit_sees_the_reason_in_the_form_and_at_the_start(
    launcher: Launcher, standstill: Standstill
) -> None:
    slow = launcher.plain(standstill.step)
    page = launcher.visit("jan")
    ask_for_build(page, slow.full_name)
    expect(page.locator("#r2h-status")).to_contain_text(re.compile("Waiting|Fetching|Building"))
    other = launcher.plain("true")
    ask_for_build(page, other.full_name)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(re.compile("build", re.IGNORECASE))
    assert launcher.service.get(f"builds?repository={other.full_name}")["builds"] == []
    reason = alert.inner_text()
    press_start(page)
    expect(refusal(page)).to_contain_text(reason)
    [build] = launcher.service.get(f"builds?repository={slow.full_name}")["builds"]
    launcher.service.post(f"builds/{build['id']}/cancel")
    launcher.service.wait_for(build["id"], "cancelled")


def test_the_last_choice_is_preselected_for_another_server_too(launcher: Launcher) -> None:
    page = launcher.visit("kim")
    page.check(f'input[value="fixed:{FIXED}"]')
    page.check('input[name="resources"][value="Large"]')
    press_start(page)
    wait_for_lab(page, "kim")
    assert launcher.container("kim")["Config"]["Image"] == launcher.image
    page.goto(f"{launcher.hub.url}/hub/spawn/kim/second")
    expect(page.locator(f'input[value="fixed:{FIXED}"]')).to_be_checked()
    expect(page.locator('input[name="resources"][value="Large"]')).to_be_checked()


def test_a_start_by_the_rest_api_looks_the_image_up_and_remembers_it(launcher: Launcher) -> None:
    hub = launcher.hub
    hub.add_user("lena")
    hub.api("POST", "users/lena/server", {"user_options": {"repo": "Org/hello", "ref": "main"}})
    started = launcher.container("lena")
    assert f"org/hello:{launcher.hello.head()}" in started["Config"]["Image"]
    assert started["HostConfig"]["Memory"] == 2**30
    hub.api("DELETE", "users/lena/server")
    hub.api("POST", "users/lena/server")
    assert launcher.container("lena")["Config"]["Image"] == started["Config"]["Image"]


def test_an_image_that_was_removed_from_the_engine_is_rebuilt(launcher: Launcher) -> None:
    build_id = launcher.service.deliver("Org/hello", launcher.commit())["build"]
    image = launcher.service.wait_for(build_id)["image"]["image"]
    launcher.engine.api.remove_image(image, force=True)
    launcher.hub.add_user("olga")
    launcher.hub.api("POST", "users/olga/server", {"user_options": {"repo": "Org/hello", "ref": "main"}})
    deadline = time.monotonic() + BUILD_LIMIT / 1000
    while (
        not launcher.is_started("olga") or not launcher.hub.api("GET", "users/olga")["servers"][""]["ready"]
    ):
        assert time.monotonic() < deadline, "its server did not start"
        time.sleep(0.2)
    assert launcher.container("olga")["Config"]["Image"] == image


@pytest.mark.parametrize(
    "options",
    [
        {"image": "r2htest-evil"},
        {"repo": "Org/hello", "image": "r2htest-evil"},
        {"fixed": "r2htest-evil"},
        {"repo": "r2htest-evil"},
        {"repo": ["Org/hello"]},
        {"repo": "Org/hello", "commit": "0" * 39},
        {},
    ],
)
def test_a_start_by_the_rest_api_cannot_choose_an_arbitrary_image(
    launcher: Launcher, options: dict[str, object]
) -> None:
    launcher.hub.add_user("mallory")
    with pytest.raises(requests.HTTPError, match="400"):
        launcher.hub.api("POST", "users/mallory/server", {"user_options": options})
    assert not launcher.is_started("mallory")


def test_the_form_works_while_the_service_is_down(launcher: Launcher) -> None:
    launcher.service.stop("web")
    try:
        page = launcher.visit("nora")
        expect(page.locator("#r2h-ready-note")).to_contain_text("The list of ready images is not available")
        fill(page, "Org/hello")
        press_start(page)
        expect(refusal(page)).to_contain_text("does not answer")
        page.goto(f"{launcher.hub.url}/hub/spawn")
        page.check(f'input[value="fixed:{FIXED}"]')
        press_start(page)
        wait_for_lab(page, "nora")
    finally:
        launcher.service.start("web")
        launcher.service.wait_until_up()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_form_is_accessible(launcher: Launcher, width: int, scheme: str) -> None:
    bad = launcher.github.create(f"Org/bad-{width}")
    bad.commit({"requirements.txt": "no-such-package-for-sure==1\n"})
    page = launcher.visit("otto", width=width, scheme=scheme)
    expect(page.locator(card(page, "Org/hello"))).to_be_visible()
    ask_for_build(page, bad.full_name)
    expect(page.locator("#r2h-status")).to_contain_text("The build failed", timeout=BUILD_LIMIT)
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run('#r2h', {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"


def test_the_form_works_with_the_keyboard_alone(launcher: Launcher) -> None:
    page = launcher.visit("pia")
    expect(page.locator(card(page, "Org/hello"))).to_be_visible()
    page.locator('input[name="choice"]:checked').focus()
    seen = [page.evaluate("document.activeElement.value")]
    for _ in range(page.locator('input[name="choice"]').count() - 1):
        page.keyboard.press("ArrowDown")
        seen.append(page.evaluate("document.activeElement.value"))
    assert len(set(seen)) == len(seen) == page.locator('input[name="choice"]').count()
    page.locator("#r2h-choose-build").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("Org/nowhere")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Repository Org/nowhere not found")
    ids = []
    for _ in range(4):
        page.keyboard.press("Tab")
        ids.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert ids == ["r2h-ref", "r2h-build-button", "r2h-share", "resources"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Start"
