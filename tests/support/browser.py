"""Debian's Chromium without a window, driven by playwright, with a fresh profile for each browser."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

LIMIT = 90_000
"""Milliseconds that a page may take, on a machine that others use too."""

SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
"""A script for a page: keeps how far things jumped by themselves."""

_PUSH_DOWN = """() => {
  const block = document.createElement("div");
  block.style.height = "200px";
  document.body.prepend(block);
}"""


def jumps(page: Page) -> float:
    """Return how far the content of a page with SHIFTS jumped by itself.

    Raises playwright's TimeoutError if the browser does not report the jump that this causes afterwards.
    """
    shifts: list[float] = page.evaluate("window.shifts")
    page.evaluate(_PUSH_DOWN)
    page.wait_for_function("count => window.shifts.length > count", arg=len(shifts))
    return sum(shifts)


_EXECUTABLE = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox",  # for root, in a container; nothing but our own pages is opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a running browser.

    While it is open this thread has a running event loop, so nothing here may call asyncio.run.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_EXECUTABLE, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
