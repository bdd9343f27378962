"""Why a request goes where it goes."""

from typing import Any

import pytest

from services.proxy.config_file import parse_config
from services.proxy.discovery import members_of
from services.proxy.explaining import Question, explain
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


def ask(pools: dict[str, Pool], host: str, path: str, method: str = "GET") -> dict[str, Any]:
    return explain(RouteTable(parse_config(TEXT)), pools, Question(host, path, method))


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
        (third.name, "draining", "draining", "it drains: the tracker says so"),
    ]
    assert (answer["chosen"], answer["why"]) == (first.name, "next in turn")


@pytest.mark.parametrize("policy", ["round-robin", "least-connection"])
def test_asking_takes_nobody_s_turn(policy: str) -> None:
    text = TEXT.replace("policy round-robin", f"policy {policy}")
    asked, unasked = make_pools(text)["weighted"], make_pools(text)["weighted"]
    table = RouteTable(parse_config(text))
    for _ in range(12):
        for _ in range(3):
            told = explain(table, {"weighted": asked}, Question("weighted", "/"))
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
