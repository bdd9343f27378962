"""The page as such: languages, sizes, names for screen readers, contrast."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.probing import probe
from tests.browser.visitor import PHONE, Visit

pytestmark = pytest.mark.browser

VIEWS = ("#/chat", "#/chat/%40p2", "#/chat/%23chat", "#/peers", "#/echo")


def go(page: Page, view: str) -> None:
    page.evaluate("(hash) => { location.hash = hash }", view)
    expect(page.locator(f".tabs a[data-view={view.split('/')[1]}]")).to_have_attribute("aria-current", "page")


def test_the_language_changes_in_place_and_is_remembered(visit: Visit) -> None:
    page = visit().log_in()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    go(page, "#/chat/%40p2")
    page.locator("#composer").fill("a draft")
    page.get_by_role("button", name="Tiếng Việt").click()
    expect(page.locator("html")).to_have_attribute("lang", "vi")
    expect(page.locator(".tabs a[data-view=chat]")).to_contain_text("Trò chuyện")
    expect(page.locator("#composer")).to_have_attribute("placeholder", "Nhắn cho p2")
    expect(page.locator("#composer")).to_have_value("a draft")
    page.reload()
    expect(page.get_by_role("button", name="Tiếng Việt")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#clear-inbox")).to_have_text("Xoá thư đến")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#clear-inbox")).to_have_text("Clear inbox")


def test_a_vietnamese_browser_is_greeted_in_vietnamese(visit: Visit) -> None:
    page = visit(locale="vi-VN").open("/login")
    expect(page.get_by_role("button", name="Đăng nhập")).to_be_visible()


def test_the_default_password_is_warned_of(visit: Visit) -> None:
    page = visit().log_in()
    banner = page.locator(".banner").filter(has_text="default password")
    expect(banner).to_contain_text("make user NAME=admin")
    banner.get_by_role("button", name="Hide this note").click()
    expect(banner).to_have_count(0)


@pytest.mark.parametrize("language", ["en-US", "vi-VN"])
def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Visit, language: str) -> None:
    visitor = visit(viewport=PHONE, is_mobile=True, has_touch=True)
    page = visitor.log_in()
    if language == "vi-VN":
        page.get_by_role("button", name="Tiếng Việt").click()
    expect(page.locator(".conversations a").first).to_be_visible()
    for view in VIEWS:
        go(page, view)
        assert probe(page, "overflows") == [], view
    go(page, "#/peers")
    page.locator("#register").click()
    assert probe(page, "overflows") == []


def test_a_phone_shows_the_list_or_the_conversation(visit: Visit) -> None:
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True).log_in()
    page.locator(".conversations a").filter(has_text="p2").tap()
    expect(page.locator("#composer")).to_be_visible()
    expect(page.locator("#local-peer")).to_be_hidden()
    page.get_by_role("link", name="Back to conversations").tap()
    expect(page.locator("#local-peer")).to_be_visible()
    expect(page.locator("#composer")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_and_every_control_has_a_name(visit: Visit, scheme: str) -> None:
    visitor = visit(color_scheme=scheme, reduced_motion="reduce")
    page = visitor.open("/login")
    assert probe(page, "faint_texts") == []
    page = visitor.log_in()
    expect(page.locator(".conversations a").first).to_be_visible()
    for view in VIEWS:
        go(page, view)
        if view == "#/echo":
            page.locator("#echo-send").click()
            expect(page.get_by_text("6 requests answered.")).to_be_visible()
            page.mouse.move(0, 0)
        assert probe(page, "faint_texts") == [], view
        assert probe(page, "nameless_controls") == [], view
        assert page.locator("h1:visible").count() <= 1


def test_the_skip_link_leads_past_the_top_bar(visit: Visit) -> None:
    page = visit().log_in()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_account_menu_leads_to_the_page_of_the_proxy(visit: Visit) -> None:
    page = visit().log_in()
    page.get_by_role("button", name="Account: admin").click()
    page.get_by_role("link", name="How the proxy is doing").click()
    expect(page.locator("#headline")).to_contain_text("All is well")


def test_without_a_proxy_the_account_menu_names_none(visit: Visit, start_service: Any) -> None:
    visitor = visit(start_service("services.backend").url)
    visitor.expect_problem("404")  # neither a tracker nor a proxy
    page = visitor.log_in()
    with page.expect_response("**/_proxy/status") as asked:
        page.get_by_role("button", name="Account: admin").click()
    assert asked.value.status == 404
    expect(page.locator("#logout")).to_be_visible()
    expect(page.locator("#proxy-page")).to_be_hidden()
