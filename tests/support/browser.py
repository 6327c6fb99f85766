"""Debian's Chromium without a window, driven by playwright, with a fresh profile for each browser."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

LIMIT = 90_000
"""Milliseconds that a page may take for what it was asked, on a machine that others use too."""

SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
"""A script for a page: keeps how far things jumped by themselves."""

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
