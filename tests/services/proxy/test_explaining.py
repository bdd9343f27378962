"""Why a request goes where it goes."""

from collections.abc import Callable
from typing import Any

import pytest

from services.proxy.cache_work import CacheStore
from services.proxy.config_file import parse_config
from services.proxy.config_values import ProxyConfig
from services.proxy.connection_limits import ConnectionLimits
from services.proxy.discovery import members_of
from services.proxy.explaining import Known, Question, explain
from services.proxy.moments import Moment
from services.proxy.reply_cache import ReplyCache
from services.proxy.routing import RouteTable
from services.proxy.upstreams import Annotation, Pool

TEXT = """
pool app { server 10.0.0.1:80; server 10.0.0.2:80; server 10.0.0.3:80; server 10.0.0.4:80;
           health_check http path=/up fall=1; }
pool weighted { server 10.0.1.1:80 weight=5; server 10.0.1.2:80; policy POLICY; }
host shop.example {
    proxy_pass http://app;
    location /api/ { proxy_pass http://user:secret@10.0.0.9:81/v1/; }
    location /off/ { proxy_next_upstream off; }
}
host weighted { proxy_pass http://weighted; }
""".replace("POLICY", "round-robin")


def make_pools(text: str) -> dict[str, Pool]:
    made = {}
    for config in parse_config(text).pools:
        made[config.name] = Pool(config, lambda _: None)
        made[config.name].set_members(members_of(config, {})[0], 0.0)
    return made


@pytest.fixture
def pools() -> dict[str, Pool]:
    return make_pools(TEXT)


def explain_by(config: ProxyConfig, pools: dict[str, Pool], question: Question) -> dict[str, Any]:
    store, connections = CacheStore(ReplyCache(1000, 1000)), ConnectionLimits()
    known = Known(RouteTable(config), pools, config.features, store, connections)
    return explain(known, question, Moment(9.0, 1e9))


def ask(pools: dict[str, Pool], host: str, path: str, method: str = "GET") -> dict[str, Any]:
    return explain_by(parse_config(TEXT), pools, Question(host, path, method))


def test_it_explains_the_rule_the_target_and_the_choice(pools: dict[str, Pool]) -> None:
    first, second, third, fourth = pools["app"].upstreams
    pools["app"].note_failure(second, 1.0, "refused")
    pools["app"].annotate(third, Annotation(is_draining=True))
    answer = ask(pools, "shop.example:8080", "/x?y")
    assert answer["rule"]["host"] == "shop.example"
    assert (answer["pool"], answer["policy"], answer["upstream_target"]) == ("app", "round-robin", "/x?y")
    assert answer["candidates"] == [first.name, fourth.name]
    assert [(left["upstream"], left["state"], left["rank"], left["why"]) for left in answer["left_out"]] == [
        (second.name, "down", "down", "it is down: refused"),
        (third.name, "draining", "draining", "it drains"),
    ]
    assert (answer["chosen"], answer["why"]) == (first.name, "next in turn")


@pytest.mark.parametrize("policy", ["round-robin", "least-connection"])
def test_asking_takes_nobody_s_turn(policy: str) -> None:
    text = TEXT.replace("policy round-robin", f"policy {policy}")
    asked, unasked = make_pools(text)["weighted"], make_pools(text)["weighted"]
    config = parse_config(text)
    for _ in range(12):
        for _ in range(3):
            told = explain_by(config, {"weighted": asked}, Question("weighted", "/"))
        chosen, expected = asked.choose(), unasked.choose()
        assert chosen is not None
        assert expected is not None
        assert told["chosen"] == chosen.name == expected.name


def test_when_nobody_is_fit_it_says_that_the_least_bad_is_taken(pools: dict[str, Pool]) -> None:
    for at, upstream in enumerate(pools["app"].upstreams):
        pools["app"].note_failure(upstream, float(at), "refused")
    answer = ask(pools, "shop.example", "/")
    assert answer["chosen"] == "10.0.0.4:80"
    assert answer["why"] == "next in turn; nobody fitter is there, although it is down: refused"
    assert {left["why"] for left in answer["left_out"]} == {"it is down: refused"}


def one_pool(words: str, path: str = "/", **asked: Any) -> tuple[Pool, Callable[[], dict[str, Any]]]:
    """A pool of three with these words, and what is told of a request to it."""
    text = f"pool app {{ server 10.0.0.1:80; server 10.0.0.2:80; server 10.0.0.3:80; {words} }}"
    config = parse_config(text + " host * { proxy_pass http://app; location /go { return 302 /there; } }")
    pool = Pool(config.pools[0], lambda _: None, b"key")
    pool.set_members(members_of(config.pools[0], {})[0], 0.0)
    question = Question("any", path, **asked)
    return pool, lambda: explain_by(config, {"app": pool}, question)


@pytest.mark.parametrize("client", ["192.0.2.1", "192.0.2.77", "2001:db8::9"])
def test_a_hash_of_the_address_is_explained_for_the_client_that_is_asked_about(client: str) -> None:
    pool, tell = one_pool("policy ip-hash;", client=client)
    request = Question("any", "/", client=client).to_request()
    chosen = pool.choose((), request)
    assert chosen is not None
    assert tell()["chosen"] == chosen.name
    assert tell()["why"] == "the hash of $remote_addr belongs to it"


def test_a_hash_of_a_header_is_explained_for_the_header_that_is_asked_about() -> None:
    seen = set()
    for user in range(30):
        headers = (("X-User", str(user)),)
        pool, tell = one_pool("hash $http_x_user;", headers=headers)
        chosen = pool.choose((), Question("any", "/", headers=headers).to_request())
        assert chosen is not None
        assert tell()["chosen"] == chosen.name
        seen.add(chosen.name)
    assert len(seen) == 3


def test_a_client_s_cookie_is_given_as_the_reason() -> None:
    pool, tell = one_pool("sticky cookie route;")
    pool.candidates()
    third = pool.upstreams[2]
    field = pool.sticky_cookie(Question("any", "/").to_request(), third)
    assert field is not None
    cookie = field[1].partition(";")[0]
    _, tell_with = one_pool("sticky cookie route;", headers=(("Cookie", cookie),))
    assert (tell()["chosen"], tell()["why"]) == ("10.0.0.1:80", "next in turn")
    assert (tell_with()["chosen"], tell_with()["why"]) == (third.name, "its cookie stands for it")


def test_looking_at_one_on_trial_does_not_take_its_only_request() -> None:
    pool, tell = one_pool("ejection fails=1 time=2s;")
    first = pool.upstreams[0]
    pool.note_broken(first, 1.0, "cut off")
    told = tell()
    assert first.name not in told["candidates"]
    assert told["left_out"][0]["state"] == "ejected"
    assert "cut off" in told["left_out"][0]["why"]
    pool.tick(4.0)
    for _ in range(3):
        told = tell()
        assert first.name in told["candidates"]
        assert not first.is_on_trial
    chosen = [pool.choose() for _ in range(3)]
    assert first in chosen


def test_a_full_pool_says_that_the_request_would_wait() -> None:
    for words, outcome in (("queue 1;", "wait for a place"), ("", "get a 503, for nobody may wait")):
        pool, tell = one_pool(words)
        for upstream in pool.upstreams:
            upstream.max_conns = upstream.in_flight = 1
        assert tell()["chosen"] is None
        assert tell()["why"] == f"all upstreams are full: it would {outcome}"


def test_a_return_is_the_answer() -> None:
    _, tell = one_pool("", path="/go")
    told = tell()
    assert told["rule"]["location"] == "/go"
    assert (told["answer"]["status"], told["answer"]["location"]) == (302, "/there")


def test_an_address_that_is_denied_is_told_so() -> None:
    config = parse_config("host * { proxy_pass http://a:80; deny 192.0.2.0/24; }")
    pools = {each.name: Pool(each, lambda _: None) for each in config.pools}
    told = explain_by(config, pools, Question("x", "/", client="192.0.2.9"))
    assert (told["answer"]["status"], told["answer"]["code"]) == (403, "address_denied")
    assert "answer" not in explain_by(config, pools, Question("x", "/", client="198.51.100.1"))


def test_an_empty_pool_has_no_choice(pools: dict[str, Pool]) -> None:
    pools["app"].set_members({}, 1.0)
    answer = ask(pools, "shop.example", "/")
    assert (answer["candidates"], answer["chosen"], answer["why"]) == ([], None, "there is no upstream")


def test_it_shows_the_target_that_a_path_in_proxy_pass_makes(pools: dict[str, Pool]) -> None:
    answer = ask(pools, "shop.example", "/api/users?x=1")
    assert (answer["rule"]["location"], answer["upstream_target"]) == ("/api/", "/v1/users?x=1")


@pytest.mark.parametrize(
    ("path", "method", "why"),
    [
        ("/", "GET", "GET may be sent again until a reply has begun"),
        ("/", "POST", "POST is not idempotent: it is sent again only where it can't have arrived"),
        ("/off/x", "GET", "proxy_next_upstream is off: only a stale pooled connection is replaced"),
    ],
)
def test_it_says_whether_another_upstream_would_be_tried(
    pools: dict[str, Pool], path: str, method: str, why: str
) -> None:
    assert ask(pools, "shop.example", path, method)["retries"]["why"] == why


@pytest.mark.parametrize(
    ("host", "path", "status"), [("other", "/", 421), ("shop.example", "/../x", 400), ("shop.example", "/api", 301)]
)
def test_it_says_when_no_upstream_is_asked(pools: dict[str, Pool], host: str, path: str, status: int) -> None:
    assert ask(pools, host, path)["answer"]["status"] == status


def test_limits_and_cache_are_told_of_what_is_forwarded_alone(pools: dict[str, Pool]) -> None:
    answer = ask(pools, "shop.example", "/")
    assert (answer["limits"]["rates"], answer["limits"]["max_body_bytes"], answer["cache"]) == ([], None, None)
    assert {"limits", "cache"}.isdisjoint(ask(pools, "other", "/"))


def test_an_answer_of_the_rule_tells_the_fields_that_its_status_gets() -> None:
    text = (
        "host a { add_header X-One 1; add_header X-All 2 always; "
        "location /no/ { deny all; proxy_pass http://10.0.0.1:1; } location /yes/ { return 200 hello; } }"
    )
    config, pools = parse_config(text), make_pools(text)
    told = explain_by(config, pools, Question("a", "/no/x"))
    assert (told["answer"]["status"], [each["name"] for each in told["reply_fields"]["added"]]) == (403, ["X-All"])
    told = explain_by(config, pools, Question("a", "/yes/x"))
    assert [each["name"] for each in told["reply_fields"]["added"]] == ["X-One", "X-All"]
