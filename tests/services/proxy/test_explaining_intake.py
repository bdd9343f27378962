"""What is told of limits and of the cache, before an upstream is asked."""

from typing import Any

import pytest
import requests

from services.proxy.cache_rules import Received
from services.proxy.config_file import parse_config
from services.proxy.config_values import LocationConfig
from services.proxy.explaining import Question
from services.proxy.explaining_intake import explain_cache, explain_limits
from services.proxy.intake import query_of
from services.proxy.reply_cache import ReplyCache
from shared.httpcore.headers import Headers
from tests.services.proxy.shaped_site import counting, get
from tests.services.proxy.site import Site

T0 = 1_000_000_000.0
TEXT = """
limit_req_zone $remote_addr zone=addresses:1m rate=10r/s;
limit_req_zone $cookie_session zone=sessions:1m rate=30r/m;
host * {{ proxy_pass http://10.0.0.1:80; {words} }}
"""
ADDRESS = "10r/s for each $remote_addr (this one's is 192.0.2.1), "
CACHED = "proxy_cache on; proxy_cache_valid 404 5s; proxy_cache_stale_if_error 1h; proxy_cache_lock on;"


def location_with(words: str) -> LocationConfig:
    return parse_config(TEXT.format(words=words)).hosts[0].locations[-1]


# --- limits --------------------------------------------------------------------------------------------------


def limits_of(words: str, *headers: tuple[str, str], client: str = "192.0.2.1") -> dict[str, Any]:
    zones = parse_config(TEXT.format(words=words)).features.rate_zones
    request = Question("shop.example", "/x", client=client, headers=headers).to_request()
    return explain_limits(request, location_with(words), zones)


def test_without_a_limit_there_is_none() -> None:
    assert limits_of("") == {"rates": [], "max_body_bytes": None, "why": "a body of any size"}


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


# --- the cache -----------------------------------------------------------------------------------------------


class Cached:
    """A cache that has what was stored at `T0`, and what is told of it."""

    def __init__(self, words: str = CACHED) -> None:
        self.features = location_with(words).features
        self.replies = ReplyCache(100_000, 10_000)

    def store(
        self, path: str, *lines: str, body: bytes = b"hello", asked_with: tuple[tuple[str, str], ...] = ()
    ) -> None:
        assert self.features.cache is not None
        query = query_of(Question("shop.example", path, headers=asked_with).to_request())
        head = Headers.parse("".join(f"{line}\r\n" for line in lines).encode())
        planned = self.replies.plan(query, Received(200, head, T0, T0), self.features.cache)
        assert planned is not None
        assert self.replies.keep(query, planned, body)

    def tell(self, path: str = "/a", *headers: tuple[str, str], after_s: float = 12.0, **asked: Any) -> dict[str, Any]:
        request = Question("shop.example", path, headers=headers, **asked).to_request()
        told = explain_cache(request, self.features, self.replies, T0 + after_s)
        assert told is not None
        return told


def test_where_nothing_is_cached_nothing_is_told() -> None:
    request = Question("shop.example", "/a").to_request()
    assert explain_cache(request, location_with("").features, ReplyCache(1000, 1000), T0) is None


def test_the_rules_are_told_and_that_nothing_is_stored() -> None:
    assert Cached().tell() == {
        "verdict": "miss",
        "why": "nothing is stored for it: the upstream is asked, and its reply is kept if the rules allow it",
        "stored": None,
        "valid_s": {"404": 5.0},
        "stale_if_error_s": 3600.0,
        "lock": True,
        "client_control": True,
        "max_reply_bytes": 10_000,
    }


def test_a_fresh_reply_is_told_with_its_age_and_only_to_the_request_that_it_answers() -> None:
    cached = Cached()
    language = (("Accept-Language", "vi"),)
    cached.store("/a", "Cache-Control: max-age=60", "Vary: Accept-Language", asked_with=language)
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
    cached.store("/a", "Cache-Control: max-age=10", *lines)
    told = cached.tell()
    assert (told["verdict"], told["stored"]["fresh_for_s"]) == ("stale", -2.0)
    assert told["why"] == f"a reply is stored, 12 s old and stale for 2 s: the upstream is asked {what}"
    taken = cached.tell("/a", ("Cache-Control", "max-stale=9"))
    assert (taken["verdict"], taken["why"][-41:]) == ("hit", "2 s: it answers, and no upstream is asked")


def test_one_that_is_fresh_but_to_be_confirmed_says_who_wants_that() -> None:
    cached = Cached()
    cached.store("/theirs", "Cache-Control: no-cache, max-age=60", 'ETag: "x"')
    cached.store("/a", "Cache-Control: max-age=60", 'ETag: "x"')
    assert "to be confirmed first, as it says itself: the upstream is asked whether" in cached.tell("/theirs")["why"]
    asked = cached.tell("/a", ("Cache-Control", "no-cache"))
    assert (asked["verdict"], asked["stored"]["fresh_for_s"]) == ("stale", 48.0)
    assert "to be confirmed first, as the client asks: the upstream is asked whether" in asked["why"]


@pytest.mark.parametrize(
    ("method", "headers", "verdict", "why"),
    [
        ("POST", (), "bypass", "POST goes past the cache"),
        ("GET", (("Range", "bytes=0-1"),), "bypass", "it asks for a part"),
        ("GET", (("Cache-Control", "only-if-cached"),), "only-if-cached", "nothing that may be used: 504"),
    ],
)
def test_who_goes_past_the_cache_or_gets_nothing_is_told_why(
    method: str, headers: tuple[tuple[str, str], ...], verdict: str, why: str
) -> None:
    told = Cached().tell("/a", *headers, method=method)
    assert (told["verdict"], told["stored"]) == (verdict, None)
    assert why in told["why"]


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
    for path in ("/a", "/b"):
        cached.store(path, "Cache-Control: max-age=60", body=b"x" * 10_000)
    assert cached.tell("/a")["verdict"] == "hit"
    cached.store("/c", "Cache-Control: max-age=60", body=b"x" * 10_000)  # there is room for two
    assert [cached.tell(path)["verdict"] for path in ("/a", "/b", "/c")] == ["miss", "hit", "hit"]
