"""`add_header`, `proxy_hide_header` and `proxy_pass_header`: what they mean, and their mistakes."""

import pytest

from services.proxy.config_file import ConfigError, parse_config
from services.proxy.features import Features
from services.proxy.reply_fields import AddedField, ReplyFields, joined
from services.proxy.templates import RequestFacts, parse_template
from shared.httpcore.message import Request, Response
from tests.services.proxy.test_config_features import config_of, features_of


def facts(*lines: str) -> RequestFacts:
    return RequestFacts(Request("GET", "/", 1, "".join(f"{line}\r\n" for line in lines).encode()), "10.0.0.1:80")


def field(name: str, value: str, *, is_always: bool = False) -> AddedField:
    return AddedField(name, parse_template(value), is_always)


# --- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204, 206, 301, 302, 303, 304, 307, 308])
def test_what_went_well_gets_the_field(status: int) -> None:
    assert ReplyFields((field("X-A", "1"),)).additions(status, facts()) == [("X-A", "1")]


@pytest.mark.parametrize("status", [101, 202, 400, 404, 429, 500, 502, 504])
def test_all_others_get_it_with_always_alone(status: int) -> None:
    fields = ReplyFields((field("X-A", "1"), field("X-B", "2", is_always=True)))
    assert fields.additions(status, facts()) == [("X-B", "2")]


def test_values_have_variables_and_none_is_sent_empty() -> None:
    fields = ReplyFields((field("X-To", "$proxy_host for $http_user_agent"), field("X-Empty", "$cookie_a")))
    added = fields.additions(200, facts("User-Agent: me"))
    assert joined([], added) == [("X-To", "10.0.0.1:80 for me")]


def test_a_field_stands_beside_the_upstream_s_and_one_that_there_is_once_takes_its_place() -> None:
    before = [("Set-Cookie", "a=1"), ("ETag", '"old"'), ("X-A", "theirs")]
    added = [("Set-Cookie", "b=2"), ("etag", '"new"'), ("X-A", "ours")]
    assert joined(before, added) == [("Set-Cookie", "a=1"), ("X-A", "theirs"), *added]
    assert joined(before, [("ETag", "")]) == [before[0], before[2]]


def test_what_is_hidden_goes_in_any_case() -> None:
    fields = ReplyFields(hidden=frozenset({"x-powered-by"}))
    assert fields.shown([("X-POWERED-By", "it"), ("X-A", "1"), ("x-powered-by", "that")]) == [("X-A", "1")]


def test_a_reply_of_the_proxy_s_own_has_one_content_type() -> None:
    response = Response.text("{}")
    ReplyFields((field("Content-Type", "application/json"),)).decorate(facts().request, response)
    assert (response.content_type, response.headers) == (None, [("Content-Type", "application/json")])


# --- words -------------------------------------------------------------------------------------------------


def test_one_line_of_a_block_replaces_all_around_it_as_in_nginx() -> None:
    file = "add_header X-File 1; proxy_hide_header Server; proxy_hide_header X-Powered-By;"

    def added(features: Features) -> list[tuple[str, str, bool]]:
        return [(each.name, each.value.source, each.is_always) for each in features.reply_fields.added]

    assert added(features_of(file=file)) == [("X-File", "1", False)]
    inner = features_of("add_header X-A '$host' always; add_header X-B b; proxy_hide_header Via;", file=file)
    assert added(inner) == [("X-A", "$host", True), ("X-B", "b", False)]
    assert features_of(file=file).reply_fields.hidden == {"server", "x-powered-by"}
    assert inner.reply_fields.hidden == {"via"}
    assert features_of("proxy_pass_header SERVER;", file=file).reply_fields.hidden == {"x-powered-by"}
    assert features_of("proxy_pass_header Server;", file=file).concerns_replies
    assert not features_of("proxy_hide_header X; proxy_pass_header X;").concerns_replies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add_header X-A;", '1:1: "add_header" takes 2 or 3 arguments, got 1'),
        ("add_header X-A 1 allways;", '1:18: got "allways", expected one of always (did you mean "always"?)'),
        ("add_header 'X A' 1;", '1:12: got "X A", expected a field name'),
        ("add_header X-A $hots;", '1:16: there is no variable $hots (did you mean "$host"?)'),
        ("add_header X-A $upstream_cache_status;", "1:16: there is no variable $upstream_cache_status: "),
        ("add_header X-A grün;", "1:16: a field's value holds printable ASCII only"),
        ("add_header Content-Length 5;", "1:12: Content-Length frames the reply or concerns one connection"),
        ("add_header transfer-encoding chunked;", "1:12: transfer-encoding frames the reply"),
        ("add_header Connection close;", "1:12: Connection frames the reply or concerns one connection"),
        ("add_header X-Request-Id 7;", "1:12: X-Request-Id is written by the proxy itself and it can't be added"),
        ("proxy_hide_header Content-Length;", "so the proxy writes it itself and it can't be hidden"),
        ("proxy_hide_header A B;", '1:1: "proxy_hide_header" takes 1 argument, got 2'),
        ("add_header ETag a;\nadd_header etag b;", "2:1: a reply has one etag, and this block adds one on line 1"),
        ("add_heder X-A 1;", 'did you mean "add_header"?'),
        ("pool p { server h:1; add_header X-A 1; }", "may not stand in a pool block"),
    ],
)
def test_mistakes_have_their_place(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text + '\nhost "*" { proxy_pass http://127.0.0.1:80; }')
    assert any(expected in line for line in caught.value.lines()), caught.value.lines()


def warnings_of(location: str = "", host: str = "", file: str = "") -> list[str]:
    warnings = config_of(location, host, file).warnings
    return [f"{each.position.line}:{each.position.column}: {each.message}" for each in warnings]


def test_outer_lines_that_no_longer_hold_are_told_until_they_are_said_again() -> None:
    host = "add_header X-Frame-Options DENY; add_header X-A 1;"
    [told] = warnings_of("add_header X-B 1;", host)
    assert told.startswith(
        "4:17: here the outer add_header lines no longer hold (X-Frame-Options, X-A): say them again"
    )
    assert warnings_of("add_header X-B 1; add_header x-frame-options SAMEORIGIN; add_header X-A '';", host) == []
    assert warnings_of("", host) == []


def test_to_pass_what_nothing_hides_is_odd() -> None:
    assert warnings_of("proxy_pass_header Server;") == ["4:17: nothing hides Server here: it passes anyway"]
    assert warnings_of("proxy_pass_header Server;", "proxy_hide_header Server;") == []
