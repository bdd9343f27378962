"""`proxy_cache_key`, `proxy_cache_bypass` and `proxy_no_cache`: what they mean, and a proxy that obeys."""

import itertools
from collections.abc import Iterator

import pytest
import requests

from services.proxy.cache_choice import CacheChoice
from services.proxy.templates import RequestFacts, parse_template
from shared.httpcore.message import Request
from tests.services.proxy.shaped_site import counting, get, shaped_site
from tests.services.proxy.site import Site
from tests.services.proxy.test_config_features import config_of, features_of, mistakes_of
from tests.services.proxy.upstream_servers import Talk

# --- values ------------------------------------------------------------------------------------------------


def facts(target: str = "/", *lines: str) -> RequestFacts:
    return RequestFacts(Request("GET", target, 1, "".join(f"{line}\r\n" for line in lines).encode()), "")


@pytest.mark.parametrize(
    ("cookie", "is_set"), [("", False), ("0", False), ("1", True), ("00", True), ("no", True), ("-", True)]
)
def test_a_condition_holds_when_it_is_neither_empty_nor_0(cookie: str, is_set: bool) -> None:
    texts = (parse_template("$arg_none"), parse_template("$cookie_fresh"))
    asked = facts("/", f"Cookie: fresh={cookie}")
    assert CacheChoice(bypass=texts).bypasses(asked) == is_set
    assert CacheChoice(unkept=texts).keeps(asked) != is_set
    assert not CacheChoice().bypasses(asked)
    assert CacheChoice().keeps(asked)


def test_a_key_of_one_s_own_never_meets_that_of_another_pool_or_a_url() -> None:
    key = parse_template("$uri")
    one, two = CacheChoice(key, "one"), CacheChoice(key, "two")
    asked = facts("/a?b=c")
    assert one.key_for(asked) == CacheChoice(key, "one").key_for(facts("/a?d=e"))
    assert len({one.key_for(asked), two.key_for(asked), one.key_for(facts("/b"))}) == 3
    assert not one.key_for(asked).startswith("http")
    assert CacheChoice().key_for(asked) == ""


# --- words -------------------------------------------------------------------------------------------------


def test_the_words_are_inherited_and_hold_beside_proxy_cache_alone() -> None:
    file = "proxy_cache_bypass $cookie_a $arg_b; proxy_cache_bypass $http_c; proxy_cache_key $host$uri;"
    choice = features_of("proxy_cache on;", file=file).cache_choice
    assert [text.source for text in choice.bypass] == ["$cookie_a", "$arg_b", "$http_c"]
    assert (choice.unkept, choice.key and choice.key.source) == ((), "$host$uri")
    inner = features_of("proxy_cache on; proxy_cache_bypass $http_d; proxy_no_cache $http_d;", file=file).cache_choice
    assert [text.source for text in inner.bypass + inner.unkept] == ["$http_d", "$http_d"]
    assert features_of(file=file).cache_choice == CacheChoice()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proxy_cache_bypass;", "takes at least 1 argument, got 0"),
        ("proxy_cache_bypass 1;", 'got "1", expected something of the request, such as $cookie_nocache'),
        ("proxy_no_cache $cokie_a;", "there is no variable $cokie_a"),
        ("proxy_cache_key all;", 'got "all", expected a key with a variable, such as $request_uri'),
        ("proxy_cache_key $uri $args;", "takes 1 argument, got 2"),
        ("proxy_cache_bypas $arg_a;", 'did you mean "proxy_cache_bypass"?'),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    assert any(expected in mistake for mistake in mistakes_of(text)), mistakes_of(text)


def told(location: str = "", host: str = "", file: str = "") -> list[str]:
    return [warning.message for warning in config_of(location, host, file).warnings]


def test_a_word_of_the_cache_where_nothing_is_kept_is_odd() -> None:
    message = "without proxy_cache on proxy_cache_bypass changes nothing"
    assert told("proxy_cache_bypass $arg_a;") == [message]
    assert told("", "proxy_cache_bypass $arg_a;") == [message]
    assert told("proxy_cache on;", "proxy_cache_bypass $arg_a;") == []
    assert told("proxy_cache_bypass $arg_a;", file="proxy_cache on;") == []
    assert told("proxy_cache_valid 1m; proxy_cache_lock on;") == [
        "without proxy_cache on proxy_cache_valid changes nothing",
        "without proxy_cache on proxy_cache_lock changes nothing",
    ]


def test_a_key_without_the_path_is_odd() -> None:
    [message] = told("proxy_cache on; proxy_cache_key $host;")
    assert message.startswith("the path is not in this key")
    assert told("proxy_cache on; proxy_cache_key ${uri};") == []


# --- a real proxy ------------------------------------------------------------------------------------------

CONF = """
proxy_cache on;
host "*" {{
    proxy_pass http://{address};
    location /fresh/ {{ proxy_cache_bypass $http_x_fresh $arg_fresh; }}
    location /secret/ {{ proxy_cache_bypass $http_x_who; proxy_no_cache $http_x_who; }}
    location /unkept/ {{ proxy_no_cache $cookie_mine; proxy_cache_lock on; }}
    location /keyed/ {{ proxy_cache_key $uri$arg_id; }}
}}
host "second.example" {{
    proxy_pass http://localhost:{port};
    location /keyed/ {{ proxy_cache_key $uri$arg_id; }}
}}
host "third.example" {{
    location /keyed/ {{ proxy_pass http://{address}; proxy_cache_key $uri$arg_id; }}
}}
"""
FRESH = "Cache-Control: max-age=60"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with shaped_site(tmp_path_factory.mktemp("choice"), CONF) as site:
        yield site


def test_who_asks_past_the_cache_gets_a_new_reply_which_is_kept_for_the_others(site: Site) -> None:
    url = site.on(counting(FRESH), "/fresh/")
    assert [get(url).text for _ in range(2)] == ["reply 1"] * 2
    past = get(url, X_Fresh="1")
    assert (past.text, past.headers["Cache-Status"]) == ("reply 2", "weaprous; fwd=bypass; fwd-status=200; stored")
    assert get(url, X_Fresh="0").text == "reply 2"
    assert get(url).text == "reply 2"
    assert get(url + "?fresh=1").text == "reply 3"


def test_what_is_one_client_s_own_is_neither_kept_nor_answered_from_what_is(site: Site) -> None:
    counter = itertools.count(1)

    def reply(talk: Talk) -> None:
        talk.reply(b"%s %d" % ((talk.request.get("x-who") or "all").encode(), next(counter)), "200 OK", FRESH)

    url = site.on(reply, "/secret/")
    mine = get(url, X_Who="me")
    assert (mine.text, mine.headers["Cache-Status"]) == ("me 1", "weaprous; fwd=bypass; fwd-status=200")
    assert get(url).text == "all 2"
    assert get(url, X_Who="me").text == "me 3"
    assert get(url).text == "all 2"


def test_a_reply_that_is_not_kept_leaves_the_one_that_is_alone(site: Site) -> None:
    asked: list[str | None] = []

    def reply(talk: Talk) -> None:
        asked.append(talk.request.get("if-none-match"))
        talk.reply(b"reply %d" % len(asked), "200 OK", "Cache-Control: max-age=0", 'ETag: "1"')

    url = site.on(reply, "/unkept/")
    assert get(url).text == "reply 1"
    assert get(url, Cookie="mine=1").text == "reply 2"  # asked for as a whole
    assert get(url).text == "reply 3"
    assert asked == [None, None, '"1"']  # by what reply 1 left


def test_a_key_of_one_s_own_says_which_requests_are_the_same(site: Site) -> None:
    url = site.on(counting(FRESH), "/keyed/")
    assert [get(f"{url}?id=1&x={n}").text for n in (1, 2)] == ["reply 1"] * 2
    assert get(url + "?id=2").text == "reply 2"
    requests.post(url + "?x=3&id=1", timeout=10)  # a write, which is reply 3
    assert [get(url + "?id=1").text, get(url + "?id=2").text] == ["reply 4", "reply 2"]
    # Each of these passes to a pool of its own, although the same server stands behind them.
    texts = [get(url + "?id=9", Host=host).text for host in ("second.example", "third.example", "second.example")]
    assert texts == ["reply 5", "reply 6", "reply 5"]
