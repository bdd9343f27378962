"""The proxy's page in its languages: all of it is translated, and nothing of it breaks when words are longer."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from services.proxy.console import PAGE_DIR
from tests.browser.probing import probe
from tests.browser.proxy_site import READY, Site
from tests.browser.visitor import PHONE, Visit, Visitor
from tests.services.proxy.upstream_servers import Talk

pytestmark = pytest.mark.browser

# Every Vietnamese word in « », so that a text that is no word stands out.
MARKED = "\nfor (const word of new Set(Object.values(WORDS))) word[1] = `«${word[1]}»`;\n"


def show_everything(page: Page, site: Site) -> None:
    """The page with trouble, mistakes, an explanation and what else it may show."""
    site.upstreams[1].close()
    problems = page.locator("#problems li")
    expect(problems.filter(has_text=site.upstreams[1].address)).to_have_count(1)
    site.config.write_text(site.text.replace("health_check", "heath_check"))
    page.locator("#reload").click()
    expect(page.locator(".mistakes li").first).to_be_visible()
    expect(problems.filter(has_text=site.config.name)).to_have_count(1)
    page.locator("#explain .more summary").click()
    page.locator("#explain [type=submit]").click()
    expect(page.locator(".left-out")).to_be_visible()
    page.mouse.move(0, 0)


def test_a_first_visit_is_in_the_browsers_language_and_a_choice_is_remembered(visit: Visit, site: Site) -> None:
    page = visit(site.proxy.url, locale="vi-VN").open("/_proxy/", READY)
    expect(page.locator("html")).to_have_attribute("lang", "vi")
    expect(page.locator("#headline")).to_have_text("Mọi thứ đều ổn: 3 upstream")
    expect(page.locator("#link")).to_have_text("Trực tuyến")
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#headline")).to_have_text("All is well: 3 upstreams")
    page.reload()
    expect(page.get_by_role("button", name="English")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#headline")).to_have_text("All is well: 3 upstreams")


def test_a_change_of_language_rewrites_what_is_there_and_keeps_what_was_typed(visit: Visit, site: Site) -> None:
    visitor = visit(site.proxy.url)
    visitor.expect_problem("422")
    page = visitor.open("/_proxy/", READY)
    show_everything(page, site)
    page.locator("[name=path]").fill("/typed")
    page.locator("#events").evaluate("(node) => { node.firstElementChild.dataset.seen = 'yes'; }")
    page.get_by_role("button", name="Tiếng Việt").click()
    expect(page.get_by_role("button", name="Tiếng Việt")).to_be_focused()
    expect(page.locator("[name=path]")).to_have_value("/typed")
    expect(page.locator("#headline")).to_have_text("1/3 upstream đang ngừng dùng")
    expect(page.locator("#problems li").first).to_contain_text("nó không hoạt động: ")
    expect(page.locator("#problems li").first).to_contain_text("kết nối bị từ chối")
    expect(page.locator("#explanation .left-out")).to_contain_text("không: nó không hoạt động")
    expect(page.locator("#reload-title")).to_contain_text("Bị từ chối")
    expect(page.locator(".mistakes [lang=en]").first).to_contain_text("health_check")
    expect(page.locator("#events li").filter(has_text="hỏng").first).to_be_visible()
    expect(page.locator("#events [data-seen]")).to_have_count(0)
    expect(page.locator("#rules")).to_contain_text("dòng 2")
    expect(page.get_by_role("region", name="Pool app")).to_be_visible()
    page.get_by_role("button", name="Đóng").click()
    page.get_by_role("button", name="English").click()
    expect(page.locator("#reload-result")).to_be_hidden()
    expect(page.locator("#headline")).to_have_text("1 of 3 upstreams is out of use")
    expect(page.locator("#explanation .left-out")).to_contain_text("not: it is down")


def test_a_language_chosen_in_the_chat_holds_here_and_the_other_way(visit: Visit) -> None:
    visitor = visit()
    chat = visitor.log_in()
    chat.get_by_role("button", name="Tiếng Việt").click()
    proxy = visitor.new_tab()
    proxy.goto("/_proxy/")
    expect(proxy.locator("html")).to_have_attribute("lang", "vi")
    expect(proxy.locator("#link")).to_have_text("Trực tuyến")
    proxy.get_by_role("button", name="English").click()
    expect(chat.locator("html")).to_have_attribute("lang", "en")
    expect(chat.locator(".tabs a[data-view=chat]")).to_contain_text("Chat")
    expect(chat.get_by_role("button", name="English")).to_have_attribute("aria-pressed", "true")


def test_no_text_is_outside_of_the_words(visit: Visit, site: Site) -> None:
    def mark(route: Route) -> None:
        script = (PAGE_DIR / "words.js").read_text("utf-8") + MARKED
        route.fulfill(body=script, content_type="text/javascript; charset=utf-8")

    def fail(talk: Talk) -> None:
        talk.reply(b"", "500 Internal Server Error")

    visitor = visit(site.proxy.url, locale="vi-VN")
    visitor.expect_problem("422")
    visitor.page.route("**/_proxy/page/words.js", mark)
    page = visitor.open("/_proxy/", READY)
    expect(page.locator("#headline")).to_have_text("«Mọi thứ đều ổn: 3 upstream»")
    site.upstreams[2].by_path["/v1/x"] = fail
    for _ in range(30):
        assert page.request.get("/api/x", headers={"Host": "shop.example"}).status == 500
    expect(page.locator("#problems")).to_contain_text("5xx")
    show_everything(page, site)
    page.locator("#only-trouble").check()
    assert probe(page, "untranslated") == []
    site.config.write_text(site.text + f"host new.example {{ proxy_pass http://{site.upstreams[0].address}; }}\n")
    page.locator("#reload").click()
    expect(page.locator("#reload-title")).to_have_text("«Cấu hình đã có hiệu lực»")
    page.locator("[name=path]").fill("/files/a")
    page.locator("[name=path]").press("Enter")
    expect(page.locator("#explanation")).to_contain_text("10r/s")
    assert probe(page, "untranslated") == []
    page.locator("[name=path]").fill("/../x")
    page.locator("[name=path]").press("Enter")
    expect(page.locator("#explanation")).to_contain_text("400")
    assert probe(page, "untranslated") == []


TOLD = {
    "it is down: the check failed: no connection to 10.0.0.1:80: Connection refused": (
        "nó không hoạt động: lần kiểm tra thất bại: không kết nối được tới 10.0.0.1:80: kết nối bị từ chối"
    ),
    "3 requests in a row failed: reply_timeout; for 2.5 s": (
        "3 yêu cầu liên tiếp thất bại: quá hạn chờ phản hồi; trong 2,5 giây"
    ),
    "12 of 20 replies had a status of 5xx; for 10 s": "12/20 phản hồi có mã 5xx; trong 10 giây",
    "it is ejected for another 7 s: its trial request got status 503": (
        "nó bị loại tạm thêm 7 giây: yêu cầu thử nhận mã 503"
    ),
    "next in turn; it was ejected, and the next request will show whether it is well again": (
        "đến lượt nó; nó đã bị loại tạm, yêu cầu tới sẽ cho biết nó đã ổn chưa"
    ),
    "next in turn; nobody fitter is there, although it drains": (
        "đến lượt nó; không có upstream nào phù hợp hơn, dù nó sắp dừng"
    ),
    "all upstreams are full: it would wait for a place": "mọi upstream đều đầy: yêu cầu sẽ chờ đến khi có chỗ",
    "passed 1 check": "đã qua 1 lần kiểm tra",
    "passed 2 checks": "đã qua 2 lần kiểm tra",
    "the hash of $remote_addr belongs to it": "giá trị băm của $remote_addr thuộc về nó",
    "12345 requests wait for a free place: all upstreams are full": (
        "12.345 yêu cầu đang chờ chỗ trống: mọi upstream đều đầy"
    ),
    "10r/s for each $remote_addr (this one's is 127.0.0.1), 5 more at once; a body of at most 1048576 bytes": (
        "10r/s cho mỗi $remote_addr (ở đây là 127.0.0.1), thêm 5 yêu cầu cùng lúc; phần thân tối đa 1.048.576 byte"
    ),
    "30r/m for each $cookie_a (this one has none, so it is not limited), none before its time; "
    "5r/s for each $host (this one's is a.example), 2 more at once, 3 wait; a body of any size": (
        "30r/m cho mỗi $cookie_a (ở đây không có nên không bị giới hạn), không yêu cầu nào được đến sớm; "
        "5r/s cho mỗi $host (ở đây là a.example), thêm 2 yêu cầu cùng lúc, 3 phải chờ; "
        "phần thân lớn bao nhiêu cũng được"
    ),
    "a reply is stored, 3 s old and fresh for another 57 s: it answers, and no upstream is asked": (
        "đã lưu một phản hồi, đã 3 giây và còn mới thêm 57 giây: dùng nó, không hỏi upstream"
    ),
    "a reply is stored, 3 s old and fresh for another 57 s, but to be confirmed first, as the client asks: "
    "the upstream is asked whether it still holds": (
        "đã lưu một phản hồi, đã 3 giây và còn mới thêm 57 giây, nhưng phải xác nhận trước, theo yêu cầu của máy "
        "khách: hỏi upstream xem nó còn đúng không"
    ),
    "a reply is stored, 90 s old and stale for 30 s: the upstream is asked for another": (
        "đã lưu một phản hồi, đã 90 giây và quá hạn 30 giây: hỏi upstream phản hồi khác"
    ),
    "something that nobody translated": "something that nobody translated",
}
FIGURES = {
    "rate(1234.5)": ("1,235", "1.235"),
    "rate(8.26)": ("8.3", "8,3"),
    "rate(9.96)": ("10", "10"),
    "rate(null)": ("–", "–"),
    "count(1234567)": ("1.2M", "1,2\u00a0Tr"),
    "share(0.75)": ("75%", "75%"),
    "share(0.0123)": ("1.2%", "1,2%"),
    "share(0.0001)": ("< 0.1%", "< 0,1%"),
    "latency(0.00123)": ("1.2 ms", "1,2 ms"),
    "latency(0.5)": ("500 ms", "500 ms"),
    "latency(1.24)": ("1.2 s", "1,2 giây"),
    "duration(0.2)": ("0 s", "0 giây"),
    "duration(59.7)": ("1 min", "1 phút"),
    "duration(7199)": ("2 h 0 min", "2 giờ 0 phút"),
    "duration(90000)": ("1 d 1 h", "1 ngày 1 giờ"),
    "size(1536)": ("1.5 KiB", "1,5 KiB"),
    "time(0, 86400000 * 40)": ("Jan 1 00:00:00", "1 thg 1 00:00:00"),
}


def test_the_proxys_sentences_are_told_in_the_pages_language(visit: Visit, site: Site) -> None:
    page = visit(site.proxy.url, locale="vi-VN").open("/_proxy/", READY)
    tell = "async (text) => (await import('/_proxy/page/told.js')).told(text)"
    assert {text: page.evaluate(tell, text) for text in TOLD} == TOLD
    page.get_by_role("button", name="English").click()
    english = {text: text.replace("12345", "12,345").replace("1048576", "1,048,576") for text in TOLD}
    assert {text: page.evaluate(tell, text) for text in TOLD} == english


@pytest.mark.parametrize(("locale", "at"), [("en-US", 0), ("vi-VN", 1)])
def test_figures_and_times_are_written_as_the_language_writes_them(
    visit: Visit, site: Site, locale: str, at: int
) -> None:
    page = visit(site.proxy.url, locale=locale, timezone_id="UTC").open("/_proxy/", READY)
    names = "{ count, duration, latency, rate, share, size, time }"
    told = {
        text: page.evaluate(f"async () => {{ const {names} = await import('/_proxy/page/format.js'); return {text}; }}")
        for text in FIGURES
    }
    assert told == {text: both[at] for text, both in FIGURES.items()}


def test_trouble_is_read_out_but_not_what_was_before_the_visit(visit: Visit, site: Site) -> None:
    visitor = visit(site.proxy.url, locale="vi-VN")
    page = visitor.open("/_proxy/", READY)
    site.upstreams[1].close()
    announcer = page.locator("#announcer")
    expect(announcer).to_have_text(re.compile(f"{site.upstreams[1].address} trong pool app: hỏng, .*từ chối"))
    page.reload()
    expect(page.locator("#events li").filter(has_text="hỏng")).to_have_count(1)
    expect(announcer).to_be_empty()
    site.upstreams[0].close()
    expect(announcer).to_have_text(re.compile(f"{site.upstreams[0].address} trong pool app: hỏng, .*từ chối"))


def test_empty_lists_say_that_they_are(visitor_of_nothing: Visitor) -> None:
    page = visitor_of_nothing.open("/_proxy/", READY)
    expect(page.locator("#no-pools")).to_have_text("No rule sends requests to a pool.")
    expect(page.locator("#no-events")).to_have_text("Nothing has happened yet.")
    expect(page.locator("#headline")).to_have_text("All is well: 0 upstreams")
    page.get_by_role("button", name="Tiếng Việt").click()
    expect(page.locator("#no-pools")).to_have_text("Không quy tắc nào gửi yêu cầu tới pool.")
    assert probe(page, "overflows") == []


@pytest.fixture
def visitor_of_nothing(visit: Visit, start_service: Any, tmp_path: Any) -> Visitor:
    """Somebody at a proxy that only answers itself."""
    config = tmp_path / "empty.conf"
    config.write_text('host "*" { return 404; }\n')
    return visit(start_service("services.proxy", "--config", str(config)).url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "vi-VN"])
@pytest.mark.parametrize(
    "viewport", [{"width": 1280, "height": 800}, PHONE, {"width": 360, "height": 740}, {"width": 320, "height": 640}]
)
def test_every_text_can_be_read_and_nothing_is_wider_than_the_screen(
    visit: Visit, site: Site, scheme: str, locale: str, viewport: dict[str, int]
) -> None:
    visitor = visit(site.proxy.url, viewport=viewport, color_scheme=scheme, locale=locale, reduced_motion="reduce")
    visitor.expect_problem("422")
    page = visitor.open("/_proxy/", READY)
    show_everything(page, site)
    assert probe(page, "overflows") == []
    assert probe(page, "truncations") == []
    assert probe(page, "faint_texts") == []
    assert probe(page, "nameless_controls") == []
    assert page.locator("h1:visible").count() == 1
