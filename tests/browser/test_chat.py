"""The chat: what one page sends is in the other at once, whatever is written, and nothing comes twice."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from tests.browser.visitor import Visit, Visitor
from tests.processes import Stack

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def empty_inboxes(stack: Stack) -> None:
    for number in (1, 2, 3):
        answer = requests.post(f"{stack.peer_url(number)}/p2p/inbox/clear", headers=stack.peer_headers, timeout=5)
        assert answer.ok, answer.text


@pytest.fixture
def enter(visit: Visit) -> Callable[..., Visitor]:
    """`enter("p1")` is a person logged in and chatting as p1."""

    def come(peer_id: str, **options: Any) -> Visitor:
        visitor = visit(**options)
        visitor.log_in()
        visitor.chat_as(peer_id)
        return visitor

    return come


@pytest.fixture
def absent_peer(stack: Stack) -> Iterator[str]:
    """A peer that is in the tracker, but listens nowhere."""
    name = f"z-absent-{uuid4().hex[:8]}"
    lease = {"peer_id": name, "ip": "127.0.0.1", "port": 1, "roles": ["p2p"], "channels": ["chat"]}
    lease["meta"] = {"api_port": 1, "p2p_port": 1}
    url = f"{stack.tracker_url}/tracker"
    requests.post(f"{url}/register", json=lease, headers=stack.tracker_headers, timeout=5).raise_for_status()
    yield name
    requests.post(f"{url}/peer/remove", json={"peer_id": name}, headers=stack.tracker_headers, timeout=5)


def inbox(stack: Stack, number: int) -> list[dict[str, Any]]:
    answer = requests.get(f"{stack.peer_url(number)}/p2p/inbox", headers=stack.peer_headers, timeout=5)
    messages: list[dict[str, Any]] = answer.json()["messages"]
    return messages


def post(stack: Stack, number: int, **fields: Any) -> None:
    url = f"{stack.peer_url(number)}/p2p/msg"
    requests.post(url, json=fields, headers=stack.peer_headers, timeout=10).raise_for_status()


def open_conversation(page: Page, name: str) -> None:
    page.locator(".conversations a").filter(has_text=name).click()
    expect(page.locator("#conversation-title")).to_contain_text(name)


def say(page: Page, text: str) -> None:
    page.locator("#composer").fill(text)
    page.keyboard.press("Enter")


def test_a_message_is_in_the_other_page_at_once_and_so_is_the_answer(enter: Callable[..., Visitor]) -> None:
    ann, bob = enter("p1").page, enter("p2").page
    open_conversation(ann, "p2")
    open_conversation(bob, "p1")
    say(ann, "Xin chào p2")
    expect(ann.locator(".message.is-mine")).to_have_attribute("data-state", "delivered")
    expect(bob.locator(".message-text")).to_have_text("Xin chào p2")
    say(bob, "Hello p1")
    expect(ann.locator(".message:not(.is-mine) .message-text")).to_have_text("Hello p1")


def test_what_is_not_seen_yet_is_counted_until_it_is(enter: Callable[..., Visitor], stack: Stack) -> None:
    page = enter("p1").page
    post(stack, 2, to="p1", content="first")
    post(stack, 2, to="p1", content="second")
    conversation = page.locator(".conversations a").filter(has_text="p2")
    expect(conversation.locator(".conversation-unread")).to_have_text("2")
    expect(conversation).to_contain_text("second")
    expect(page.locator("#unread-total")).to_have_text("2")
    expect(page).to_have_title("(2) Chat · WeApRous")
    expect(page.locator("#announcer")).to_contain_text("p2: second")
    open_conversation(page, "p2")
    expect(page.locator("#unread-total")).to_be_hidden()
    page.reload()
    expect(page.locator("#link-status")).to_have_text("Live")
    expect(page.locator("#unread-total")).to_be_hidden()


@pytest.mark.parametrize(
    "text",
    [
        "<script>window.wasRun = true</script>",
        "<img src=x onerror='window.wasRun = true'>",
        "javascript:alert(1) <a href='javascript:window.wasRun=true'>click</a> {{7*7}} ${7*7}",
    ],
)
def test_whatever_is_written_stays_text(enter: Callable[..., Visitor], text: str) -> None:
    ann, bob = enter("p1").page, enter("p2").page
    open_conversation(ann, "p2")
    say(ann, text)
    expect(bob.locator(".conversations a").filter(has_text="p1")).to_contain_text(text[:20])
    open_conversation(bob, "p1")
    for page in (ann, bob):
        expect(page.locator(".message-text")).to_have_text(text)
        assert page.locator(".message-text :not(a)").count() == 0
        assert page.locator(".message-text a").count() == 0
        assert page.evaluate("window.wasRun") is None


def test_addresses_of_the_web_become_links_and_nothing_else(enter: Callable[..., Visitor], stack: Stack) -> None:
    page = enter("p1").page
    post(stack, 2, to="p1", content="See https://example.com/a?b=1, or ftp://example.com.\nsecond line")
    open_conversation(page, "p2")
    expect(page.locator(".message-text a")).to_have_attribute("href", "https://example.com/a?b=1")
    expect(page.locator(".message-text a")).to_have_attribute("rel", "noopener noreferrer")


def test_the_channel_reaches_everyone_in_it(enter: Callable[..., Visitor], stack: Stack) -> None:
    ann, bob = enter("p1").page, enter("p2").page
    open_conversation(ann, "chat")
    expect(ann.locator(".conversation-about")).to_contain_text("p2, p3")
    say(ann, "Good morning everyone")
    expect(ann.locator(".message.is-mine")).to_have_attribute("data-state", "delivered")
    open_conversation(bob, "chat")
    expect(bob.locator(".message-from")).to_have_text("p1")
    expect(bob.locator(".message-text")).to_have_text("Good morning everyone")
    assert [message["content"] for message in inbox(stack, 3)] == ["Good morning everyone"]


def test_clear_empties_the_inbox_in_every_page(enter: Callable[..., Visitor], stack: Stack) -> None:
    ann, also_ann = enter("p1").page, enter("p1").page
    post(stack, 2, to="p1", content="to be cleared")
    open_conversation(ann, "p2")
    open_conversation(also_ann, "p2")
    say(ann, "mine")
    expect(also_ann.locator(".message")).to_have_count(1)
    ann.get_by_role("button", name="Clear inbox").click()
    dialog = ann.get_by_role("dialog", name="Clear the inbox?")
    expect(dialog).to_contain_text("the 1 message that p1 received")
    dialog.get_by_role("button", name="Clear", exact=True).click()
    for page in (ann, also_ann):
        expect(page.get_by_text("No messages yet")).to_be_visible()
        expect(page.get_by_text("Inbox 0")).to_be_visible()
    assert inbox(stack, 1) == []


def test_what_cannot_be_delivered_yet_waits_and_says_so(enter: Callable[..., Visitor], absent_peer: str) -> None:
    page = enter("p1").page
    open_conversation(page, absent_peer)
    say(page, "for later")
    expect(page.locator(".message.is-mine")).to_have_attribute("data-state", "queued")
    expect(page.get_by_text(f"Waiting until {absent_peer} can be reached")).to_be_visible()
    expect(page.get_by_text("Outbox 1")).to_be_visible()
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".message")).to_have_count(0)
    expect(page.get_by_text("Outbox 0")).to_be_visible()


def test_a_failed_message_is_sent_again_under_its_id_and_never_doubles(
    enter: Callable[..., Visitor], stack: Stack
) -> None:
    visitor = enter("p1")
    visitor.expect_problem("ERR_FAILED")
    page = visitor.page
    ids: list[str] = []

    def swallow_the_answer(route: Route) -> None:
        """The first goes through, but the page never learns it."""
        ids.append((route.request.post_data_json or {})["id"])
        route.fetch()
        if len(ids) == 1:
            route.abort()
        else:
            route.continue_()

    open_conversation(page, "p2")
    page.route("**/p2p/msg", swallow_the_answer)
    say(page, "once and only once")
    expect(page.locator(".message.is-mine")).to_have_attribute("data-state", "failed")
    expect(page.get_by_text("No answer from the server.")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".message.is-mine")).to_have_attribute("data-state", "delivered")
    assert len(set(ids)) == 1
    assert len(ids) == 2
    assert [message["content"] for message in inbox(stack, 2)] == ["once and only once"]


def test_what_was_sent_is_still_there_after_a_reload(enter: Callable[..., Visitor], stack: Stack) -> None:
    page = enter("p1").page
    open_conversation(page, "p2")
    say(page, "before")
    expect(page.locator(".message.is-mine")).to_have_attribute("data-state", "delivered")
    post(stack, 2, to="p1", content="between")
    expect(page.locator(".message")).to_have_count(2)
    say(page, "after")
    expect(page.locator(".message")).to_have_count(3)
    page.reload()
    expect(page.locator(".message-text")).to_have_text(["before", "between", "after"])


def test_messages_sent_in_a_hurry_arrive_in_order(enter: Callable[..., Visitor], stack: Stack) -> None:
    page = enter("p1").page
    open_conversation(page, "p2")
    wanted = [f"number {number}" for number in range(12)]
    for text in wanted:
        say(page, text)
    expect(page.locator(".message[data-state=delivered]")).to_have_count(len(wanted))
    assert [message["content"] for message in inbox(stack, 2)] == wanted


def test_too_long_a_text_is_not_sent(enter: Callable[..., Visitor]) -> None:
    page = enter("p1").page
    open_conversation(page, "p2")
    page.locator("#composer").fill("ế" * 11_000)  # three bytes each
    expect(page.locator("#composer-hint")).to_contain_text("Too long: 33,000 bytes")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()


def test_a_draft_waits_in_its_conversation(enter: Callable[..., Visitor]) -> None:
    page = enter("p1").page
    open_conversation(page, "p2")
    page.locator("#composer").fill("half a thou")
    open_conversation(page, "p3")
    expect(page.locator("#composer")).to_have_value("")
    open_conversation(page, "p2")
    expect(page.locator("#composer")).to_have_value("half a thou")


def test_a_long_conversation_shows_its_end_first_and_more_when_asked(
    enter: Callable[..., Visitor], stack: Stack
) -> None:
    with requests.Session() as session:
        session.headers.update(stack.peer_headers)
        for number in range(210):
            url = f"{stack.peer_url(1)}/p2p/msg"
            session.post(url, json={"from": "p2", "to": "p1", "content": f"number {number}"}, timeout=10)
    page = enter("p1").page
    open_conversation(page, "p2")
    newest = page.locator(".message").last
    expect(page.locator(".message")).to_have_count(200)
    expect(newest).to_contain_text("number 209")
    expect(newest).to_be_in_viewport()
    page.get_by_role("button", name="Show earlier messages").click()
    expect(page.locator(".message")).to_have_count(210)
    expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()
    post(stack, 2, to="p1", content="news")
    expect(newest).to_contain_text("news")
    expect(newest).not_to_be_in_viewport()  # whoever reads further up is left in peace
    page.get_by_role("button", name="To the newest message").click()
    expect(newest).to_be_in_viewport()


def test_after_a_break_the_page_catches_up_by_itself(enter: Callable[..., Visitor], stack: Stack) -> None:
    visitor = enter("p3")
    visitor.expect_problem("WebSocket|status of 50[234]|status of 404")
    page = visitor.page
    open_conversation(page, "p2")
    post(stack, 2, to="p3", content="before the break")
    expect(page.locator(".message")).to_have_count(1)
    stack.kill_and_wait_for_return("p3")
    post(stack, 2, to="p3", content="after the break")
    expect(page.locator(".message-text")).to_have_text(["before the break", "after the break"], timeout=30_000)
    expect(page.locator("#link-status")).to_have_text("Live")


def test_login_and_sending_need_no_mouse(visit: Visit, stack: Stack) -> None:
    page = visit().open("/login")
    page.keyboard.type("admin")  # the first field has the focus
    page.keyboard.press("Tab")
    page.keyboard.type("password")
    page.keyboard.press("Enter")
    expect(page.locator("#app")).to_be_visible()
    page.locator("#local-peer option[value=p1]").wait_for(state="attached")
    expect(page.locator("#link-status")).to_have_text("Live")
    tab_to(page, "#local-peer")
    page.keyboard.type("p1")
    tab_to(page, "a[href$='%40p2']")
    page.keyboard.press("Enter")
    expect(page.locator("#conversation-title")).to_have_text("p2")
    tab_to(page, "#composer")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.locator(".message.is-mine")).to_have_attribute("data-state", "delivered")
    assert [message["content"] for message in inbox(stack, 2)] == ["by keyboard"]


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until that element has the focus."""
    for _ in range(60):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {selector}")
