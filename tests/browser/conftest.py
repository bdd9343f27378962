"""Chromium for the tests of the page, and people before it (`visitor.py`).

Whatever the console or the content policy complains about during a test fails that test, unless the test said that
it expects it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.proxy_site import Site
from tests.browser.visitor import Visit, Visitor

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """`visit()` is a new person at the stack's proxy, `visit(url)` at another address. Options are Playwright's."""
    visitors: list[Visitor] = []

    def come(base_url: str | None = None, **options: Any) -> Visitor:
        url = base_url or request.getfixturevalue("stack").proxy_url
        visitors.append(Visitor(chromium, url, **options))
        return visitors[-1]

    yield come
    problems = [problem for visitor in visitors for problem in visitor.unexpected_problems]
    for visitor in visitors:
        visitor.context.close()
    assert not problems, f"the browser complained: {problems}"


@pytest.fixture
def site(start_service: Any, tmp_path: Path) -> Iterator[Site]:
    """A keyless proxy of its own, with three upstreams."""
    site = Site(start_service, tmp_path)
    yield site
    site.close()
