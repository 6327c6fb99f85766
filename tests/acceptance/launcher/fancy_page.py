"""The spawn page of the real jupyterhub-fancy-profiles, as somebody uses it: by what is written on it."""

import json
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect

from tests.support.browser import LIMIT
from tests.support.hub import Hub

_FIELD = re.compile(r'name="([^"]+)"\r\n\r\n(.*)\r\n')  # of multipart/form-data


@dataclass
class FancyPage:
    """A person at the hub's spawn page, in a browser profile of their own."""

    browser: Browser
    hub: Hub
    user: str
    posted: list[dict[str, str]] = field(default_factory=list)
    """The fields of each form that was sent."""

    def __post_init__(self) -> None:
        context = self.browser.new_context(viewport={"width": 1100, "height": 1000})
        self.page: Page = context.new_page()
        self.page.set_default_timeout(LIMIT)
        self.page.on("request", lambda request: self._note(request.method, request.url, request.post_data))

    def _note(self, method: str, url: str, body: str | None) -> None:
        if method == "POST" and "/hub/spawn" in url:
            self.posted.append(dict(_FIELD.findall(body or "")))

    def open(self, path: str = "/hub/spawn") -> "FancyPage":
        """Open the spawn page, logging in on the way there."""
        self.page.goto(f"{self.hub.url}{path}")
        self.page.fill("#username_input", self.user)
        self.page.fill("#password_input", "any")
        self.page.click("#login_submit")
        return self

    def fill(self, repository: str, ref: str | None = None) -> "FancyPage":
        """Choose "Build your own image" and enter the repository."""
        self.page.locator(".select__control").first.click()
        self.page.get_by_text("Build your own image").first.click()
        self.page.locator(".xterm").wait_for()
        self.page.get_by_role("combobox", name="Repository").fill(repository)
        if ref is not None:
            self.page.get_by_role("combobox", name="Git Ref").fill(ref)
        return self

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def log(self) -> str:
        """Return what the terminal shows: its lines are cut at its width, wherever that is."""
        return "".join(self.page.locator(".xterm-rows > div").all_inner_texts()).replace("\xa0", " ")

    def wait_for_log(self, words: str) -> None:
        """Wait until the terminal shows some words."""
        expect(self.page.locator(".xterm-rows")).to_contain_text(words, timeout=LIMIT)

    def wait_for_server(self) -> None:
        """Wait until the browser was led into the person's server, and JupyterLab is up in it."""
        self.page.wait_for_url(f"**/user/{self.user}/**")
        self.page.locator("#jp-main-dock-panel").wait_for()


def permalink(**values: str) -> str:
    """Return the path of a link as fancy-profiles 0.7.0 copies it, such as `image="...", autoStart="true"`."""
    return f"/hub/login?next=/hub/spawn%23{urlencode({'fancy-forms-config': json.dumps(values)})}"
