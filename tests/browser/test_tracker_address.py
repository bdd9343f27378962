"""A backend alone, and a tracker and peers that the page asks directly."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import Visit, Visitor
from tests.conftest import StartService
from tests.processes import Service

pytestmark = [pytest.mark.browser, pytest.mark.stack]


@pytest.fixture
def backend(start_service: StartService) -> Service:
    """Keyless and alone: there is no tracker behind it."""
    return start_service("services.backend")


@pytest.fixture
def tracker(start_service: StartService) -> Service:
    return start_service("services.tracker")


@pytest.fixture
def visitor(visit: Visit, backend: Service) -> Visitor:
    visitor = visit(backend.url)
    visitor.expect_problem("status of 404")
    visitor.log_in()
    return visitor


def start_peer(start_service: StartService, tracker: Service, peer_id: str, data_dir: str) -> Service:
    flags = ["--peer-id", peer_id, "--register", "--tracker", tracker.url, "--ttl", "180", "--data-dir", data_dir]
    return start_service("services.peer", *flags)


def use_tracker(page: Page, address: str) -> None:
    page.locator("#tracker-status").click()
    dialog = page.get_by_role("dialog", name="Tracker")
    dialog.get_by_label("Address of another tracker").fill(address)
    dialog.get_by_role("button", name="Connect").click()


def test_without_a_tracker_the_page_says_so_and_stays_usable(visitor: Visitor) -> None:
    page = visitor.page
    expect(page.locator(".banner").filter(has_text="no tracker behind this site")).to_be_visible()
    expect(page.locator("#tracker-status")).to_have_text("No tracker")
    page.locator(".tabs a[data-view=echo]").click()
    page.locator("#echo-send").click()
    expect(page.get_by_text("6 requests answered.")).to_be_visible()


def test_another_tracker_is_asked_directly_and_so_are_its_peers(
    visitor: Visitor, tracker: Service, start_service: StartService, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("left", "right"):
        start_peer(start_service, tracker, name, str(tmp_path_factory.mktemp(name)))
    page = visitor.page
    use_tracker(page, tracker.url.removeprefix("http://"))  # as people type it
    expect(page.get_by_role("dialog").locator(".result")).to_contain_text(f"Live at {tracker.url}: 2 registered.")
    page.keyboard.press("Escape")
    visitor.chat_as("left")
    page.locator(".conversations a").filter(has_text="right").click()
    page.locator("#composer").fill("straight to you")
    page.keyboard.press("Enter")
    expect(page.locator(".message.is-mine")).to_have_attribute("data-state", "delivered")
    visitor.chat_as("right")
    page.locator(".conversations a").filter(has_text="left").click()
    expect(page.locator(".message-text")).to_have_text("straight to you")

    page.reload()  # the address is remembered
    expect(page.locator("#tracker-status")).to_have_text("Live")
    page.locator(".tabs a[data-view=peers]").click()
    expect(page.locator("tr[data-peer=left]")).to_be_visible()
    page.locator("#change-tracker").click()
    page.get_by_role("button", name="Use this site's").click()
    expect(page.locator("tr[data-peer=left]")).to_have_count(0)
    expect(page.get_by_role("dialog").locator(".result")).to_contain_text("no tracker behind this site")


def test_registrations_at_another_tracker(visitor: Visitor, tracker: Service) -> None:
    visitor.expect_problem("ERR_CONNECTION_REFUSED")  # the page asks the new peer at once, and nobody listens there
    page = visitor.page
    use_tracker(page, tracker.url)
    page.keyboard.press("Escape")
    page.locator(".tabs a[data-view=peers]").click()
    page.get_by_role("button", name="Register a peer").click()
    dialog = page.get_by_role("dialog", name="Register a peer")
    dialog.get_by_label("Peer id").fill("guest")
    dialog.get_by_label("API port").fill("7599")
    dialog.get_by_role("button", name="Register", exact=True).click()
    expect(page.locator("tr[data-peer=guest]")).to_contain_text("Registered without a key")


def test_a_tracker_that_does_not_answer_is_named_and_found_again_when_it_comes(
    visitor: Visitor, tracker: Service
) -> None:
    visitor.expect_problem("ERR_CONNECTION_REFUSED")
    page = visitor.page
    assert tracker.stop() == 0
    use_tracker(page, tracker.url)
    expect(page.get_by_role("dialog").locator(".result")).to_contain_text(
        f"No answer from the tracker at {tracker.url}"
    )
    tracker.restart()
    expect(page.get_by_role("dialog").locator(".result")).to_contain_text(f"Live at {tracker.url}", timeout=30_000)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("not an address", "is not an address"),
        ("ftp://127.0.0.1:9000", "begins with http://"),
        ("http://user:secret@127.0.0.1:9000", "name or password"),
        ("http://127.0.0.1:9000/some/where", "Only host and port"),
    ],
)
def test_what_is_no_address_is_told_at_the_field(visitor: Visitor, typed: str, told: str) -> None:
    use_tracker(visitor.page, typed)
    field = visitor.page.get_by_label("Address of another tracker")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(visitor.page.locator("#tracker-address-error")).to_contain_text(told)


def test_an_address_that_the_policy_forbids_is_told_with_the_way_out(visitor: Visitor) -> None:
    visitor.expect_problem("Content Security Policy|Refused to connect")
    use_tracker(visitor.page, "http://tracker.example:9000")
    told = visitor.page.get_by_role("dialog").locator(".result")
    expect(told).to_contain_text("--ui-connect http://tracker.example:9000")
