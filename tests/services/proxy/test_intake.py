"""Requests taken in and their replies worked on, with an upstream that is a function: the story from both ends."""

import gzip
import json
from pathlib import Path

import pytest

from services.proxy.cache_rules import Received
from services.proxy.config_file import load_config, parse_config
from services.proxy.features import Features
from services.proxy.intake import Intake, Taken
from services.proxy.moments import Moment
from services.proxy.reply_work import Shaped
from shared.httpcore.dates import format_http_date
from shared.httpcore.headers import Headers
from shared.httpcore.message import Request, Response

T0 = 1_700_000_000.0
PAGE = b"<p>hello</p>" * 200
FRESH = ("Cache-Control: max-age=60", 'ETag: "x"', "Content-Type: text/html")
BROWSER = "Accept: text/html"


def at(seconds: float) -> Moment:
    return Moment(seconds, T0 + seconds)


def request_of(target: str = "/a", *lines: str, method: str = "GET", peer: str = "9.9.9.9") -> Request:
    request = Request(method, target, 1, "".join(f"{line}\r\n" for line in lines).encode("latin-1"))
    request.host, request.remote_ip, request.remote_port, request.id = "shop.example", peer, 5, "id-1"
    return request


class Proxy:
    """An intake with one location, and what a forwarder does with it."""

    def __init__(self, words: str = "", file: str = "") -> None:
        self.intake = Intake()
        self.apply(words, file)

    def apply(self, words: str, file: str = "") -> None:
        config = parse_config(f'{file}\nhost "*" {{ proxy_pass http://10.0.0.1:80; {words} }}')
        self.intake.apply(config)
        self.features: Features = config.hosts[0].locations[0].features

    def take(self, request: Request, seconds: float = 0.0) -> Taken:
        self.intake.identify(request)
        return self.intake.take(request, self.features, at(seconds))

    def exchange(
        self, request: Request, *lines: str, body: bytes = PAGE, status: int = 200, seconds: float = 0.0
    ) -> tuple[int, dict[str, str], bytes]:
        """What the client gets when the upstream answers so."""
        taken = self.take(request, seconds)
        if taken.response is not None:
            return of_response(taken.response)
        if taken.work is None:
            return status, pairs_of(lines), body
        headers = Headers(pairs_of(lines).items())
        shaped = taken.work.on_head(Received(status, headers, T0 + seconds, T0 + seconds), "10.0.0.1:80", at(seconds))
        if shaped.response is not None:
            return of_response(shaped.response)
        half = len(body) // 2
        sent = taken.work.on_data(body[:half], at(seconds)) + taken.work.on_data(body[half:], at(seconds))
        return status, dict(shaped.pairs), sent + taken.work.on_end(at(seconds))


def pairs_of(lines: tuple[str, ...]) -> dict[str, str]:
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}


def of_response(response: Response) -> tuple[int, dict[str, str], bytes]:
    return response.status, dict(response.headers), response.body


def test_a_plain_location_costs_nothing() -> None:
    proxy = Proxy()
    assert not proxy.features.concerns_requests
    assert proxy.take(request_of()) == Taken()


def test_who_is_behind_a_trusted_hop_is_the_client_for_everybody_after() -> None:
    proxy = Proxy("limit_req zone=z;", "set_real_ip_from 10.0.0.0/8; limit_req_zone $remote_addr zone=z:1m rate=1r/s;")
    one = request_of("/", "X-Forwarded-For: 9.9.9.9", peer="10.0.0.1")
    two = request_of("/", "X-Forwarded-For: 8.8.8.8", peer="10.0.0.1")
    assert [proxy.take(each).response for each in (one, two)] == [None, None]
    assert (one.remote_ip, one.remote_port, two.remote_ip) == ("9.9.9.9", 0, "8.8.8.8")
    again = proxy.take(request_of("/", "X-Forwarded-For: 9.9.9.9", peer="10.0.0.1")).response
    assert again is not None
    assert again.status == 429
    stranger = request_of("/", "X-Forwarded-For: 9.9.9.9", peer="7.7.7.7")
    proxy.take(stranger)
    assert (stranger.remote_ip, stranger.remote_port) == ("7.7.7.7", 5)


def test_one_who_asks_too_often_is_told_when_to_come_again() -> None:
    zone = "limit_req_zone $remote_addr zone=z:1m rate=6r/m;"
    proxy = Proxy("limit_req zone=z burst=1;", zone)
    assert proxy.take(request_of()).response is None
    assert proxy.take(request_of()).delay_s == pytest.approx(10)
    status, fields, body = proxy.exchange(request_of())
    assert (status, fields["Retry-After"]) == (429, "10")
    assert json.loads(body)["error"] | {"message": ""} == {
        "code": "rate_limited", "message": "", "source": "proxy", "request_id": "id-1",
    }  # fmt: skip
    proxy.apply("limit_req zone=z burst=1;", zone)
    assert proxy.exchange(request_of())[0] == 429  # a reload forgives nobody


def test_a_reply_is_fetched_used_asked_about_and_used_again() -> None:
    proxy = Proxy("proxy_cache on;")
    status, fields, body = proxy.exchange(request_of(), *FRESH, "Date: " + "Tue, 14 Nov 2023 22:13:20 GMT")
    assert (status, body, fields["Cache-Status"]) == (200, PAGE, "weaprous; fwd=uri-miss; fwd-status=200; stored")
    hit = proxy.take(request_of(), 30).response
    assert hit is not None
    status, fields, body = of_response(hit)
    assert (status, fields["Age"], fields["Cache-Status"], body) == (200, "30", "weaprous; hit; ttl=30", PAGE)
    assert "Content-Length" not in fields
    assert fields["Date"] == format_http_date(T0)  # when it was made; with Age the client knows how old it is
    stale = proxy.take(request_of("/a", 'If-None-Match: "mine"'), 90)
    assert (stale.response, stale.conditions) == (None, (("If-None-Match", '"x"'),))
    status, fields, body = proxy.exchange(request_of(), "Cache-Control: max-age=60", status=304, body=b"", seconds=90)
    assert (status, fields["Age"], body) == (200, "0", PAGE)
    assert fields["Cache-Status"] == "weaprous; fwd=stale; fwd-status=304"
    assert proxy.exchange(request_of("/a", 'If-None-Match: W/"x"'), seconds=100)[0] == 304


def test_a_304_to_the_client_s_own_condition_passes() -> None:
    proxy = Proxy("proxy_cache on;")
    assert proxy.exchange(request_of("/a", 'If-None-Match: "x"'), status=304, body=b"")[0] == 304


def test_a_new_reply_that_may_not_be_kept_takes_the_old_away() -> None:
    proxy = Proxy("proxy_cache on;")
    proxy.exchange(request_of(), *FRESH)
    proxy.exchange(request_of("/a", "Cache-Control: no-cache"), "Cache-Control: no-store")
    taken = proxy.take(request_of())
    assert (taken.response, taken.conditions) == (None, ())


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_stale_reply_stands_in_for_one_that_failed(status: int) -> None:
    proxy = Proxy("proxy_cache on; proxy_cache_stale_if_error 1h;")
    proxy.exchange(request_of(), *FRESH)
    assert proxy.exchange(request_of(), status=status, body=b"oops", seconds=90)[::2] == (200, PAGE)
    assert proxy.exchange(request_of(), status=status, body=b"oops", seconds=4000)[::2] == (status, b"oops")
    work = proxy.take(request_of(), 90).work
    assert work is not None
    response = work.on_failure(at(90))
    assert response is not None
    assert response.body == PAGE
    work = proxy.take(request_of(), 4000).work
    assert work is not None
    assert work.on_failure(at(4000)) is None


def test_what_breaks_off_or_is_too_large_is_not_kept() -> None:
    proxy = Proxy("proxy_cache on;", "proxy_cache_size 100k max_reply=2000;")
    work = proxy.take(request_of()).work
    assert work is not None
    work.on_head(Received(200, Headers(pairs_of(FRESH).items()), T0, T0), "u", at(0))
    work.on_data(b"hel", at(0))
    work.on_cut(at(0))
    assert proxy.take(request_of()).response is None
    assert proxy.exchange(request_of(), *FRESH, body=b"x" * 2001)[2] == b"x" * 2001
    assert proxy.take(request_of()).response is None
    proxy.exchange(request_of(), *FRESH, body=b"x" * 2000)
    assert proxy.take(request_of()).response is not None


def test_replies_that_are_coming_take_no_more_room_than_those_that_are_there() -> None:
    proxy = Proxy("proxy_cache on;", "proxy_cache_size 32k max_reply=16k;")
    works = []
    for at_once in range(4):
        work = proxy.take(request_of(f"/{at_once}")).work
        assert work is not None
        work.on_head(Received(200, Headers(pairs_of(FRESH).items()), T0, T0), "10.0.0.1:80", at(0))
        work.on_data(b"x" * 12_000, at(0))
        works.append(work)
    store = proxy.intake.store
    assert store.gathered_bytes == 24_000
    works[0].on_cut(at(0))
    for work in works:
        work.on_end(at(0))
    assert store.gathered_bytes == 0
    assert [proxy.take(request_of(f"/{at_once}")).response is not None for at_once in range(4)] == [
        False, True, False, False,
    ]  # fmt: skip


def test_a_write_and_a_reload_empty_what_they_must() -> None:
    proxy = Proxy("proxy_cache on;")
    proxy.exchange(request_of("/a"), *FRESH)
    proxy.exchange(request_of("/b"), *FRESH)
    proxy.exchange(request_of("/a", method="DELETE"), status=204, body=b"")
    assert [proxy.take(request_of(target)).response is None for target in ("/a", "/b")] == [True, False]
    proxy.apply("proxy_cache on;")
    assert proxy.take(request_of("/b")).response is None


def test_what_is_fetched_while_a_reload_takes_over_is_not_in_the_new_cache() -> None:
    proxy = Proxy("proxy_cache on;")
    work = proxy.take(request_of()).work
    assert work is not None
    work.on_head(Received(200, Headers(pairs_of(FRESH).items()), T0, T0), "10.0.0.1:80", at(0))
    proxy.apply("proxy_cache on;")
    work.on_end(at(0))
    assert proxy.take(request_of()).response is None


def test_sites_and_schemes_that_a_hop_speaks_of_are_kept_apart() -> None:
    proxy = Proxy("proxy_cache on;", "set_real_ip_from 10.0.0.0/8;")
    proxy.exchange(request_of(), *FRESH)
    for line in ("X-Forwarded-Proto: https", "X-Forwarded-Host: other.example", "X-Forwarded-Port: 8443"):
        assert proxy.take(request_of("/a", line, peer="10.0.0.1")).response is None
        assert proxy.take(request_of("/a", line)).response is not None
    moved = request_of("/a", "X-Forwarded-Host: shop.example", peer="10.0.0.1")
    moved.host = "inner.example"
    assert proxy.take(moved).response is None


def test_only_if_cached_is_answered_here() -> None:
    proxy = Proxy("proxy_cache on;")
    status, _, body = proxy.exchange(request_of("/a", "Cache-Control: only-if-cached"))
    assert (status, json.loads(body)["error"]["code"]) == (504, "only_if_cached")


class TestCollapsing:
    def setup_method(self) -> None:
        self.proxy = Proxy("proxy_cache on; proxy_cache_lock on;")
        self.told: list[bool] = []

    def join(self) -> tuple[Taken, bool]:
        taken = self.proxy.take(request_of())
        assert taken.waits_for

        def hear(is_stored: bool) -> None:
            self.told.append(is_stored)

        return taken, self.proxy.intake.store.fetches.join(taken.waits_for, hear, 0.0)

    def answer(self, taken: Taken, *lines: str, status: int = 200) -> Shaped:
        assert taken.work is not None
        received = Received(status, Headers(pairs_of(lines).items()), T0, T0)
        return taken.work.on_head(received, "u", at(0))

    def test_one_fetches_and_the_others_find_it(self) -> None:
        leader, leads = self.join()
        _, second_leads = self.join()
        assert (leads, second_leads) == (True, False)
        assert leader.work is not None
        self.answer(leader, *FRESH)
        leader.work.on_data(PAGE, at(0))
        assert self.told == []
        leader.work.on_end(at(0))
        leader.work.on_cut(at(0))
        assert self.told == [True]
        assert self.proxy.take(request_of()).response is not None

    def test_when_it_can_t_be_kept_all_go_on_at_once(self) -> None:
        leader, _ = self.join()
        self.join()
        self.join()
        self.answer(leader, "Cache-Control: private")
        assert self.told == [False, False]
        assert self.join()[1]

    def test_when_the_fetch_fails_the_next_one_leads(self) -> None:
        leader, _ = self.join()
        second, _ = self.join()
        self.join()
        self.answer(leader, status=503)
        assert self.told == [False]
        assert second.work is not None
        second.work.on_failure(at(0))
        assert self.told == [False, False]

    def test_heads_writes_and_hits_wait_for_nobody(self) -> None:
        assert self.proxy.take(request_of(method="HEAD")).waits_for == ""
        assert self.proxy.take(request_of(method="POST")).waits_for == ""
        assert self.proxy.take(request_of("/a", "Cache-Control: no-store")).waits_for == ""

    @pytest.mark.parametrize("line", ["Authorization: Basic eA==", 'If-None-Match: "x"', "If-Modified-Since: x"])
    def test_who_will_get_what_is_not_stored_holds_nobody_up(self, line: str) -> None:
        assert self.proxy.take(request_of("/a", line)).waits_for == ""

    def test_who_asks_about_what_is_stale_shares_the_answer_whatever_he_has_himself(self) -> None:
        self.proxy.exchange(request_of(), "Cache-Control: max-age=0", 'ETag: "x"')
        assert self.proxy.take(request_of("/a", 'If-None-Match: "y"')).waits_for


def test_gzip_comes_after_the_cache() -> None:
    proxy = Proxy("proxy_cache on; gzip on;")
    takes = "Accept-Encoding: gzip"
    status, fields, body = proxy.exchange(request_of("/a", takes), *FRESH, f"Content-Length: {len(PAGE)}")
    assert (status, fields["Content-Encoding"], fields["ETag"]) == (200, "gzip", 'W/"x"')
    assert "Content-Length" not in fields
    assert gzip.decompress(body) == PAGE
    plain = proxy.exchange(request_of())
    assert (plain[1]["Vary"], plain[1]["ETag"], plain[2]) == ("Accept-Encoding", '"x"', PAGE)
    again = proxy.exchange(request_of("/a", takes))
    assert (gzip.decompress(again[2]), again[1]["Content-Encoding"]) == (PAGE, "gzip")
    assert proxy.exchange(request_of("/a", takes, 'If-None-Match: W/"x"'))[0] == 304


def test_a_body_is_looked_at_only_where_it_is_kept_or_changed() -> None:
    def needs_body(words: str, *lines: str, takes: str = "gzip") -> bool:
        work = Proxy(words).take(request_of("/a", f"Accept-Encoding: {takes}")).work
        assert work is not None
        head = Received(200, Headers(pairs_of(lines).items()), T0, T0)
        return work.on_head(head, "10.0.0.1:80", at(0)).needs_body

    assert needs_body("proxy_cache on;", *FRESH)
    assert not needs_body("proxy_cache on;", *FRESH, "Content-Length: 99999999")
    assert needs_body("gzip on;", *FRESH)
    assert not needs_body("gzip on;", *FRESH, takes="identity")
    assert not needs_body("gzip on;", "Content-Type: image/png")
    assert not needs_body("proxy_intercept_errors on;", *FRESH)


def test_gzip_of_a_head_has_fields_and_no_body() -> None:
    proxy = Proxy("gzip on;")
    request = request_of("/a", "Accept-Encoding: gzip", method="HEAD")
    status, fields, body = proxy.exchange(request, "Content-Type: text/html", "Content-Length: 9000", body=b"")
    assert (status, fields["Content-Encoding"], body) == (200, "gzip", b"")


def test_error_pages_replace_what_comes_and_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "gone.html").write_text("gone: {{request_id}}", encoding="utf-8")
    (tmp_path / "proxy.conf").write_text(
        'error_page 404 gone.html; proxy_intercept_errors on; proxy_cache on;\nhost "*" { proxy_pass http://h:1; }',
        encoding="utf-8",
    )
    config = load_config(tmp_path / "proxy.conf")
    proxy = Proxy()
    proxy.intake.apply(config)
    proxy.features = config.hosts[0].locations[0].features
    assert proxy.exchange(request_of("/a", BROWSER), *FRESH, status=404)[::2] == (404, b"gone: id-1")
    assert proxy.exchange(request_of(), *FRESH, status=404)[::2] == (404, PAGE)
    assert proxy.take(request_of()).response is not None
    assert proxy.exchange(request_of("/a", BROWSER))[::2] == (404, b"gone: id-1")


def test_browsers_that_get_a_page_for_an_error_do_not_wait_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "gone.html").write_text("gone", encoding="utf-8")
    (tmp_path / "proxy.conf").write_text(
        "error_page 404 gone.html; proxy_intercept_errors on; proxy_cache on; proxy_cache_lock on;\n"
        'host "*" { proxy_pass http://h:1; }',
        encoding="utf-8",
    )
    config = load_config(tmp_path / "proxy.conf")
    proxy = Proxy()
    proxy.intake.apply(config)
    proxy.features = config.hosts[0].locations[0].features
    taken = proxy.take(request_of("/a", BROWSER))
    fetches, told = proxy.intake.store.fetches, list[bool]()
    assert fetches.join(taken.waits_for, told.append, 0)
    waiters = [lambda is_stored: told.append(is_stored) for _ in range(2)]
    assert [fetches.join(taken.waits_for, waiter, 0) for waiter in waiters] == [False, False]
    assert taken.work is not None
    taken.work.on_head(Received(404, Headers(pairs_of(FRESH).items()), T0, T0), "u", at(0))
    assert told == [False, False]


def test_a_redirect_is_kept_as_it_is_sent() -> None:
    proxy = Proxy("proxy_cache on;")
    redirect = ("Cache-Control: max-age=60", "Location: http://10.0.0.1:80/there")
    assert proxy.exchange(request_of(), *redirect, status=302)[1]["Location"] == "/there"
    assert proxy.exchange(request_of())[1]["Location"] == "/there"
