"""The query of lists and watches: values, defaults and refusals."""

import pytest

from services.tracker.lease import LeaseError, PeerFilter
from services.tracker.query import PageQuery, WatchQuery, parse_filter, parse_last_event_id, parse_page, parse_watch
from shared.httpcore.message import Request


def asked(query):
    return Request("GET", f"/tracker/watch?{query}")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", PeerFilter(None, None)),
        ("role=p2p&channel=chat", PeerFilter("p2p", "chat")),
        ("role=&channel=", PeerFilter(None, None)),
        ("channel=Gr%C3%BC%C3%9Fe+%E2%9C%93", PeerFilter(None, "Grüße ✓")),
    ],
)
def test_a_filter_is_a_role_and_a_channel(query, wanted):
    assert parse_filter(asked(query)) == wanted


@pytest.mark.parametrize(
    ("query", "page"),
    [("", PageQuery(None, "")), ("limit=5&after=p1", PageQuery(5, "p1")), ("limit=&after=", PageQuery(None, ""))],
)
def test_a_page_has_a_limit_and_a_beginning(query, page):
    assert parse_page(asked(query)) == page


@pytest.mark.parametrize(
    ("query", "watch"),
    [
        ("", WatchQuery(None, 30.0)),
        ("since=0&wait=0", WatchQuery(0, 0.0)),
        ("since=1700000000000&wait=2.5", WatchQuery(1_700_000_000_000, 2.5)),
        ("wait=61", WatchQuery(None, 60.0)),
    ],
)
def test_a_watch_knows_a_revision_and_waits_a_minute_at_most(query, watch):
    assert parse_watch(asked(query)) == watch


@pytest.mark.parametrize(
    ("parse", "query", "words"),
    [
        (parse_page, "limit=0", "limit: got 0, expected a whole number >= 1"),
        (parse_page, "limit=-1", "limit: got '-1', expected a whole number of at most 18 digits"),
        (parse_page, "limit=1e3", "limit: got '1e3', expected a whole number"),
        (parse_page, "limit=%D9%A1", "limit: got '١', expected a whole number"),
        (parse_page, "limit=" + "9" * 5000, "expected a whole number of at most 18 digits"),
        (parse_page, "after=a.b", 'after: got "a.b", expected 1–63 characters'),
        (parse_watch, "since=x", "since: got 'x', expected a whole number"),
        (parse_watch, "wait=-1", "wait: got '-1', expected seconds from 0 to 60"),
        (parse_watch, "wait=nan", "wait: got 'nan', expected seconds from 0 to 60"),
        (parse_watch, "wait=inf", "wait: got 'inf', expected seconds from 0 to 60"),
        (parse_filter, "role=" + "r" * 65, "expected a string of 1–64 printable characters"),
        (parse_filter, "channel=a%00", 'channel: got "a\\u0000", expected a string'),
    ],
)
def test_a_mistake_is_named(parse, query, words):
    with pytest.raises(LeaseError) as caught:
        parse(asked(query))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"), [(b"", 5), (b"Last-Event-ID: 9\r\n", 9), (b"Last-Event-ID: x\r\n", None)]
)
def test_a_last_event_id_is_what_the_client_knows(fields, expected):
    assert parse_last_event_id(Request("GET", "/watch", field_lines=fields), 5) == expected
