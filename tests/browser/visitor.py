"""A person before the page, for the tests: a browser of their own whose console is watched.

Fixtures that hand one out are in `conftest.py`.
"""

import re
from typing import Any, Protocol

from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
APPLICATION = "html[data-ready=app]"
READY_WITHIN_MS = 8_000
# Containers that come and go on this machine change its networks, and Chromium then drops what it was loading.
NETWORK_CHANGED = "ERR_NETWORK_CHANGED"

expect.set_options(timeout=15_000)


class Visitor:
    """One person at one browser. `page` is the tab; `base_url` the site."""

    def __init__(self, browser: Browser, base_url: str, **options: Any) -> None:
        self.base_url = base_url
        options.setdefault("viewport", LAPTOP)
        options.setdefault("locale", "en-US")
        self.context = browser.new_context(base_url=base_url, **options)
        self.problems: list[str] = []
        self._expected: list[re.Pattern[str]] = [re.compile(NETWORK_CHANGED)]
        self.page = self.new_tab()

    def new_tab(self) -> Page:
        page = self.context.new_page()
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        return page

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def expect_problem(self, pattern: str) -> None:
        """The console may say this: a test provokes a failure that the browser reports there."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected_problems(self) -> list[str]:
        return [each for each in self.problems if not any(known.search(each) for known in self._expected)]

    def open(self, path: str = "/", ready: str = "html[data-ready]") -> Page:
        """The page at that path, with its scripts running."""
        for is_last in (False, False, True):
            try:
                if self.page.url == self.base_url + path:
                    self.page.reload()
                else:
                    self.page.goto(path)
                self.page.wait_for_selector(ready, state="attached", timeout=READY_WITHIN_MS)
                break
            except PlaywrightTimeout:
                if is_last:
                    raise
        return self.page

    def log_in(self, name: str = "admin", password: str = "password") -> Page:
        """Logged in, and the application open. (The form itself is tested in `test_sign_in.py`.)"""
        login = {"username": name, "password": password}
        answer = self.context.request.post("/login", data=login)
        assert answer.ok, answer.text()
        return self.open("/", APPLICATION)

    def chat_as(self, peer_id: str) -> Page:
        """In the chat as that peer, with its inbox live."""
        page = self.page
        page.locator(f"#local-peer option[value={peer_id}]").wait_for(state="attached")
        page.locator("#local-peer").select_option(peer_id)
        expect(page.locator("#link-status")).to_have_text("Live")
        return page


class Visit(Protocol):
    """See the fixture `visit`."""

    def __call__(self, base_url: str | None = None, **options: Any) -> Visitor: ...
