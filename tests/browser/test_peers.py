"""The peers view: the live table, and what one may do to a registration."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.visitor import Visit
from tests.processes import Stack

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit: Visit) -> Page:
    visitor = visit()
    visitor.expect_problem("status of (404|409)|ERR_FAILED.*/tracker/watch")  # what tests of this file provoke
    page = visitor.log_in()
    page.locator(".tabs a[data-view=peers]").click()
    return page


@pytest.fixture
def peer_id(stack: Stack) -> Iterator[str]:
    """An id that nobody has; whatever was registered under it is gone after the test."""
    name = f"guest-{uuid4().hex[:8]}"
    yield name
    requests.post(
        f"{stack.tracker_url}/tracker/peer/remove",
        json={"peer_id": name},
        headers=stack.tracker_headers,
        timeout=5,
    )


def row(page: Page, peer_id: str) -> Locator:
    return page.locator(f"tr[data-peer='{peer_id}']")


def write(stack: Stack, path: str, body: dict[str, object]) -> None:
    """As somebody else who writes to the tracker."""
    answer = requests.post(f"{stack.tracker_url}/tracker/{path}", json=body, headers=stack.tracker_headers, timeout=5)
    assert answer.ok, answer.text


def register(page: Page, peer_id: str, port: str = "7599") -> None:
    page.get_by_role("button", name="Register a peer").click()
    dialog = page.get_by_role("dialog", name="Register a peer")
    dialog.get_by_label("Peer id").fill(peer_id)
    dialog.get_by_label("API port").fill(port)
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(row(page, peer_id)).to_be_visible()


def test_the_table_shows_who_is_registered_and_follows_by_itself(page: Page, stack: Stack, peer_id: str) -> None:
    for number in (1, 2, 3):
        expect(row(page, f"p{number}")).to_contain_text("Registered by itself")
    assert page.locator("tr[data-peer^='backend-']").count() == 3
    write(stack, "register", {"peer_id": peer_id, "port": 7599, "roles": ["p2p"], "channels": ["chat"]})
    expect(row(page, peer_id)).to_contain_text("127.0.0.1:7599")
    write(stack, "update", {"peer_id": peer_id, "load": 7.5})
    expect(row(page, peer_id).locator(".col-load")).to_contain_text("7.5")
    write(stack, "peer/remove", {"peer_id": peer_id})
    expect(row(page, peer_id)).to_have_count(0)


def test_a_lease_counts_down_and_its_row_goes_when_it_ends(page: Page, stack: Stack, peer_id: str) -> None:
    write(stack, "register", {"peer_id": peer_id, "port": 7599, "roles": ["p2p"], "ttl": 6})
    seconds_left = f"tr[data-peer='{peer_id}'] .col-expires .value"
    first = int((page.locator(seconds_left).text_content() or "").split()[0])
    assert 1 <= first <= 6
    is_less = "([selector, first]) => parseInt(document.querySelector(selector)?.textContent) < first"
    page.wait_for_function(is_less, arg=[seconds_left, first])
    expect(row(page, peer_id)).to_have_count(0)


def test_register_heartbeat_update_and_remove(page: Page, peer_id: str) -> None:
    register(page, peer_id)
    expect(page.locator(".toolbar .result")).to_have_text(f"{peer_id} is registered for 60 s.")
    expect(row(page, peer_id)).to_contain_text("Registered by admin")

    row(page, peer_id).get_by_role("button", name=f"Heartbeat for {peer_id}").click()
    expect(row(page, peer_id).get_by_role("status")).to_have_text("Renewed for 60 s.")

    row(page, peer_id).get_by_role("button", name=f"Update {peer_id}").click()
    dialog = page.get_by_role("dialog", name=f"Update {peer_id}")
    expect(dialog.get_by_label("Peer id")).to_have_value(peer_id)
    dialog.get_by_label("Load").fill("2.5")
    dialog.get_by_label("Channels").fill("chat, news")
    dialog.get_by_label("More facts").fill('{"api_port": 7599, "note": "<b>bold</b>"}')
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator(".toolbar .result")).to_have_text(f"{peer_id} is updated.")
    expect(row(page, peer_id).locator(".col-channels")).to_contain_text("news")
    expect(row(page, peer_id).locator(".col-load")).to_contain_text("2.5")

    row(page, peer_id).get_by_role("button", name=f"Remove {peer_id}").click()
    row(page, peer_id).get_by_role("button", name="Keep").click()
    expect(row(page, peer_id)).to_be_visible()
    row(page, peer_id).get_by_role("button", name=f"Remove {peer_id}").click()
    row(page, peer_id).locator("[data-action=confirm]").click()
    expect(row(page, peer_id)).to_have_count(0)
    expect(page.locator(".toolbar .result")).to_have_text(f"{peer_id} is removed.")


def test_the_form_says_what_is_wrong_with_each_field(page: Page) -> None:
    page.get_by_role("button", name="Register a peer").click()
    dialog = page.get_by_role("dialog", name="Register a peer")
    dialog.get_by_label("Peer id").fill("not an id")
    dialog.get_by_label("API port").fill("70000")
    dialog.get_by_label("Lease").fill("0")
    dialog.get_by_label("More facts").fill("[1]")
    dialog.get_by_role("button", name="Register", exact=True).click()
    for field in ("Peer id", "API port", "Lease", "More facts"):
        expect(dialog.get_by_label(field)).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Peer id")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_heartbeats_for_the_selected_rows(page: Page, stack: Stack, peer_id: str) -> None:
    register(page, peer_id)
    batch = page.locator("#heartbeat-batch")
    expect(batch).to_be_disabled()
    for name in (peer_id, "p1"):
        page.get_by_label(f"Select {name}", exact=True).check()
    expect(batch).to_contain_text("(2)")
    batch.click()
    expect(page.locator(".toolbar .result")).to_have_text("2 leases renewed.")


def test_a_refusal_is_told_where_the_button_is(page: Page, stack: Stack, peer_id: str) -> None:
    row(page, "p1").get_by_role("button", name="Update p1").click()
    dialog = page.get_by_role("dialog", name="Update p1")
    dialog.get_by_label("API port").fill("1")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".result")).to_contain_text("registered itself")
    dialog.get_by_role("button", name="Close").click()

    register(page, peer_id)
    page.route("**/tracker/watch?*", lambda route: route.abort())  # the page does not see it go
    expect(page.locator("#tracker-status")).to_have_text("No tracker")
    write(stack, "peer/remove", {"peer_id": peer_id})
    row(page, peer_id).get_by_role("button", name=f"Heartbeat for {peer_id}").click()
    expect(row(page, peer_id).get_by_role("status")).to_have_text("That peer isn't registered any more.")


def test_the_role_filter(page: Page) -> None:
    page.get_by_label("Role", exact=True).select_option("backend")
    expect(row(page, "p1")).to_have_count(0)
    assert page.locator("tbody tr").count() == 3
