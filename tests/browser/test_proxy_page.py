"""The proxy's own page: what is wrong is seen at once, and the page outlives what it watches."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.proxy_site import READY, Site
from tests.browser.visitor import Visit, Visitor
from tests.processes import wait_until
from tests.services.proxy.upstream_servers import Talk

pytestmark = pytest.mark.browser

CONNECTION_LOST = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to"


@pytest.fixture
def visitor(visit: Visit, site: Site) -> Visitor:
    visitor = visit(site.proxy.url)
    visitor.open("/_proxy/", READY)
    return visitor


@pytest.fixture
def page(visitor: Visitor) -> Page:
    return visitor.page


def row(page: Page, site: Site, number: int) -> Any:
    return page.locator("tr").filter(has_text=site.upstreams[number].address)


def test_a_healthy_proxy_says_so(page: Page, site: Site) -> None:
    expect(page.locator("#zones")).to_be_hidden()
    expect(page.locator("#headline")).to_have_text("All is well: 3 upstreams")
    expect(page.locator("#link")).to_have_text("Live")
    expect(page.locator("#pools .pool")).to_have_count(2)
    expect(row(page, site, 0).locator(".state")).to_contain_text("up")
    expect(page.locator("#rules")).to_contain_text("/api/")
    expect(page.locator("#events li").filter(has_text="joined")).to_have_count(3)


def test_an_upstream_that_goes_down_is_seen_at_once_with_the_reason(page: Page, site: Site) -> None:
    site.upstreams[1].close()
    expect(page.locator("#headline")).to_have_text("1 of 3 upstreams is out of use")
    expect(page.locator("#problems li")).to_contain_text("Connection refused")
    expect(page.locator("#pools .pool").first.locator("tbody tr").first).to_contain_text(site.upstreams[1].address)
    expect(row(page, site, 1).locator(".state")).to_contain_text("down")
    expect(page.locator("#events li").first).to_contain_text("down")
    assert page.title() == "⚠ Proxy"
    site.upstreams[0].close()
    expect(page.locator("#headline")).to_have_text("Pool app has no upstream that is fit")
    expect(page.locator("#pools .pool h3").first).to_have_text("app")
    expect(page.locator(".verdict")).to_have_attribute("data-kind", "critical")
    page.get_by_label("Only trouble").check()
    expect(page.locator("#events li:visible").filter(has_text="joined")).to_have_count(0)
    expect(page.locator("#events li:visible").filter(has_text="down")).to_have_count(2)


def test_replies_with_errors_are_an_alarm_too(page: Page, site: Site) -> None:
    def fail(talk: Talk) -> None:
        talk.reply(b"", "500 Internal Server Error")

    site.upstreams[2].by_path["/v1/x"] = fail
    expect(page.locator("#headline")).to_have_text("All is well: 3 upstreams")
    for _ in range(30):
        answer = page.request.get("/api/x", headers={"Host": "shop.example"})
        assert answer.status == 500
    expect(page.locator("#headline")).to_have_text("1 upstream answers with errors")
    expect(page.locator("#problems")).to_contain_text("were 5xx")


def explain(page: Page, path: str) -> None:
    page.get_by_label("Path").fill(path)
    page.get_by_role("button", name="Explain").click()


def test_it_explains_where_a_request_would_go(page: Page, site: Site) -> None:
    page.get_by_label("Host", exact=True).fill("shop.example")
    page.get_by_label("Path").fill("/api/users?x=1")
    page.get_by_role("button", name="Explain").click()
    answer = page.locator("#explanation")
    expect(answer).to_contain_text("host shop.example (line 2), location /api/ (line 2)")
    expect(answer).to_contain_text("GET /v1/users?x=1")
    expect(answer.locator(".chosen")).to_contain_text(site.upstreams[2].address)
    page.get_by_label("Path").fill("/../x")
    page.get_by_label("Path").press("Enter")
    expect(answer).to_contain_text("The proxy itself answers 400")
    site.upstreams[0].close()
    page.get_by_label("Path").fill("/")
    expect(row(page, site, 0).locator(".state")).to_contain_text("down")
    page.get_by_role("button", name="Explain").click()
    expect(answer.locator(".left-out")).to_contain_text("not: it is down")


def test_it_tells_what_comes_before_an_upstream_is_asked(page: Page, site: Site) -> None:
    answer = page.locator("#explanation")
    page.get_by_label("Path").fill("/")
    page.get_by_role("button", name="Explain").click()
    expect(answer.locator(".chosen")).to_be_visible()
    expect(answer).not_to_contain_text("Cache")
    page.get_by_label("Path").fill("/files/a")
    page.get_by_role("button", name="Explain").click()
    expect(answer).to_contain_text("10r/s for each $remote_addr (this one's is 127.0.0.1), 5 more at once")
    expect(answer).to_contain_text("nothing is stored for it")
    assert page.request.get("/files/a").ok
    page.get_by_role("button", name="Explain").click()
    expect(answer).to_contain_text("fresh for another")
    expect(answer).to_contain_text("it answers, and no upstream is asked")


def test_a_reload_shows_every_mistake_or_what_has_changed(visitor: Visitor, site: Site) -> None:
    visitor.expect_problem("422")
    page = visitor.page
    site.config.write_text(site.text.replace("health_check", "heath_check").replace("http://app;\n", "http://ap;\n"))
    page.get_by_role("button", name="Reload configuration").click()
    result = page.locator("#reload-result")
    expect(result).to_be_focused()
    expect(result.locator("h2")).to_contain_text("Refused")
    expect(result.locator(".mistakes li").first).to_contain_text("line 1, column")
    expect(result.locator(".mistakes li").first).to_contain_text("health_check")
    expect(page.locator("#problems")).to_contain_text("the last reload was refused")
    site.config.write_text(site.text + f"host new.example {{ proxy_pass http://{site.upstreams[0].address}; }}\n")
    page.get_by_role("button", name="Reload configuration").click()
    expect(result.locator("h2")).to_have_text("The configuration is in force")
    expect(result).to_contain_text("new host new.example")
    expect(page.locator("#problems li")).to_have_count(0)
    expect(page.locator("#rules")).to_contain_text("new.example")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Reload configuration")).to_be_focused()


def test_it_outlives_the_proxy_and_comes_back_with_it(visitor: Visitor, site: Site) -> None:
    visitor.expect_problem(CONNECTION_LOST)
    page = visitor.page
    site.proxy.kill()
    expect(page.locator("#headline")).to_have_text("The proxy does not answer.")
    expect(page.locator("#link")).to_contain_text("Events cut off")
    expect(page.get_by_role("button", name="Reload configuration")).to_be_disabled()
    site.proxy.restart()
    expect(page.locator("#headline")).to_have_text("All is well: 3 upstreams", timeout=30_000)
    expect(page.locator("#link")).to_have_text("Live", timeout=30_000)
    site.upstreams[1].close()
    expect(page.locator("#events li").first).to_contain_text("down")


def test_a_websocket_that_is_cut_is_said_and_opened_again(visitor: Visitor, site: Site) -> None:
    sockets: list[Callable[[], None]] = []
    is_cut = False

    def on_socket(route: Any) -> None:
        if is_cut:
            route.close()
            return
        route.connect_to_server()
        sockets.append(route.close)

    page = visitor.new_tab()
    page.route_web_socket("**/_proxy/events*", on_socket)
    page.goto("/_proxy/")
    expect(page.locator("#link")).to_have_text("Live")
    expect(page.locator("#events li")).to_have_count(6)
    is_cut = True
    sockets.pop()()
    expect(page.locator("#link")).to_contain_text("Events cut off, again in")
    expect(page.locator("#headline")).to_have_text("All is well: 3 upstreams")
    site.upstreams[1].close()
    expect(page.locator("#headline")).to_have_text("1 of 3 upstreams is out of use")
    expect(page.locator("#events li")).to_have_count(6)
    is_cut = False
    expect(page.locator("#events li").filter(has_text="down")).to_have_count(1, timeout=30_000)
    expect(page.locator("#link")).to_have_text("Live")
    expect(page.locator("#events li")).to_have_count(7)


def test_behind_a_login_it_shows_tracker_and_peers_and_says_when_the_session_has_ended(visit: Visit) -> None:
    visitor = visit()
    visitor.expect_problem("401")
    visitor.log_in()
    page = visitor.open("/_proxy/", READY)
    expect(page.locator("#link")).to_have_text("Live")
    expect(page.locator("#headline")).to_contain_text("All is well")
    expect(page.locator("#pools tbody tr")).to_have_count(3)
    page.get_by_text("Tracker and peers").click()
    expect(page.locator("#other-list .pool").first).to_be_visible()
    visitor.context.clear_cookies()
    expect(page.locator("#headline")).to_have_text("Your session has ended")
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def test_the_skip_link_leads_past_the_top_bar(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_what_cache_and_limits_do_is_shown_once_they_do_it(visitor: Visitor, site: Site, page: Page) -> None:
    expect(page.locator(".tile").filter(has_text="Retries")).to_have_count(1)
    assert page.locator(".tile").filter(has_text="From the cache").count() == 0
    site.upstreams[2].reply = lambda talk: talk.reply(b"kept", "200 OK", "Cache-Control: max-age=60")
    words = "location /kept/ { proxy_cache on; limit_req zone=z burst=3 nodelay; proxy_pass http://%s; }"
    changed = site.text.replace('host "*" {', 'host "*" { ' + words % site.upstreams[2].address)
    site.config.write_text("limit_req_zone $remote_addr zone=z:1m rate=1r/m;\n" + changed)
    assert requests.post(site.proxy.url + "/_proxy/reload", timeout=10).status_code == 200
    assert [requests.get(site.proxy.url + "/kept/x", timeout=10).status_code for _ in range(5)] == [200] * 4 + [429]
    expect(page.locator(".tile").filter(has_text="From the cache")).to_contain_text("75%")
    expect(page.locator(".tile").filter(has_text="From the cache")).to_contain_text("1 reply")
    expect(page.locator(".tile").filter(has_text="Over the limit")).to_contain_text("refused, 0 delayed")


def test_stale_replies_that_answer_count_as_the_caches_and_limits_of_both_kinds_are_added_up(
    site: Site, page: Page
) -> None:
    goes_on = threading.Event()

    def reply(talk: Talk) -> None:
        if talk.request.target.endswith("/held"):
            goes_on.wait(30)
        talk.reply(b"kept", "200 OK", "Cache-Control: max-age=0, stale-while-revalidate=600")

    site.upstreams[2].reply = reply
    words = (
        "location /kept/ { proxy_cache on; proxy_cache_background_update on; limit_conn crowd 1; "
        "add_header X-Kept yes always; proxy_pass http://%s; }"
    )
    changed = site.text.replace('host "*" {', 'host "*" { ' + words % site.upstreams[2].address)
    site.config.write_text("limit_conn_zone $remote_addr zone=crowd:1m;\n" + changed)
    assert requests.post(site.proxy.url + "/_proxy/reload", timeout=10).status_code == 200
    expect(page.locator("#zones")).to_be_visible()
    url = site.proxy.url + "/kept/"
    assert [requests.get(url + "x", timeout=10).status_code for _ in range(4)] == [200] * 4
    cache, limits = page.locator(".tile").filter(has_text="From the cache"), page.locator(".tile")
    expect(cache).to_contain_text("75%")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(requests.get, url + "held", timeout=30)
        wait_until(lambda: requests.get(url + "new", timeout=10).status_code == 429, why="one is under way")
        expect(limits.filter(has_text="Over the limit")).to_contain_text("at once; 0 delayed")
        zone = page.get_by_role("table", name="Limits on what is under way").get_by_role("row").nth(1)
        expect(zone.get_by_role("rowheader")).to_have_text("crowd")
        expect(zone.get_by_role("cell").nth(1)).to_have_text("1")
        expect(zone.get_by_role("cell").nth(2)).not_to_have_text("0")
        explain(page, "/kept/new")
        answer = page.locator("#explanation")
        expect(answer).to_contain_text("1 at once for each $remote_addr (this one's is 127.0.0.1), 1 under way")
        expect(answer).to_contain_text("so it would get a 429")
        expect(answer).to_contain_text("X-Kept: yes is added, to errors too")
        explain(page, "/kept/x")
        expect(answer).to_contain_text("it answers, and is then fetched anew")
        expect(answer).to_contain_text("but the cache answers, which takes no place")
        goes_on.set()
        assert held.result().status_code == 200
