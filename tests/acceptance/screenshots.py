"""`make screenshots`: pictures of the finished pages, of running systems, for README and docs/images.

The commits, numbers and times in those of the status pages are made up by `builds_of_a_year.py`. The spawn page is
that of a real hub, and what is built on it is really built.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.acceptance.launcher.hub_with_launcher import NOTEBOOK, Launcher, launcher
from tests.acceptance.pages.builds_of_a_year import Year, service_with_a_year
from tests.support.browser import LIMIT, chromium
from tests.support.images import make_base_image

_DESK: ViewportSize = {"width": 1200, "height": 760}
_PHONE: ViewportSize = {"width": 390, "height": 760}
_BUILD_LIMIT = 300_000  # milliseconds
_FIXED = """
import dataclasses

c.LauncherDockerSpawner.launcher = dataclasses.replace(
    c.LauncherDockerSpawner.launcher,
    fixed_images={"Data science": "registry.example.org/data-science:2026.11"},
)
"""
_READY = (
    ("earth-lab/tide-gauges", "Pin xarray, the new one drops attributes"),
    ("Neuro-Course/week-by-week", "Week 8: the visual cortex"),
)
_SLOW = "astro/light-curves"
_FAILS = "earth-lab/currents"


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        _take_status_pages(folder, browser)
        _take_spawn_page(folder, browser)


def _take_status_pages(folder: Path, browser: Browser) -> None:
    with (
        tempfile.TemporaryDirectory() as data,
        service_with_a_year(Path(data), for_show=True) as (service, year),
    ):
        for name, path, size, scheme in _pictures(year):
            _take(browser, service.url + path, folder / f"{name}.png", size, scheme)


def _pictures(year: Year) -> list[tuple[str, str, ViewportSize, str]]:
    failed = f"/builds/{year.ids['package_not_found']}"
    repository = "/gh/earth-lab/tide-gauges"
    return [
        ("builds", "/", _DESK, "light"),
        ("builds-dark", "/", _DESK, "dark"),
        ("builds-phone", "/", _PHONE, "light"),
        ("build-failed", failed, _DESK, "light"),
        ("build-failed-phone", failed, _PHONE, "dark"),
        ("build-running", f"/builds/{year.ids['running']}", _DESK, "dark"),
        ("build-ready", f"/builds/{year.ids['ready']}", _DESK, "light"),
        ("repository", repository, _DESK, "light"),
        ("overview", "/admin", _DESK, "light"),
    ]


def _take(browser: Browser, address: str, path: Path, size: ViewportSize, scheme: str) -> None:
    context = browser.new_context(
        viewport=size,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(LIMIT)
    page = context.new_page()
    page.goto(address, wait_until="load")
    if page.locator("#log").count():
        page.locator("#log .line").first.wait_for()
    _keep(page, path)
    context.close()


def _take_spawn_page(folder: Path, browser: Browser) -> None:
    with _hub(browser) as hub:
        page = hub.visit("ada", width=1000)
        expect(page.locator("#r2h-list .r2h-commit")).to_have_count(1 + len(_READY), timeout=LIMIT)
        page.locator("#r2h-list input").first.check()
        _keep(page, folder / "spawn.png", whole=True)
        _build(page, _FAILS)
        expect(page.locator("#r2h-advice")).to_be_visible(timeout=_BUILD_LIMIT)
        _keep(page, folder / "spawn-failed.png", whole=True)
        for name, width, scheme in (("spawn-building", 1000, "dark"), ("spawn-building-phone", 390, "dark")):
            page = hub.visit("grace", width=width, scheme=scheme)
            expect(page.locator("#r2h-list .r2h-commit")).to_have_count(1 + len(_READY), timeout=LIMIT)
            _build(page, _SLOW)
            expect(page.locator("#r2h-log")).to_contain_text("light curve 9 of", timeout=_BUILD_LIMIT)
            _keep(page, folder / f"{name}.png", whole=True)
        hub.leave()
        [build] = hub.service.get(f"builds?repository={_SLOW}")["builds"]
        hub.service.post(f"builds/{build['id']}/cancel")
        hub.service.wait_for(build["id"], "cancelled")


@contextmanager
def _hub(browser: Browser) -> Iterator[Launcher]:
    """Give a hub with images that are ready, a repository that takes its time and one that fails."""
    base_image = make_base_image()
    with (
        tempfile.TemporaryDirectory() as data,
        closing(docker.from_env(timeout=120)) as engine,
        launcher(Path(data), base_image, engine, browser, config=_FIXED) as hub,
    ):
        for name, message in _READY:
            repository = hub.github.create(name)
            repository.commit({"requirements.txt": "", "index.ipynb": NOTEBOOK}, message=message)
            hub.service.wait_for(hub.service.request_build(name), "succeeded")
        fails = hub.github.create(_FAILS)
        fails.commit({"requirements.txt": "numpy==2.1\nnumppy-extras\n"})
        slow = hub.github.create(_SLOW)
        steps = "for i in $(seq 400); do echo fitting light curve $i of 400; sleep 1; done"
        slow.commit(hub.service.dockerfile(steps))
        yield hub


def _build(page: Page, repository: str) -> None:
    page.check("#r2h-choose-build")
    page.fill("#r2h-repo", repository)
    page.click("#r2h-build-button")


def _keep(page: Page, path: Path, *, whole: bool = False) -> None:
    page.screenshot(path=path, full_page=whole, animations="disabled")
    print(f"{path}  {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
