"""The status pages in a real browser, of a real process with a year of builds: light and dark, phone and desk.

How fast the log scrolls and the pages come is measured in `bench/measurements/pages.py`, not here.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, ViewportSize, expect

from db.models import Build, Repository
from db.queue import transitions
from db.queue.transitions import BuildResult
from db.records import images, logs
from db.status import Lease, Status
from tests.acceptance.pages.builds_of_a_year import FAILURES, HOSTILE_LINES, RECIPE, Year, service_with_a_year
from tests.conftest import ROOT
from tests.support.browser import LIMIT, SHIFTS, jumps
from tests.support.service import Service

AXE = (ROOT / "machine" / "npm" / "node_modules" / "axe-core" / "axe.min.js").read_text()
WIDTHS: dict[int, ViewportSize] = {390: {"width": 390, "height": 844}, 1440: {"width": 1440, "height": 900}}
LINES = 50_000
expect.set_options(timeout=LIMIT)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Year]]:
    with service_with_a_year(tmp_path_factory.mktemp("pages")) as both:
        yield both


@pytest.fixture(scope="module")
def year(served: tuple[Service, Year]) -> Year:
    return served[1]


Open = Callable[..., Page]


@pytest.fixture
def open_page(served: tuple[Service, Year], browser: Browser) -> Iterator[Open]:
    """Open a path in a fresh profile; no page may complain to the console or ask another host for anything."""
    service, _ = served
    complaints: list[str] = []
    contexts = []

    def go(path: str, width: int = 1440, **options: Any) -> Page:
        context = browser.new_context(viewport=WIDTHS[width], base_url=service.url, **options)
        contexts.append(context)
        context.set_default_timeout(LIMIT)
        context.add_init_script(SHIFTS)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: asked.url.startswith(service.url) or complaints.append(asked.url))
        page.goto(path)
        return page

    yield go
    for context in contexts:
        context.close()
    # The badge is another part's, which may answer 404 where it is not there.
    assert [said for said in complaints if "status of 404" not in said] == []


def paths(year: Year) -> dict[str, str]:
    shown = {name: f"/builds/{number}" for name, number in year.ids.items()}
    return shown | {
        "builds": "/",
        "failures": "/?status=failed",
        "search": "/?q=tide",
        "repository": "/gh/earth-lab/tide-gauges",
        "overview": "/admin",
        "error": "/builds/999999",
    }


PAGES = ("builds", "failures", "search", "repository", "overview", "error")
BUILDS = ("ready", "running", "queued", "superseded", "hostile", *FAILURES)


def log_is_there(page: Page) -> None:
    """Wait until a page's log, if it has one, is drawn or said to be empty."""
    page.wait_for_function(
        """() => !document.querySelector('#log') || document.querySelector('#log .line')
          || document.querySelector('#log-note').textContent !== 'Loading the log…'"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_accessible_does_not_jump_and_fits(
    open_page: Open, year: Year, scheme: str, width: int
) -> None:
    for name in (*PAGES, *BUILDS):
        page = open_page(paths(year)[name], width, color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_load_state("load")
        log_is_there(page)
        page.evaluate(AXE)
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        only = {"runOnly": rules, "resultTypes": ["violations"]}
        found = page.evaluate("(options) => axe.run(document, options)", only)
        said = [
            (one["id"], node["target"], node["failureSummary"])
            for one in found["violations"]
            for node in one["nodes"]
        ]
        assert said == [], f"{name} {scheme} {width}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert jumps(page) < 0.01, f"{name} {scheme} {width}"
        page.context.close()


@pytest.mark.parametrize("cause", FAILURES)
def test_each_failure_says_why_and_what_to_do(open_page: Open, year: Year, cause: str) -> None:
    page = open_page(paths(year)[cause])
    expect(page.locator(".cause-message")).to_have_text(FAILURES[cause][2])
    expect(page.get_by_text("How to fix it")).to_be_visible()
    expect(page.get_by_role("button", name="Rebuild")).to_be_visible()


def test_a_failed_build_opens_where_it_failed_in_colour(open_page: Open, year: Year) -> None:
    page = open_page(paths(year)["package_not_found"])
    failed = page.locator(".head.failed button")
    expect(failed).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#log .c1").first).to_contain_text("Could not find a version")
    closed = page.get_by_role("button", name="[ 2/12] RUN apt-get")
    expect(closed).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#log")).not_to_contain_text("transferring context")


def test_a_long_log_scrolls_to_any_line_while_the_page_holds_few_lines(open_page: Open, year: Year) -> None:
    page = open_page(f"{paths(year)['long']}#L30000")
    expect(page.locator(".line.marked .no")).to_have_text("30000")
    expect(page.locator(".line.marked .text")).to_contain_text(f"compiling module 29999 of {LINES}")
    for place in (0.0, 0.25, 0.7, 1.0):
        page.evaluate(
            "(at) => { const v = document.querySelector('#log'); v.scrollTop = at * v.scrollHeight; }", place
        )
        page.wait_for_function(
            """() => {
              const view = document.querySelector('#log').getBoundingClientRect();
              const lines = [...document.querySelectorAll('#log .line')].map((l) => l.getBoundingClientRect());
              return lines.some((line) => line.top <= view.top + 25 && line.bottom > view.top)
                && lines.some((line) => line.bottom >= view.bottom - 25);
            }"""
        )
        assert page.locator("#log .line").count() < 150
    expect(page.locator("#log .no").last).to_have_text(str(LINES))


def test_the_search_in_a_long_log_shows_the_match(open_page: Open, year: Year) -> None:
    page = open_page(paths(year)["long"])
    expect(page.locator("#log .line").first).to_be_visible()
    page.get_by_label("Search the log").fill("NEEDLE")
    expect(page.locator("#log-found")).to_have_text("1 of 1")
    expect(page.locator("#log mark")).to_have_text("needle")
    expect(page.locator("#log .current .no")).to_have_text(str(LINES * 3 // 5 + 1))
    expect(page.locator("#log .current")).to_be_in_viewport()
    page.get_by_label("Search the log").fill("module 4999")
    expect(page.locator("#log-found")).to_have_text("1 of 11")
    page.keyboard.press("Enter")
    expect(page.locator("#log-found")).to_have_text("2 of 11")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#log-found")).to_have_text("1 of 11")
    page.get_by_label("Search the log").fill("nobody wrote this")
    expect(page.locator("#log-found")).to_have_text("No matches")


def test_a_line_number_is_a_link_to_its_line(open_page: Open, year: Year) -> None:
    page = open_page(paths(year)["package_not_found"])
    page.get_by_role("link", name="Line 26", exact=True).click()
    assert page.url.endswith("#L26")
    expect(page.locator(".line.marked")).to_contain_text("No matching distribution")


def test_hostile_text_is_never_interpreted(open_page: Open, year: Year) -> None:
    for path in (paths(year)["hostile"], "/", "/gh/astro/light-curves"):
        page = open_page(path)
        page.wait_for_load_state("networkidle") if path != "/" else page.wait_for_load_state("load")
        assert page.title() != "owned"
        assert "<script>document.title='owned'</script>" in page.locator("main").inner_text()
        assert page.locator("main img[src='x'], main script").count() == 0
    page = open_page(paths(year)["hostile"])
    expect(page.locator("#log .text").nth(3)).to_have_text(HOSTILE_LINES[3])
    expect(page.locator("#log .text").nth(1)).to_have_text("red link home")
    expect(page.locator("#log .text").nth(2)).to_have_text(
        "bell\ufffd backspace\ufffd \ufffdright to left\ufffd end"
    )
    expect(page.locator("#log .c1")).to_have_text("red")


def focus_stops(page: Page, limit: int) -> list[str]:
    """Press Tab until the focus comes back to the page's beginning; each stop must be seen."""
    stops: list[str] = []
    for _ in range(limit):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
              const at = document.activeElement;
              if (!at || at === document.body) return null;
              const rings = [getComputedStyle(at), getComputedStyle(at, '::after')];
              const seen = rings.some((r) => r.outlineStyle !== 'none' && parseFloat(r.outlineWidth) >= 2);
              const kind = ['INPUT', 'SELECT'].includes(at.tagName);
              return `${seen || kind ? '' : 'UNSEEN '}${at.dataset.stop ?? at.outerHTML.slice(0, 80)}`;
            }"""
        )
        if stop is None or stop in stops:
            break
        stops.append(stop)
    return stops


@pytest.mark.parametrize("name", ["package_not_found", "repository", "search", "overview"])
def test_the_keyboard_alone_reaches_everything(open_page: Open, year: Year, name: str) -> None:
    page = open_page(paths(year)[name])
    log_is_there(page)
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
          .filter((one) => one.checkVisibility() && !one.disabled && one.type !== 'hidden')
          .map((one, at) => one.dataset.stop = `stop ${at}`)"""
    )
    stops = focus_stops(page, len(wanted) + 5)
    assert [stop for stop in stops if stop.startswith("UNSEEN")] == []
    assert set(stops) == set(wanted)


def test_the_keyboard_opens_a_step_and_stays_on_it(open_page: Open, year: Year) -> None:
    page = open_page(paths(year)["package_not_found"])
    step = page.get_by_role("button", name="[internal] load build context")
    step.focus()
    page.keyboard.press("Enter")
    expect(step).to_have_attribute("aria-expanded", "true")
    expect(step).to_be_focused()
    expect(page.locator("#log")).to_contain_text("transferring context")
    page.keyboard.press("Space")
    expect(step).to_have_attribute("aria-expanded", "false")


def test_times_are_in_the_viewers_zone(open_page: Open, year: Year) -> None:
    page = open_page(paths(year)["ready"], timezone_id="Asia/Tokyo", locale="en-GB")
    shown = page.locator(".facts time").first
    at = datetime.fromisoformat(shown.get_attribute("datetime") or "")
    hour = (at.astimezone(UTC).hour + 9) % 24
    assert f"{hour:02}:{at.minute:02}" in shown.inner_text() and "UTC" not in shown.inner_text()


def test_without_javascript_all_content_is_there(open_page: Open, year: Year) -> None:
    page = open_page(paths(year)["package_not_found"], java_script_enabled=False)
    expect(page.locator(".log-plain")).to_contain_text("No matching distribution found for numppy")
    expect(page.locator(".facts")).to_contain_text("UTC")
    page.goto("/")
    page.get_by_role("link", name="Older builds").click()
    expect(page.locator(".row")).to_have_count(50)
    page.get_by_text("Filter by repository").click()
    page.get_by_label("Repository").fill("earth-lab/tide-gauges")
    page.get_by_label("Trigger").select_option("Push")
    page.get_by_role("button", name="Apply").click()
    assert "repository=earth-lab%2Ftide-gauges" in page.url and "trigger=push" in page.url
    expect(page.locator(".about a").first).to_have_text("earth-lab/tide-gauges")


def test_a_build_is_cancelled_and_rebuilt_without_javascript(open_page: Open, year: Year) -> None:
    with year.database.read() as session:
        repository = session.get_one(Build, year.ids["running"], options=[]).repository_id
    build = queued(year, repository, "To be cancelled")
    page = open_page(f"/builds/{build.id}", java_script_enabled=False)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".head-status")).to_contain_text("Cancelled")
    page.get_by_role("button", name="Rebuild").click()
    expect(page.locator(".head-status")).to_contain_text("Queued")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".head-status")).to_contain_text("Cancelled")


def queued(year: Year, repository_id: int, title: str) -> Build:
    with year.database.read() as session:
        repository = session.get_one(Repository, repository_id)
    return year.queued(repository, title=title, by="grace")


def test_the_list_updates_without_a_reload_and_keeps_the_focus(open_page: Open, year: Year) -> None:
    page = open_page("/")
    page.evaluate("window.sameDocument = true")
    kept = page.locator(f"#b{year.ids['ready']}")
    kept.focus()
    with year.database.read() as session:
        repository = session.get_one(Build, year.ids["running"]).repository_id
    build = queued(year, repository, "Just now pushed")
    row = page.locator(f"#active #b{build.id}")
    expect(row).to_have_text("Just now pushed")
    with year.database.write() as session:
        transitions.cancel(session, build.id, by="grace", now=datetime.now(UTC))
    expect(row).to_have_count(0)
    expect(page.locator(f"section:not(#active) #b{build.id}")).to_be_visible()
    expect(kept).to_be_focused()
    assert page.evaluate("window.sameDocument") is True


def test_a_running_build_shows_its_log_and_result_live(open_page: Open, year: Year) -> None:
    with year.database.read() as session:
        row = session.get_one(Build, year.ids["running"])
    lease = Lease(row.id, row.attempt)
    page = open_page(f"/builds/{row.id}")
    expect(page.locator("#log")).to_contain_text("Downloading xarray")
    expect(page).to_have_title(re.compile("^Building: "))
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("/icon-running.svg"))
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
    page.locator("#log").scroll_into_view_if_needed()
    lines = "".join(f"#6 {n}.0 line {n}\n" for n in range(300))
    with year.database.write() as session:
        assert logs.append(session, lease, first_seq=2, texts=[lines], now=datetime.now(UTC))
    expect(page.locator("#log")).to_contain_text("line 299")
    expect(page.get_by_text("line 299")).to_be_in_viewport()
    with year.database.write() as session:
        assert transitions.finish(session, lease, BuildResult(Status.SUCCEEDED), now=datetime.now(UTC))
        name = f"repo2hub/neuro-course/week-by-week:{row.commit}"
        made = {"name": name, "digest": None, "size": 10**9, "now": datetime.now(UTC)}
        images.record(session, build=row, recipe=RECIPE, **made)
    expect(page.locator(".head-status")).to_contain_text("Ready")
    expect(page.locator("#summary")).to_contain_text(name)
    expect(page).to_have_title(re.compile("^Ready: "))
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("/icon-ready.svg"))
    expect(page.get_by_role("link", name="Launch")).to_be_visible()
    expect(page.get_by_role("button", name="Follow")).to_be_hidden()


def test_the_theme_is_chosen_and_remembered(open_page: Open) -> None:
    page = open_page("/admin", color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="dark and light").click()
    dark = page.evaluate(background)
    assert light != dark
    page.reload()
    assert page.evaluate(background) == dark


def test_the_log_can_be_downloaded_unchanged(served: tuple[Service, Year], year: Year) -> None:
    service, _ = served
    answer = requests.get(f"{service.url}/api/v1/builds/{year.ids['long']}/log", timeout=60)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert len(answer.text.splitlines()) == LINES
    assert re.search("needle-in-the-haystack", answer.text)
