"""What is told of limits and of the cache, before an upstream is asked, and of the reply's fields."""

from typing import Any

import pytest
import requests

from services.proxy.cache_judging import judge
from services.proxy.cache_rules import Received
from services.proxy.cache_work import CacheStore
from services.proxy.config_file import parse_config
from services.proxy.config_values import LocationConfig
from services.proxy.connection_limits import ConnectionLimits
from services.proxy.explaining import Question
from services.proxy.explaining_intake import explain_cache, explain_fields, explain_limits, explain_own_fields
from services.proxy.reply_cache import ReplyCache
from shared.httpcore.headers import Headers
from tests.services.proxy.shaped_site import counting, get
from tests.services.proxy.site import Site

T0 = 1_000_000_000.0
TEXT = """
limit_req_zone $remote_addr zone=addresses:1m rate=10r/s;
limit_req_zone $cookie_session zone=sessions:1m rate=30r/m;
limit_conn_zone $remote_addr zone=crowds:1m;
limit_conn_zone $cookie_session zone=few:256;
host * {{ proxy_pass http://10.0.0.1:80; {words} }}
"""
ADDRESS = "10r/s for each $remote_addr (this one's is 192.0.2.1), "
CACHED = "proxy_cache on; proxy_cache_valid 404 5s; proxy_cache_stale_if_error 1h; proxy_cache_lock on;"


def location_with(words: str) -> LocationConfig:
    return parse_config(TEXT.format(words=words)).hosts[0].locations[-1]


# --- limits --------------------------------------------------------------------------------------------------


def limits_of(
    words: str,
    *headers: tuple[str, str],
    client: str = "192.0.2.1",
    connections: ConnectionLimits | None = None,
    is_at_hand: bool = False,
) -> dict[str, Any]:
    features = parse_config(TEXT.format(words=words)).features
    if connections is None:
        connections = ConnectionLimits()
        connections.apply(features.conn_zones)
    request = Question("shop.example", "/x", client=client, headers=headers).to_request()
    return explain_limits(request, location_with(words), features.rate_zones, connections, is_at_hand=is_at_hand)


def test_without_a_limit_there_is_none() -> None:
    assert limits_of("") == {"rates": [], "at_once": [], "max_body_bytes": None, "why": "a body of any size"}


def test_each_limit_is_told_with_the_request_s_key() -> None:
    told = limits_of(
        "limit_req zone=addresses burst=20 nodelay; limit_req zone=sessions burst=5; client_max_body_size 1k;",
        ("Cookie", "session=abc"),
    )
    assert told["max_body_bytes"] == 1024
    assert told["rates"] == [
        {
            "zone": "addresses", "key": "$remote_addr", "value": "192.0.2.1", "rate_per_s": 10.0, "burst": 20,
            "undelayed": 20, "why": ADDRESS + "20 more at once",
        },
        {
            "zone": "sessions", "key": "$cookie_session", "value": "abc", "rate_per_s": 0.5, "burst": 5,
            "undelayed": 0, "why": "30r/m for each $cookie_session (this one's is abc), 5 more wait",
        },
    ]  # fmt: skip
    assert told["why"] == "; ".join([*(rate["why"] for rate in told["rates"]), "a body of at most 1024 bytes"])


def test_one_without_a_key_is_told_to_be_free_and_an_address_is_its_network() -> None:
    [rate] = limits_of("limit_req zone=sessions;")["rates"]
    assert rate["value"] == ""
    assert "this one has none, so it is not limited" in rate["why"]
    [rate] = limits_of("limit_req zone=addresses;", client="2001:db8::1")["rates"]
    assert rate["value"] == "20010db800000000/64"


@pytest.mark.parametrize(
    ("words", "undelayed", "text"),
    [
        ("", 0, "none before its time"),
        ("burst=4", 0, "4 more wait"),
        ("burst=4 nodelay", 4, "4 more at once"),
        ("burst=4 delay=1", 1, "1 more at once, 3 wait"),
    ],
)
def test_how_many_may_come_early(words: str, undelayed: int, text: str) -> None:
    [rate] = limits_of(f"limit_req zone=addresses {words};")["rates"]
    assert (rate["undelayed"], rate["why"]) == (undelayed, ADDRESS + text)


CROWD = "3 at once for each $remote_addr (this one's is 192.0.2.1), "
FEW = "1 at once for each $cookie_session (this one's is abc), "


class Crowd:
    """Zones in which something is under way, and what is told of them."""

    def __init__(self) -> None:
        features = parse_config(TEXT.format(words="")).features
        self.connections = ConnectionLimits()
        self.connections.apply(features.conn_zones)

    def hold(self, zone: str, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.connections.zone(zone).add(key)

    def tell(self, *headers: tuple[str, str], is_at_hand: bool = False) -> list[dict[str, Any]]:
        words = "limit_conn crowds 3; limit_conn few 1;"
        told = limits_of(words, *headers, connections=self.connections, is_at_hand=is_at_hand)
        at_once: list[dict[str, Any]] = told["at_once"]
        assert told["why"] == "; ".join([*(each["why"] for each in at_once), "a body of any size"])
        return at_once


def test_how_many_may_be_under_way_is_told_with_how_many_are() -> None:
    crowd = Crowd()
    crowd.hold("crowds", "192.0.2.1", 2)
    crowd.hold("crowds", "192.0.2.2", 3)
    assert crowd.tell() == [
        {
            "zone": "crowds", "key": "$remote_addr", "value": "192.0.2.1", "most": 3, "in_flight": 2, "has_room": True,
            "why": CROWD + "2 under way",
        },
        {
            "zone": "few", "key": "$cookie_session", "value": "", "most": 1, "in_flight": 0, "has_room": True,
            "why": "1 at once for each $cookie_session (this one has none, so it is not limited)",
        },
    ]  # fmt: skip


def test_asking_takes_no_place_and_is_not_counted() -> None:
    crowd = Crowd()
    crowd.hold("crowds", "192.0.2.1", 3)
    for _ in range(5):
        assert not crowd.tell(("Cookie", "session=abc"))[0]["has_room"]
    assert [(zone.in_flight, zone.refused) for zone in crowd.connections.zones] == [(3, 0), (0, 0)]


def test_who_would_find_no_place_is_told_so_unless_the_cache_answers() -> None:
    crowd = Crowd()
    crowd.hold("crowds", "192.0.2.1", 3)
    [crowded, free] = crowd.tell(("Cookie", "session=abc"))
    assert (crowded["has_room"], crowded["why"]) == (False, CROWD + "3 under way, so it would get a 429")
    assert (free["has_room"], free["why"]) == (True, FEW + "0 under way")
    [crowded, _] = crowd.tell(is_at_hand=True)
    assert crowded["has_room"]
    assert crowded["why"] == CROWD + "3 under way, but the cache answers, which takes no place"


def test_a_zone_that_knows_no_more_keys_has_no_room_for_a_new_one() -> None:
    crowd = Crowd()
    for number in range(crowd.connections.zone("few").config.max_keys):
        crowd.hold("few", f"other {number}")
    [_, few] = crowd.tell(("Cookie", "session=abc"))
    assert (few["in_flight"], few["has_room"]) == (0, False)
    assert few["why"] == FEW + "0 under way, but its zone is full, so it would get a 429"


# --- the cache -----------------------------------------------------------------------------------------------


class Cached:
    """A cache that has what was stored at `T0`, and what is told of it."""

    def __init__(self, words: str = CACHED) -> None:
        self.features = location_with(words).features
        self.replies = ReplyCache(100_000, 10_000)
        self.store = CacheStore(self.replies)

    def keep(
        self, path: str, *lines: str, body: bytes = b"hello", asked_with: tuple[tuple[str, str], ...] = ()
    ) -> None:
        assert self.features.cache is not None
        request = Question("shop.example", path, headers=asked_with).to_request()
        query = judge(request, self.features, self.store, T0, self.replies.foresee)[0]
        head = Headers.parse("".join(f"{line}\r\n" for line in lines).encode())
        planned = self.replies.plan(query, Received(200, head, T0, T0), self.features.cache)
        assert planned is not None
        assert self.replies.keep(query, planned, body)

    def tell(self, path: str = "/a", *headers: tuple[str, str], after_s: float = 12.0, **asked: Any) -> dict[str, Any]:
        request = Question("shop.example", path, headers=headers, **asked).to_request()
        told = explain_cache(request, self.features, self.store, T0 + after_s)
        assert told is not None
        return told


def test_where_nothing_is_cached_nothing_is_told() -> None:
    request = Question("shop.example", "/a").to_request()
    assert explain_cache(request, location_with("").features, CacheStore(ReplyCache(1000, 1000)), T0) is None


def test_the_rules_are_told_and_that_nothing_is_stored() -> None:
    assert Cached().tell() == {
        "verdict": "miss",
        "why": "nothing is stored for it: the upstream is asked, and its reply is kept if the rules allow it",
        "key": None,
        "stored": None,
        "may_be_kept": True,
        "valid_s": {"404": 5.0},
        "stale_if_error_s": 3600.0,
        "stale_while_updating_s": 0.0,
        "background_update": False,
        "lock": True,
        "client_control": True,
        "max_reply_bytes": 10_000,
    }


def test_a_fresh_reply_is_told_with_its_age_and_only_to_the_request_that_it_answers() -> None:
    cached = Cached()
    language = (("Accept-Language", "vi"),)
    cached.keep("/a", "Cache-Control: max-age=60", "Vary: Accept-Language", asked_with=language)
    told = cached.tell("/a", *language)
    assert (told["verdict"], told["stored"]) == (
        "hit",
        {"status": 200, "bytes": 5, "age_s": 12.0, "fresh_for_s": 48.0, "varies_by": ["accept-language"]},
    )
    assert told["why"] == "a reply is stored, 12 s old and fresh for another 48 s: it answers, and no upstream is asked"
    assert cached.tell("/a")["verdict"] == "miss"
    assert cached.tell("/a?b", *language)["verdict"] == "miss"
    assert cached.tell("/a", *language, scheme="https")["verdict"] == "miss"
    assert cached.tell("/a", *language, method="HEAD")["verdict"] == "hit"


@pytest.mark.parametrize(
    ("lines", "what"), [(['ETag: "x"'], "whether it still holds"), ([], "for another")], ids=["by its tag", "anew"]
)
def test_a_stale_reply_is_asked_about_unless_the_client_takes_it(lines: list[str], what: str) -> None:
    cached = Cached()
    cached.keep("/a", "Cache-Control: max-age=10", *lines)
    told = cached.tell()
    assert (told["verdict"], told["stored"]["fresh_for_s"]) == ("stale", -2.0)
    assert told["why"] == f"a reply is stored, 12 s old and stale for 2 s: the upstream is asked {what}"
    taken = cached.tell("/a", ("Cache-Control", "max-stale=9"))
    assert (taken["verdict"], taken["why"][-41:]) == ("hit", "2 s: it answers, and no upstream is asked")


def test_one_that_is_fresh_but_to_be_confirmed_says_who_wants_that() -> None:
    cached = Cached()
    cached.keep("/theirs", "Cache-Control: no-cache, max-age=60", 'ETag: "x"')
    cached.keep("/a", "Cache-Control: max-age=60", 'ETag: "x"')
    assert "to be confirmed first, as it says itself: the upstream is asked whether" in cached.tell("/theirs")["why"]
    asked = cached.tell("/a", ("Cache-Control", "no-cache"))
    assert (asked["verdict"], asked["stored"]["fresh_for_s"]) == ("stale", 48.0)
    assert "to be confirmed first, as the client asks: the upstream is asked whether" in asked["why"]


@pytest.mark.parametrize(
    ("method", "headers", "verdict", "why"),
    [
        ("POST", (), "bypass", "POST goes past the cache"),
        ("GET", (("Range", "bytes=0-1"),), "bypass", "it asks for a part"),
        ("GET", (("Connection", "upgrade"), ("Upgrade", "websocket")), "bypass", "a WebSocket goes past the cache"),
        ("GET", (("Cache-Control", "only-if-cached"),), "only-if-cached", "nothing that may be used: 504"),
    ],
)
def test_who_goes_past_the_cache_or_gets_nothing_is_told_why(
    method: str, headers: tuple[tuple[str, str], ...], verdict: str, why: str
) -> None:
    told = Cached().tell("/a", *headers, method=method)
    assert (told["verdict"], told["stored"]) == (verdict, None)
    assert why in told["why"]


CHOOSY = CACHED + "proxy_cache_key $host$uri; proxy_cache_bypass $cookie_fresh; proxy_no_cache $cookie_me $arg_once;"
NOT_KEPT = "; the reply is not kept, for $arg_once is 1"
FRESH = "a reply is stored, 12 s old and fresh for another 48 s"


def test_a_key_of_one_s_own_finds_what_another_url_has_left() -> None:
    cached = Cached(CHOOSY)
    cached.keep("/a?x=1", "Cache-Control: max-age=60")
    told = cached.tell("/a?x=2")
    assert (told["verdict"], told["key"], told["why"]) == (
        "hit", "shop.example/a", f"{FRESH}: it answers, and no upstream is asked",
    )  # fmt: skip


def test_who_is_sent_past_the_cache_by_the_operator_is_told_for_what() -> None:
    cached = Cached(CHOOSY)
    cached.keep("/a", "Cache-Control: max-age=60")
    told = cached.tell("/a", ("Cookie", "fresh=yes"))
    assert (told["verdict"], told["stored"]) == ("bypass", None)
    assert told["why"] == "proxy_cache_bypass sends it past the cache, for $cookie_fresh is yes"
    assert cached.tell("/a", ("Cookie", "fresh=0"))["verdict"] == "hit"


def test_whose_reply_is_not_kept_is_told_for_what() -> None:
    cached = Cached(CHOOSY)
    told = cached.tell("/a?once=1")
    assert (told["verdict"], told["may_be_kept"]) == ("miss", False)
    assert told["why"] == "nothing is stored for it: the upstream is asked" + NOT_KEPT
    cached.keep("/a", "Cache-Control: max-age=60", 'ETag: "x"')
    assert cached.tell("/a?once=1")["why"] == f"{FRESH}: it answers, and no upstream is asked"
    stale = cached.tell("/a?once=1", after_s=62.0)["why"]
    assert stale == "a reply is stored, 62 s old and stale for 2 s: the upstream is asked for another" + NOT_KEPT


UPDATING = CACHED + "proxy_cache_use_stale updating=1m;"
STALE = "a reply is stored, 12 s old and stale for 2 s"


def test_a_stale_reply_that_answers_while_it_is_fetched_anew_is_told_so() -> None:
    cached = Cached(UPDATING + "proxy_cache_background_update on;")
    cached.keep("/a", "Cache-Control: max-age=10")
    told = cached.tell()
    assert (told["verdict"], told["why"]) == ("updating", f"{STALE}: it answers, and is then fetched anew")
    assert (told["stale_while_updating_s"], told["background_update"]) == (60.0, True)
    assert (len(cached.store.fetches), cached.store.refreshing) == (0, 0)
    assert cached.tell(after_s=80.0)["verdict"] == "stale"
    assert cached.tell("/a", ("Cache-Control", "max-age=5"))["verdict"] == "stale"


def test_what_another_fetches_already_is_told_of_those_who_come_meanwhile() -> None:
    cached = Cached(UPDATING)
    cached.keep("/a", "Cache-Control: max-age=10")
    assert cached.tell()["why"] == f"{STALE}: the upstream is asked for another"
    cached.store.fetches.lead("http://shop.example/a", 0.0)
    told = cached.tell()
    assert (told["verdict"], told["why"]) == ("updating", f"{STALE}: it answers, while another request fetches it anew")
    waiting = cached.tell(after_s=80.0)
    assert waiting["verdict"] == "stale"
    assert "stale for 70 s: another request asks for it just now, and it waits for that" in waiting["why"]


def test_who_would_wait_for_another_s_fetch_is_told_so() -> None:
    cached = Cached()
    cached.store.fetches.lead("http://shop.example/a", 0.0)
    waits = "nothing is stored for it, but another request asks for the same just now: it waits for that"
    assert cached.tell()["why"] == waits
    alone = cached.tell("/a", ("Authorization", "Basic eA=="))["why"]
    assert alone.startswith("nothing is stored for it: the upstream is asked")


# --- the reply's fields --------------------------------------------------------------------------------------


def test_what_a_reply_gets_and_loses_is_told() -> None:
    fields = "add_header X-From $proxy_host; add_header X-For $remote_addr always; proxy_hide_header X-Powered-By;"
    request = Question("shop.example", "/a", client="192.0.2.1").to_request()
    assert explain_fields(request, location_with(fields).features.reply_fields, "10.0.0.1:80") == {
        "added": [
            {"name": "X-From", "value": "10.0.0.1:80", "always": False},
            {"name": "X-For", "value": "192.0.2.1", "always": True},
        ],
        "hidden": ["x-powered-by"],
    }
    assert explain_fields(request, location_with("").features.reply_fields, "") == {"added": [], "hidden": []}


def test_a_reply_of_the_proxy_s_own_gets_what_its_status_gets_and_loses_nothing() -> None:
    fields = "add_header X-One 1; add_header X-All 2 always; proxy_hide_header X-Powered-By;"
    request, of = Question("shop.example", "/a").to_request(), location_with(fields).features.reply_fields
    one, everywhere = {"name": "X-One", "value": "1"}, {"name": "X-All", "value": "2"}
    assert explain_own_fields(request, of, 200) == {"added": [one, everywhere], "hidden": []}
    assert explain_own_fields(request, of, 403) == {"added": [everywhere], "hidden": []}


# --- a proxy -------------------------------------------------------------------------------------------------


def test_a_proxy_tells_what_it_has_and_leaves_it_as_it_is(shaped: Site) -> None:
    url = shaped.on(counting("Cache-Control: max-age=3600"), "/queued/")
    asked = {"host": url.split("/")[2], "path": url.removeprefix(shaped.url)}

    def tell(**more: str) -> dict[str, Any]:
        told: dict[str, Any] = requests.get(shaped.url + "/_proxy/explain", params=asked | more, timeout=10).json()
        return told

    before = requests.get(shaped.url + "/_proxy/status", timeout=10).json()["cache"]["verdicts"]
    assert (tell()["cache"]["verdict"], tell()["cache"]["lock"]) == ("miss", True)
    assert tell(header="X-Pace: me")["limits"]["rates"][0]["value"] == "me"
    assert requests.get(shaped.url + "/_proxy/status", timeout=10).json()["cache"]["verdicts"] == before
    get(url)
    told = tell()["cache"]
    assert (told["verdict"], told["stored"]["bytes"]) == ("hit", len(b"reply 1"))
    assert 3590 < told["stored"]["fresh_for_s"] <= 3600
    assert tell(scheme="https")["cache"]["verdict"] == "miss"
    refused = requests.get(shaped.url + "/_proxy/explain?scheme=ftp", timeout=10)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_query")
    assert get(url).text == "reply 1"


def test_asking_keeps_nothing_for_longer() -> None:
    cached = Cached()
    cached.replies = ReplyCache(30_000, 10_000)
    cached.store = CacheStore(cached.replies)
    for path in ("/a", "/b"):
        cached.keep(path, "Cache-Control: max-age=60", body=b"x" * 10_000)
    assert cached.tell("/a")["verdict"] == "hit"
    cached.keep("/c", "Cache-Control: max-age=60", body=b"x" * 10_000)  # there is room for two
    assert [cached.tell(path)["verdict"] for path in ("/a", "/b", "/c")] == ["miss", "hit", "hit"]
