"""In a real browser, behind a real hub: logins, who sees and presses what, and other pages of the origin."""

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.github.bare_repository import BareRepository
from demo.github.git_server import GitServer
from tests.acceptance.hub.hub_service import API_TOKEN, Behind, behind_hub
from tests.support.browser import LIMIT
from tests.support.hub import ADMIN

TOKEN = "token-that-reads-what-is-private"
expect.set_options(timeout=LIMIT)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, github: GitServer) -> Iterator[Behind]:
    """A hub whose group lab sees what is private; nothing is built, so that what is asked for stays queued."""
    settings = {"GITHUB_TOKEN": TOKEN, "PRIVATE_ACCESS": "org/*=lab", "USER_ACTIVE_BUILDS": "20"}
    with behind_hub(tmp_path_factory.mktemp("behind"), github.url, **settings) as behind:
        behind.hub.add_user("alice", "lab")
        yield behind


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own: nobody has logged in."""
    context = browser.new_context()
    context.set_default_timeout(LIMIT)
    yield context.new_page()
    context.close()


def enter(page: Page, behind: Behind, name: str, path: str = "/") -> None:
    """Go to a page of ours as somebody who has still to log in."""
    page.goto(f"{behind.url}{path}")
    log_in(page, name)
    page.wait_for_url(f"{behind.url}{path}")


def log_in(page: Page, name: str) -> None:
    page.fill("#username_input", name)
    page.fill("#password_input", "any")
    page.click("#login_submit")


def repository_of(github: GitServer, *, token: str | None = None) -> BareRepository:
    """Return a new repository with a commit; with a token it is private."""
    repository = github.create(f"Org/repo-{uuid.uuid4().hex[:8]}", token=token)
    repository.commit({"README.md": "hello"}, message="Measure the tides")
    return repository


def build_of(behind: Behind, github: GitServer, name: str, repository: BareRepository | None = None) -> int:
    """Have a build asked for by a user, and return its id; nobody builds it."""
    repository = repository or repository_of(github)
    asked = behind.request_build(behind.hub.token(name), repository.full_name)
    assert asked.status_code == 202, asked.text
    build_id: int = asked.json()["build"]["id"]
    return build_id


def test_a_user_logs_in_on_the_way_to_a_build_and_cancels_it(
    behind: Behind, github: GitServer, page: Page
) -> None:
    build = build_of(behind, github, "alice")
    enter(page, behind, "alice", f"/builds/{build}")
    assert "alice" in page.inner_text("header")
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies(f"{behind.url}/")}
    session = cookies["repo2hub-session"]
    assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Lax", "/services/binder/")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled", exact=False).first.wait_for()
    assert behind.get(f"/api/v1/builds/{build}", API_TOKEN).json()["status"] == "cancelled"
    page.get_by_role("link", name="Log out").click()
    page.wait_for_url(f"{behind.hub.url}/hub/**")
    page.goto(f"{behind.url}/")
    assert page.locator("#login_submit").count() == 1


def test_a_private_build_is_on_the_pages_of_its_group_only(
    behind: Behind, github: GitServer, page: Page, browser: Browser
) -> None:
    secret = repository_of(github, token=TOKEN)
    build = build_of(behind, github, "alice", secret)
    enter(page, behind, "alice")
    row = page.locator(".row", has=page.locator(f"#b{build}"))
    expect(row).to_contain_text(secret.full_name)
    row.locator(f"#b{build}").click()
    page.wait_for_url(f"{behind.url}/builds/{build}")
    page.get_by_role("navigation").get_by_role("link", name=secret.full_name).click()
    expect(page.get_by_text("private", exact=True)).to_be_visible()

    other = browser.new_context()
    stranger = other.new_page()
    enter(stranger, behind, "mallory")
    expect(stranger.locator("main")).not_to_contain_text(secret.full_name)
    for path in (f"/builds/{build}", "/builds/999999"):
        stranger.goto(f"{behind.url}{path}")
        expect(stranger.locator("main")).to_contain_text("Build not found")
        expect(stranger.locator("main")).not_to_contain_text(secret.full_name)
    # As of a repository that is not there: the same page but for the name.
    texts = []
    for name in (secret.full_name, "Org/nothing-of-the-kind"):
        stranger.goto(f"{behind.url}/gh/{name}")
        texts.append(stranger.locator("main").inner_text().replace(name, "it"))
    assert texts[0] == texts[1]
    other.close()


def test_the_requester_and_admins_have_buttons_that_work(
    behind: Behind, github: GitServer, page: Page, browser: Browser
) -> None:
    build = build_of(behind, github, "bob")
    path = f"/builds/{build}"
    enter(page, behind, "carol", path)
    expect(page.locator("h1")).to_be_visible()
    assert page.get_by_role("button", name="Cancel").count() == 0
    for name, button, result in (("bob", "Cancel", "Cancelled"), (ADMIN, "Rebuild", "Queued")):
        context = browser.new_context()
        context.set_default_timeout(LIMIT)
        theirs = context.new_page()
        enter(theirs, behind, name, path)
        theirs.get_by_role("button", name=button).click()
        expect(theirs.locator(".head-status")).to_contain_text(result)
        context.close()
    page.reload()
    expect(page.locator(".head-status")).to_contain_text("Cancelled")
    assert page.get_by_role("button", name="Rebuild").count() == 0


def test_a_button_pressed_after_the_session_ended_leads_to_a_login_and_back(
    behind: Behind, github: GitServer, page: Page
) -> None:
    build = build_of(behind, github, "bob")
    enter(page, behind, "bob", f"/builds/{build}")
    page.context.clear_cookies()  # as a night does, with the page left open
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    assert behind.get(f"/api/v1/builds/{build}", API_TOKEN).json()["status"] == "queued"
    page.locator("main").get_by_role("link", name="Log in").click()
    log_in(page, "bob")
    page.wait_for_url(f"{behind.url}/builds/{build}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".head-status")).to_contain_text("Cancelled")


def test_the_overview_is_for_admins_only(behind: Behind, page: Page) -> None:
    enter(page, behind, "carol")
    assert page.get_by_role("link", name="Overview").count() == 0
    page.goto(f"{behind.url}/admin")
    expect(page.locator("main")).to_contain_text("Only admins of this service can view this page.")
    expect(page.get_by_role("link", name="Go to builds")).to_be_visible()


STEAL = """
async ([base, build]) => {
    const page = await (await fetch(`${base}/builds/${build}`)).text();
    const token = page.match(/name="_xsrf" value="([0-9a-f]+)"/);
    const body = new URLSearchParams({_xsrf: token ? token[1] : ""});
    const cancelled = await fetch(`${base}/builds/${build}/cancel`, {method: "POST", body});
    const headers = {"Content-Type": "application/json"};
    const wish = JSON.stringify({repository: "org/repo"});
    const asked = await fetch(`${base}/api/v1/builds`, {method: "POST", body: wish, headers});
    return [page.includes("Org/repo-"), token, document.cookie, cancelled.status, asked.status];
}
"""


def test_another_page_of_the_origin_can_read_but_not_change_anything(
    behind: Behind, github: GitServer, page: Page
) -> None:
    """As a page of another user's server could, where users have no domains of their own."""
    build = build_of(behind, github, "bob")
    enter(page, behind, "bob", f"/builds/{build}")
    page.goto(f"{behind.hub.url}/hub/static/favicon.ico")  # some path of the origin that is not ours
    reads, told, cookies, cancelled, asked = page.evaluate(STEAL, [behind.url, build])
    assert (reads, told, cancelled, asked) == (True, None, 403, 403)
    ours = [
        one["value"] for one in page.context.cookies(f"{behind.url}/") if one["path"] == "/services/binder/"
    ]
    assert len(ours) == 2
    assert not any(value in cookies for value in ours)
    assert behind.get(f"/api/v1/builds/{build}", API_TOKEN).json()["status"] == "queued"
