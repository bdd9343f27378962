"""RFC 9111 as tables: what is stored, how long it is fresh, when it may be used, what a 304 and a write change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.cache_rules import (
    CacheSettings,
    Received,
    StoredReply,
    invalidated_targets,
    is_match,
    is_still_allowed,
    may_replace_failure,
    may_reuse,
    may_use_while_updating,
    read_traits,
    refreshed,
    storable,
    validation_fields,
)
from shared.httpcore.dates import format_http_date
from shared.httpcore.headers import Headers

T0 = 1_700_000_000.0
PLAIN = CacheSettings()


def headers(*lines: str) -> Headers:
    return Headers([(line.partition(": ")[0], line.partition(": ")[2]) for line in lines])


def received(*lines: str, status: int = 200, requested_at: float = T0, received_at: float = T0) -> Received:
    return Received(status, headers(*lines), requested_at, received_at)


def store(
    *lines: str, request: tuple[str, ...] = (), status: int = 200, method: str = "GET",
    settings: CacheSettings = PLAIN, received_at: float = T0, requested_at: float = T0,
) -> StoredReply | None:  # fmt: skip
    asked = headers(*request)
    reply = received(*lines, status=status, received_at=received_at, requested_at=requested_at)
    return storable(method, asked, read_traits(asked), reply, settings)


def stored(*lines: str, **options: object) -> StoredReply:
    found = store(*lines, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


STORING = [
    ("fresh for a minute", ("Cache-Control: max-age=60",), (), 200, True),
    ("by Expires", (f"Expires: {format_http_date(T0 + 60)}",), (), 200, True),
    ("nothing said, nothing guessed", ("ETag: \"x\"", "Last-Modified: " + format_http_date(0)), (), 200, False),
    ("no-store", ("Cache-Control: no-store, max-age=60",), (), 200, False),
    ("private", ("Cache-Control: private, max-age=60",), (), 200, False),
    ("private for a field", ('Cache-Control: private="Set-Cookie", max-age=60',), (), 200, False),
    ("no-cache with a validator", ("Cache-Control: no-cache", 'ETag: "x"'), (), 200, True),
    ("no-cache without one could never be used", ("Cache-Control: no-cache, max-age=60",), (), 200, False),
    ("stale from the start, with a validator", ("Cache-Control: max-age=0", 'ETag: "x"'), (), 200, True),
    ("stale from the start, without", ("Cache-Control: max-age=0",), (), 200, False),
    ("a cookie", ("Cache-Control: max-age=60", "Set-Cookie: a=b"), (), 200, False),
    ("Vary: *", ("Cache-Control: max-age=60", "Vary: accept, *"), (), 200, False),
    ("what varies by who the client is", ("Cache-Control: max-age=60", "Vary: X-Forwarded-For"), (), 200, False),
    ("what varies by the request's own id", ("Cache-Control: max-age=60", "Vary: X-Request-ID"), (), 200, False),
    ("what varies by the scheme", ("Cache-Control: max-age=60", "Vary: X-Forwarded-Proto"), (), 200, True),
    ("an event stream", ("Cache-Control: max-age=60", "Content-Type: text/event-stream"), (), 200, False),
    ("a request with no-store", ("Cache-Control: max-age=60",), ("Cache-Control: no-store",), 200, False),
    ("a request with Authorization", ("Cache-Control: max-age=60",), ("Authorization: x",), 200, False),
    ("and public", ("Cache-Control: max-age=60, public",), ("Authorization: x",), 200, True),
    ("and s-maxage", ("Cache-Control: s-maxage=60",), ("Authorization: x",), 200, True),
    ("and must-revalidate", ("Cache-Control: max-age=60, must-revalidate",), ("Authorization: x",), 200, True),
    ("a part", ("Cache-Control: max-age=60",), (), 206, False),
    ("for a part", ("Cache-Control: max-age=60",), ("Range: bytes=0-1",), 200, False),
    ("not found", ("Cache-Control: max-age=60",), (), 404, True),
    ("a redirect", ("Cache-Control: max-age=60",), (), 302, True),
    ("a failure", ("Cache-Control: max-age=60",), (), 500, False),
    ("too busy", ("Cache-Control: max-age=60",), (), 503, False),
    ("an interim reply", ("Cache-Control: max-age=60",), (), 103, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "request_lines", "status", "expected"), [case[1:] for case in STORING], ids=[case[0] for case in STORING]
)
def test_what_may_be_stored(
    reply: tuple[str, ...], request_lines: tuple[str, ...], status: int, expected: bool
) -> None:
    assert (store(*reply, request=request_lines, status=status) is not None) is expected


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "get"])
def test_only_replies_to_get_are_stored(method: str) -> None:
    assert store("Cache-Control: max-age=60", method=method) is None


def test_what_belongs_to_one_connection_is_not_stored() -> None:
    reply = stored(
        "Cache-Control: max-age=60", "Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Age: 3", "X-Kept: 1"
    )
    assert reply.pairs == (("Cache-Control", "max-age=60"), ("X-Kept", "1"), ("Date", format_http_date(T0)))
    assert reply.reply_pairs(T0 + 4.9)[-1] == ("Age", "7")


FRESHNESS = [
    ("max-age", ("Cache-Control: max-age=60",), 60),
    ("s-maxage before max-age", ("Cache-Control: max-age=60, s-maxage=10",), 10),
    ("max-age before Expires", ("Cache-Control: max-age=60", f"Expires: {format_http_date(T0 + 5)}"), 60),
    ("Expires counts from Date", (f"Date: {format_http_date(T0 - 20)}", f"Expires: {format_http_date(T0 + 5)}"), 5),
    ("Date makes it older", ("Cache-Control: max-age=60", f"Date: {format_http_date(T0 - 20)}"), 40),
    ("a Date to come makes nothing younger", ("Cache-Control: max-age=60", f"Date: {format_http_date(T0 + 99)}"), 60),
    ("Age makes it older", ("Cache-Control: max-age=60", "Age: 25"), 35),
    ("the larger of both counts", ("Cache-Control: max-age=60", "Age: 25", f"Date: {format_http_date(T0 - 30)}"), 30),
    ("an Age that is none", ("Cache-Control: max-age=60", "Age: -5"), 60),
    ("max-age that is none", ("Cache-Control: max-age=x", 'ETag: "x"'), 0),
    ("Expires that is none", ("Expires: 0", 'ETag: "x"'), 0),
    ("Expires twice", (f"Expires: {format_http_date(T0 + 5)}",) * 2 + ('ETag: "x"',), 0),
    ("Expires that has passed", (f"Expires: {format_http_date(T0 - 5)}", 'ETag: "x"'), 0),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), [case[1:] for case in FRESHNESS], ids=[case[0] for case in FRESHNESS])
def test_how_long_it_is_fresh(lines: tuple[str, ...], expected: float) -> None:
    reply = stored(*lines)
    assert reply.freshness_s(T0) == expected
    assert reply.freshness_s(T0 + 7) == expected - 7
    assert may_reuse(reply, read_traits(headers()), PLAIN, T0 + expected) is False
    assert may_reuse(reply, read_traits(headers()), PLAIN, T0 + expected - 0.5) is (expected > 0)


def test_the_time_that_the_reply_was_on_its_way_counts() -> None:
    reply = stored("Cache-Control: max-age=60", "Age: 10", requested_at=T0 - 4)
    assert reply.freshness_s(T0) == 46


def test_the_operator_may_say_how_long_a_reply_is_good_that_says_nothing() -> None:
    settings = CacheSettings(valid_s={200: 30.0, 404: 5.0})
    assert stored(settings=settings).freshness_s(T0) == 30
    assert stored(settings=settings, status=404).freshness_s(T0) == 5
    assert store(settings=settings, status=301) is None
    assert stored("Cache-Control: max-age=9", settings=settings).freshness_s(T0) == 9
    assert store("Cache-Control: private", settings=settings) is None


REUSE = [  # of a reply that is fresh for 60 s, 50 s old
    ("any request", (), "max-age=60", 50, True),
    ("no-cache", ("Cache-Control: no-cache",), "max-age=60", 50, False),
    ("Pragma: no-cache", ("Pragma: no-cache",), "max-age=60", 50, False),
    ("Pragma beside Cache-Control", ("Pragma: no-cache", "Cache-Control: max-age=99"), "max-age=60", 50, True),
    ("young enough", ("Cache-Control: max-age=50",), "max-age=60", 50, True),
    ("too old for the client", ("Cache-Control: max-age=49",), "max-age=60", 50, False),
    ("fresh for long enough", ("Cache-Control: min-fresh=9",), "max-age=60", 50, True),
    ("not for long enough", ("Cache-Control: min-fresh=10",), "max-age=60", 50, False),
    ("stale", (), "max-age=60", 61, False),
    ("stale, which the client takes", ("Cache-Control: max-stale",), "max-age=60", 9999, True),
    ("so stale as the client takes", ("Cache-Control: max-stale=10",), "max-age=60", 69, True),
    ("staler", ("Cache-Control: max-stale=10",), "max-age=60", 70, False),
    ("must-revalidate", ("Cache-Control: max-stale",), "max-age=60, must-revalidate", 61, False),
    ("proxy-revalidate", ("Cache-Control: max-stale",), "max-age=60, proxy-revalidate", 61, False),
    ("s-maxage", ("Cache-Control: max-stale",), "s-maxage=60", 61, False),
    ("no-cache in the reply", ("Cache-Control: max-stale",), "no-cache, max-age=60", 1, False),
]


@pytest.mark.parametrize(
    ("request_lines", "control", "age_s", "expected"), [case[1:] for case in REUSE], ids=[case[0] for case in REUSE]
)
def test_what_may_be_used_without_asking(
    request_lines: tuple[str, ...], control: str, age_s: float, expected: bool
) -> None:
    reply = stored(f"Cache-Control: {control}", 'ETag: "x"')
    assert may_reuse(reply, read_traits(headers(*request_lines)), PLAIN, T0 + age_s) is expected


def test_what_clients_ask_for_may_be_ignored_as_nginx_does() -> None:
    deaf = CacheSettings(honours_client=False)
    reply = stored("Cache-Control: max-age=60")
    for line in ("Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"):
        assert may_reuse(reply, read_traits(headers(line)), deaf, T0) is True
    assert may_reuse(reply, read_traits(headers("Cache-Control: max-stale")), deaf, T0 + 61) is False
    assert store("Cache-Control: max-age=60", request=("Cache-Control: no-store",), settings=deaf) is not None


def test_a_reply_answers_requests_with_the_fields_it_was_chosen_by() -> None:
    reply = stored(
        "Cache-Control: max-age=60", "Vary: Accept-Language, X-Mode", request=("Accept-Language: de,  en", "X: 1")
    )
    assert is_match(reply, headers("accept-language: de", "Accept-Language: en", "X: 2"))
    assert not is_match(reply, headers("Accept-Language: en, de"))
    assert not is_match(reply, headers())
    assert not is_match(reply, headers("Accept-Language: de, en", "X-Mode: dark"))


@pytest.mark.parametrize(
    ("control", "age_s", "default_s", "expected"),
    [
        ("max-age=60", 59, 0.0, True),
        ("max-age=60", 61, 0.0, False),
        ("max-age=60", 61, 10.0, True),
        ("max-age=60", 71, 10.0, False),
        ("max-age=60, stale-if-error=100", 159, 0.0, True),
        ("max-age=60, stale-if-error=0", 61, 100.0, False),
        ("max-age=60, must-revalidate, stale-if-error=100", 61, 100.0, False),
        ("max-age=60, no-cache, stale-if-error=100", 1, 0.0, False),
    ],
)
def test_what_may_stand_in_when_the_upstream_fails(
    control: str, age_s: float, default_s: float, expected: bool
) -> None:
    settings = CacheSettings(stale_if_error_s=default_s)
    reply = stored(f"Cache-Control: {control}", 'ETag: "x"', settings=settings)
    assert may_replace_failure(reply, T0 + age_s) is expected


@pytest.mark.parametrize(
    ("control", "asked", "age_s", "default_s", "expected"),
    [
        ("max-age=10", "", 15, 0, False),
        ("max-age=10", "", 15, 10, True),
        ("max-age=10", "", 20, 10, False),
        ("max-age=10, stale-while-revalidate=5", "", 14, 0, True),
        ("max-age=10, stale-while-revalidate=5", "", 16, 600, False),  # the reply's own word comes first
        ("max-age=10, stale-while-revalidate=5, must-revalidate", "", 11, 600, False),
        ("max-age=10, s-maxage=10", "", 11, 600, False),
        ("no-cache, stale-while-revalidate=5", "", 1, 600, False),
        ("max-age=10", "max-age=30", 15, 10, False),
        ("max-age=10", "min-fresh=1", 15, 10, False),
        ("max-age=10", "no-cache", 15, 10, False),
    ],
)
def test_what_may_be_used_while_another_fetches_it_anew(
    control: str, asked: str, age_s: float, default_s: float, expected: bool
) -> None:
    settings = CacheSettings(stale_while_updating_s=default_s)
    reply = stored(f"Cache-Control: {control}", 'ETag: "x"', settings=settings)
    traits = read_traits(headers(f"Cache-Control: {asked}") if asked else headers())
    assert may_use_while_updating(reply, traits, settings, T0 + age_s) is expected
    deaf = CacheSettings(stale_while_updating_s=default_s, honours_client=False)
    if asked:
        assert may_use_while_updating(reply, traits, deaf, T0 + age_s)


def test_what_is_stale_at_once_and_can_t_be_asked_about_is_kept_where_it_may_be_used_stale() -> None:
    assert store("Cache-Control: max-age=0") is None
    assert store("Cache-Control: max-age=0, stale-while-revalidate=5") is not None
    assert store("Cache-Control: max-age=0", settings=CacheSettings(stale_while_updating_s=5)) is not None


def test_the_origin_is_asked_about_what_is_stored() -> None:
    date = format_http_date(T0)
    reply = stored("Cache-Control: max-age=1", 'ETag: W/"x"', f"Last-Modified: {date}")
    assert validation_fields(reply) == (("If-None-Match", 'W/"x"'), ("If-Modified-Since", date))
    assert validation_fields(stored("Cache-Control: max-age=1")) == ()


def test_a_304_makes_the_stored_reply_young_again_and_changes_its_fields_but_not_those_of_its_bytes() -> None:
    before = stored(
        "Cache-Control: max-age=60", 'ETag: "x"', "Content-Type: text/plain", "X-Old: 1", "X-Both: 1",
        f"Date: {format_http_date(T0 - 50)}",
    )  # fmt: skip
    now = T0 + 100
    after = refreshed(
        before,
        received(
            "Cache-Control: max-age=30", "X-Both: 2", "x-both: 3", "Content-Type: lie", "Content-Length: 0",
            "Connection: X-Hop", "X-Hop: 1", "Age: 4", status=304, received_at=now, requested_at=now,
        ),
        PLAIN,
    )  # fmt: skip
    assert dict(after.pairs) == {
        "ETag": '"x"', "Content-Type": "text/plain", "X-Old": "1", "Cache-Control": "max-age=30",
        "X-Both": "2", "x-both": "3", "Date": format_http_date(now),
    }  # fmt: skip
    assert after.freshness_s(now) == 26
    assert (after.status, after.vary, after.body) == (before.status, before.vary, before.body)


def test_a_304_without_date_does_not_make_an_old_expires_last_longer() -> None:
    before = stored(f"Date: {format_http_date(T0 - 1000)}", f"Expires: {format_http_date(T0 + 60)}")
    after = refreshed(before, received(status=304, requested_at=T0 + 50, received_at=T0 + 50), PLAIN)
    assert after.freshness_s(T0 + 50) == 10


def test_a_304_may_take_a_reply_out_of_the_cache() -> None:
    for line in ("Cache-Control: no-store", "Cache-Control: private", "Set-Cookie: a=b"):
        assert not is_still_allowed(received(line, status=304))
    assert is_still_allowed(received("Cache-Control: no-cache", status=304))


INVALIDATION = [
    ("a write", "POST", 200, (), ["/a?b"]),
    ("a redirect after one", "PUT", 303, (), ["/a?b"]),
    ("a method nobody knows", "FROB", 204, (), ["/a?b"]),
    ("one that failed", "DELETE", 404, (), []),
    ("one that failed worse", "DELETE", 500, (), []),
    ("a read", "GET", 200, (), []),
    ("OPTIONS", "OPTIONS", 200, (), []),
    ("what Location names", "POST", 201, ("Location: /c",), ["/a?b", "/c"]),
    ("relative to the target", "POST", 201, ("Content-Location: c?d#e",), ["/a?b", "/c?d"]),
    ("the whole URL", "POST", 201, ("Location: HTTP://Shop.example",), ["/a?b", "/"]),
    ("another host", "POST", 201, ("Location: http://other.example/c",), ["/a?b"]),
    ("another scheme", "POST", 201, ("Location: https://shop.example/c",), ["/a?b"]),
    ("no URL", "POST", 201, ("Location: http://[/",), ["/a?b"]),
]


@pytest.mark.parametrize(
    ("method", "status", "lines", "expected"), [case[1:] for case in INVALIDATION],
    ids=[case[0] for case in INVALIDATION],
)  # fmt: skip
def test_what_a_write_makes_untrue(method: str, status: int, lines: tuple[str, ...], expected: list[str]) -> None:
    reply = received(*lines, status=status)
    assert invalidated_targets(method, "http://shop.example", "/a?b", reply) == expected


FIELD_LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["Cache-Control", "Expires", "Date", "Age", "Vary", "Pragma", "ETag", "Last-Modified", "Authorization"]
        ),
        st.sampled_from(["max-age=5", "s-maxage=9, public", "no-cache", "0", "-1", format_http_date(T0), "*", '"x"'])
        | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    ),
    max_size=6,
)  # fmt: skip


@given(FIELD_LINES, FIELD_LINES, FIELD_LINES, st.floats(0, 100))
def test_no_fields_raise_and_age_only_grows(
    asked: list[tuple[str, str]], replied: list[tuple[str, str]], later: list[tuple[str, str]], passed: float
) -> None:
    traits = read_traits(Headers(asked))
    reply = storable("GET", Headers(asked), traits, Received(200, Headers(replied), T0, T0), PLAIN)
    if reply is None:
        return
    assert reply.age_s(T0 + passed) >= reply.age_s(T0) >= 0
    assert is_match(reply, Headers(asked))
    may_reuse(reply, traits, PLAIN, T0 + passed)
    after = refreshed(reply, Received(304, Headers(later), T0 + passed, T0 + passed), PLAIN)
    assert after.age_s(T0 + passed) >= 0
