"""The echo view: which replica answers, and echo over WebSocket."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visit

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit: Visit) -> Page:
    page = visit().log_in()
    page.locator(".tabs a[data-view=echo]").click()
    return page


def test_the_tally_shows_that_every_replica_answers_in_turn(page: Page) -> None:
    page.get_by_label("Times").fill("9")
    page.locator("#echo-send").click()
    expect(page.get_by_text("9 requests answered.")).to_be_visible()
    expect(page.locator("#echo-summary")).to_have_text("Answers: 9 · Replicas: 3")
    counts = page.locator(".tally-count").all_text_contents()
    assert sum(int(text.split()[0]) for text in counts) == 9
    assert len(counts) == 3
    assert page.locator(".answers li").count() == 9


def test_method_headers_and_body_reach_the_replica(page: Page) -> None:
    page.get_by_label("Method").select_option("PUT")
    page.get_by_label("Path").fill("/echo?a=1")
    page.get_by_label("Times").fill("1")
    page.get_by_label("Headers, one a line").fill("X-Colour: green")
    page.get_by_label("Body").fill("xin chào ☕")
    page.locator("#echo-send").click()
    expect(page.get_by_text("1 request answered.")).to_be_visible()
    answer = json.loads(page.locator(".echo-last").text_content() or "")
    assert answer["method"] == "PUT"
    assert answer["path"] == "/echo"
    assert answer["query"] == {"a": ["1"]}
    assert answer["body"] == "xin chào ☕"
    assert {name.lower(): value for name, value in answer["headers"].items()}["x-colour"] == "green"


@pytest.mark.parametrize(
    ("label", "text", "told"),
    [
        ("Times", "0", "from 1 to 50"),
        ("Path", "/user", "The path is /echo"),
        ("Headers, one a line", "no colon here", "is not a header"),
    ],
)
def test_what_cannot_be_sent_is_told_next_to_the_button(page: Page, label: str, text: str, told: str) -> None:
    page.get_by_label(label).fill(text)
    page.locator("#echo-send").click()
    expect(page.locator(".echo-foot .result")).to_contain_text(told)


def test_start_over_empties_the_board(page: Page) -> None:
    page.locator("#echo-send").click()
    expect(page.get_by_text("6 requests answered.")).to_be_visible()
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_text("No answers yet")).to_be_visible()


def test_what_goes_over_the_websocket_comes_back(page: Page) -> None:
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.locator("#echo-socket-status")).to_have_text("Connected")
    page.get_by_label("Text to echo").fill("xin chào")
    page.keyboard.press("Enter")
    expect(page.locator(".socket-log li[data-direction=in]")).to_contain_text("xin chào")
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator("#echo-socket-status")).to_have_text("Not connected")
