"""What the proxy says of itself, as values."""

import json
from typing import Any

import pytest

from services.proxy.admin import describe_host, describe_pool, explain
from services.proxy.config_file import parse_config
from services.proxy.discovery import members_of
from services.proxy.routing import RouteTable
from services.proxy.upstreams import Annotation, Pool

TEXT = """
pool app { server 10.0.0.1:80; server 10.0.0.2:80; server 10.0.0.3:80; server 10.0.0.4:80;
           health_check http path=/up fall=1; }
host shop.example {
    proxy_pass http://app;
    location /api/ { proxy_pass http://user:secret@10.0.0.9:81/v1/; }
}
"""


@pytest.fixture
def pools() -> dict[str, Pool]:
    made = {}
    for config in parse_config(TEXT).pools:
        made[config.name] = Pool(config, lambda _: None)
        made[config.name].set_members(members_of(config, {})[0], 0.0)
    return made


def ask(pools: dict[str, Pool], host: str, path: str) -> dict[str, Any]:
    return explain(RouteTable(parse_config(TEXT)), pools, host, path)


def test_it_explains_the_rule_the_target_and_the_choice(pools: dict[str, Pool]) -> None:
    first, second, third, fourth = pools["app"].upstreams
    pools["app"].note_failure(second, 1.0, "refused")
    pools["app"].annotate(third, Annotation(is_draining=True))
    answer = ask(pools, "Shop.example:8080", "/x?y")
    assert answer["rule"]["host"] == "shop.example"
    assert (answer["pool"], answer["policy"], answer["upstream_target"]) == ("app", "round-robin", "/x?y")
    assert answer["candidates"] == [first.name, fourth.name]
    assert answer["left_out"] == [
        {"upstream": second.name, "why": "it is down: refused"},
        {"upstream": third.name, "why": "it drains"},
    ]
    assert (answer["chosen"], answer["why"]) == (first.name, "next in turn")
    assert ask(pools, "shop.example", "/x")["chosen"] == first.name
    chosen = pools["app"].choose()
    assert chosen is first


def test_it_shows_the_target_that_a_path_in_proxy_pass_makes(pools: dict[str, Pool]) -> None:
    answer = ask(pools, "shop.example", "/api/users?x=1")
    assert (answer["rule"]["location"], answer["upstream_target"]) == ("/api/", "/v1/users?x=1")


@pytest.mark.parametrize(
    ("host", "path", "status"), [("other", "/", 421), ("shop.example", "/../x", 400), ("shop.example", "/api", 301)]
)
def test_it_says_when_no_upstream_is_asked(pools: dict[str, Pool], host: str, path: str, status: int) -> None:
    assert ask(pools, host, path)["answer"]["status"] == status


def test_descriptions_are_json_without_credentials(pools: dict[str, Pool]) -> None:
    config = parse_config(TEXT)
    text = json.dumps([describe_host(host) for host in config.hosts] + [describe_pool(p, 5.0) for p in pools.values()])
    assert "secret" not in text
    assert "dXNlcjpz" not in text
    described = describe_pool(pools["app"], 5.0)
    assert described["health_check"]["path"] == "/up"
    assert described["upstreams"][0]["state_for_s"] == 5.0
