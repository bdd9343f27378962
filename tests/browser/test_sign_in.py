"""Logging in and out, with and without JavaScript."""

import subprocess
import sys

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.visitor import Visit
from tests.processes import ROOT, Stack, wait_until

pytestmark = pytest.mark.browser

REFUSED = "status of 401"  # Chromium notes every such reply in the console


def test_a_wrong_password_is_told_in_place_and_a_right_one_opens_the_application(visit: Visit) -> None:
    visitor = visit()
    visitor.expect_problem(REFUSED)
    page = visitor.open("/login")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password", exact=True).fill("not it")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("don't go together")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()

    page.get_by_label("Password", exact=True).fill("password")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#app")).to_be_visible()
    expect(page.get_by_role("button", name="Account: admin")).to_be_visible()


def test_an_empty_form_says_what_is_missing(visit: Visit) -> None:
    page = visit().open("/login.html")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Type your name and your password.")
    expect(page.get_by_label("Name")).to_be_focused()


def test_without_javascript_the_form_works_and_a_wrong_password_gets_a_page(visit: Visit) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.expect_problem(REFUSED)
    page = visitor.page
    page.goto("/login.html")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password", exact=True).fill("not it")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("the name or the password was wrong")).to_be_visible()
    expect(page.get_by_role("link", name="Go to the login page")).to_have_attribute("href", "/login.html")

    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password", exact=True).fill("password")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{visitor.base_url}/")
    expect(page.get_by_role("navigation", name="Sections")).to_be_visible()


def test_without_a_session_the_application_is_closed(visit: Visit) -> None:
    visitor = visit()
    visitor.expect_problem(REFUSED)
    page = visitor.open("/index.html")
    expect(page.get_by_role("heading", name="You're not logged in")).to_be_visible()
    visitor.open("/")
    expect(page).to_have_url(f"{visitor.base_url}/login.html")


def test_logout_ends_the_session_and_forgets_what_was_sent(visit: Visit) -> None:
    visitor = visit()
    page = visitor.log_in()
    page.evaluate("localStorage.setItem('weaprous:chat:admin|site|p1', '{}')")
    page.get_by_role("button", name="Account: admin").click()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{visitor.base_url}/login.html")
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('weaprous:chat:'))") == []
    page.goto("/")
    expect(page).to_have_url(f"{visitor.base_url}/login.html")


def test_a_link_of_another_site_to_logout_asks_first(visit: Visit) -> None:
    visitor = visit()
    page = visitor.log_in()

    def follow_foreign_link() -> None:
        page.goto(visitor.base_url.replace("//localhost", "//127.0.0.1") + "/login.html")  # to a browser another site
        page.evaluate("(url) => { location.href = url; }", f"{visitor.base_url}/logout")
        expect(page.get_by_role("heading", name="Log out of WeApRous?")).to_be_visible()

    follow_foreign_link()
    page.get_by_role("link", name="Stay logged in").click()
    expect(page.locator("#app")).to_be_visible()
    follow_foreign_link()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{visitor.base_url}/login.html")
    page.goto("/")
    expect(page).to_have_url(f"{visitor.base_url}/login.html")


def test_the_question_at_the_way_out_speaks_the_browsers_language(visit: Visit) -> None:
    visitor = visit(locale="vi-VN", viewport={"width": 360, "height": 640})
    page = visitor.log_in()
    page.goto(visitor.base_url.replace("//localhost", "//127.0.0.1") + "/login.html")
    page.evaluate("(url) => { location.href = url; }", f"{visitor.base_url}/logout")
    expect(page.get_by_role("heading", name="Đăng xuất khỏi WeApRous?")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "vi")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Đăng xuất").click()
    expect(page).to_have_url(f"{visitor.base_url}/login.html")


def test_a_session_that_ends_while_the_page_is_open_is_told(visit: Visit) -> None:
    visitor = visit()
    visitor.expect_problem(REFUSED)
    visitor.expect_problem("WebSocket")
    page = visitor.log_in()
    visitor.context.clear_cookies()
    page.locator(".tabs a[data-view=peers]").click()  # asks the tracker afresh
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
    expect(page.get_by_role("link", name="Log in")).to_have_attribute("href", "/login.html")


def test_the_place_in_the_application_survives_the_login(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/#/echo")
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password", exact=True).fill("password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Echo", level=1)).to_be_visible()


@pytest.fixture
def ann(stack: Stack) -> tuple[str, str]:
    """Name and password of a user who has p1 and p2, and no default password."""
    users_file = ["--users-file", str(stack.var_dir / "users.json")]
    command = [sys.executable, "-m", "shared.runtime.users_file", *users_file, "add", "ann", "--peers", "p1,p2"]
    subprocess.run([*command, "--password-stdin"], input=b"correct horse", cwd=ROOT, check=True, timeout=20)
    login = {"username": "ann", "password": "correct horse"}

    def is_known_to_every_replica() -> bool:
        urls = [f"{stack.backend_url(number + 1)}/login" for number in range(stack.backends)]
        return all(requests.post(url, json=login, timeout=5).ok for url in urls)

    wait_until(is_known_to_every_replica, why="the replicas to read the users file again", interval_s=0.5)
    return login["username"], login["password"]


def test_a_user_chats_as_the_peers_that_are_given_to_him(visit: Visit, ann: tuple[str, str]) -> None:
    visitor = visit()
    visitor.expect_problem("status of 403")
    page = visitor.log_in(*ann)
    visitor.chat_as("p2")
    assert page.locator("#local-peer option").all_text_contents() == ["p1", "p2"]
    expect(page.get_by_text("default password")).to_have_count(0)
    page.get_by_role("button", name="Account: ann").click()
    expect(page.get_by_text("Your peers: p1, p2")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".tabs a[data-view=peers]").click()
    row = page.locator("tr[data-peer=p3]")
    row.get_by_role("button", name="Heartbeat for p3").click()
    expect(row.get_by_role("status")).to_have_text("That peer isn't yours to use.")
