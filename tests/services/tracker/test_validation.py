"""Each field of a caller's JSON: what is taken, what is made of it, and the words of a refusal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.lease import DEFAULT_TTL_S, LeaseError, LeasePatch, Registration
from services.tracker.validation import (
    MAX_META_BYTES,
    parse_heartbeat,
    parse_ip,
    parse_patch,
    parse_peer_id,
    parse_peer_ids,
    parse_registration,
)

LEAST = {"peer_id": "p1", "port": 7510}


def nested(levels):
    return {"a": nested(levels - 1)} if levels else {}


def test_the_least_registration_has_the_defaults():
    assert parse_registration(LEAST, "10.0.0.7") == Registration(
        peer_id="p1", ip="10.0.0.7", port=7510, roles=(), channels=(), meta={}, load=0.0, ttl_s=DEFAULT_TTL_S
    )


def test_a_full_registration_keeps_what_it_says():
    fields = {
        "peer_id": "p-1_A",
        "ip": "2001:DB8::1",
        "port": 7510,
        "roles": ["p2p", "p2p", "seed"],
        "channels": ["chat", "Grüße ✓"],
        "meta": {"api_port": 7510, "p2p_port": 7010, "tags": [1, {"x": None}]},
        "load": 3,
        "ttl": 180,
        "colour": "a field of a later version",
    }
    assert parse_registration(fields, "10.0.0.7") == Registration(
        peer_id="p-1_A",
        ip="2001:db8::1",
        port=7510,
        roles=("p2p", "seed"),
        channels=("chat", "Grüße ✓"),
        meta=fields["meta"],
        load=3.0,
        ttl_s=180,
    )


def test_null_means_absent():
    fields = dict.fromkeys(["ip", "roles", "channels", "meta", "load", "ttl"])
    assert parse_registration(LEAST | fields, "10.0.0.7") == parse_registration(LEAST, "10.0.0.7")


@pytest.mark.parametrize(
    ("given_ip", "kept"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::FFFF:10.0.0.7", "10.0.0.7"),
        ("Peer1.Example", "peer1.example"),
        ("weaprous_peer1", "weaprous_peer1"),
        ("0.0.0.0", None),
        ("::", None),
        ("::ffff:0.0.0.0", None),
    ],
)
def test_an_address_has_one_spelling(given_ip, kept):
    assert parse_ip(given_ip) == kept


def test_a_peer_that_listens_on_every_address_is_listed_with_the_one_it_called_from():
    assert parse_registration(LEAST | {"ip": "0.0.0.0"}, "10.0.0.7").ip == "10.0.0.7"


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (60, 60),
        (2.5, 2.5),
        (0.5, 1),
        (0, 1),
        (-3, 1),
        (-(10**400), 1),
        (86_400, 86_400),
        (86_401, 86_400),
        (1e308, 86_400),
        (10**400, 86_400),
        (float("inf"), 86_400),
    ],
)
def test_a_ttl_is_moved_into_its_range(asked, granted):
    assert parse_heartbeat({"ttl": asked}).ttl_s == granted


REFUSALS = [
    ("no port", {"port": None}, "port: got nothing, expected an integer 1–65535"),
    ("port 0", {"port": 0}, "port: got 0, expected an integer 1–65535"),
    ("port too large", {"port": 65_536}, "port: got 65536, expected an integer 1–65535"),
    ("port as text", {"port": "7510"}, 'port: got "7510", expected an integer 1–65535'),
    ("port as float", {"port": 7510.0}, "port: got 7510.0, expected an integer 1–65535"),
    ("port as truth", {"port": True}, "port: got true, expected an integer 1–65535"),
    ("huge port", {"port": 10**4000}, "port: got an integer of more than 77 digits, expected an integer 1–65535"),
    ("no id", {"peer_id": None}, "peer_id: got nothing, expected 1–63 characters of A–Z a–z 0–9 _ -"),
    ("id with a dot", {"peer_id": "a.b"}, 'peer_id: got "a.b", expected 1–63 characters of A–Z a–z 0–9 _ -'),
    ("id as number", {"peer_id": 7}, "peer_id: got 7, expected 1–63 characters of A–Z a–z 0–9 _ -"),
    ("id with an end of line", {"peer_id": "p1\n"}, 'peer_id: got "p1\\n", expected 1–63 characters'),
    ("id of 64", {"peer_id": "p" * 64}, "expected 1–63 characters"),
    ("mistyped address", {"ip": "10.0.0.256"}, 'ip: got "10.0.0.256", expected an IP address or a host name'),
    ("address with a port", {"ip": "10.0.0.1:80"}, "expected an IP address or a host name"),
    ("address with a zone", {"ip": "fe80::1%eth0"}, "expected an IP address or a host name"),
    ("address as list", {"ip": ["10.0.0.1"]}, "ip: got a list of 1, expected an IP address or a host name"),
    ("empty address", {"ip": ""}, 'ip: got "", expected an IP address or a host name'),
    ("host with a space", {"ip": "a b"}, "expected an IP address or a host name"),
    ("host with a line end", {"ip": "a\r\nX: y"}, "expected an IP address or a host name"),
    ("host of 254", {"ip": "a" * 254}, "expected an IP address or a host name"),
    ("roles as text", {"roles": "p2p"}, 'roles: got "p2p", expected a list of strings'),
    ("role as number", {"roles": ["p2p", 1]}, "roles[1]: got 1, expected a string of 1–64 printable characters"),
    ("empty role", {"roles": [""]}, 'roles[0]: got "", expected a string of 1–64 printable characters'),
    ("long role", {"roles": ["r" * 65]}, "expected a string of 1–64 printable characters"),
    ("control in a role", {"roles": ["a\x00"]}, 'roles[0]: got "a\\u0000", expected a string'),
    ("half a character", {"channels": ["\ud800"]}, 'channels[0]: got "\\ud800", expected a string'),
    ("too many roles", {"roles": ["r"] * 17}, "roles: got 17 items, expected at most 16"),
    ("too many channels", {"channels": ["c"] * 65}, "channels: got 65 items, expected at most 64"),
    ("meta as list", {"meta": [1]}, "meta: got a list of 1, expected a JSON object"),
    ("meta too deep", {"meta": nested(8)}, "meta: got more than 8 levels of nesting, expected at most that"),
    ("NaN in meta", {"meta": {"x": float("nan")}}, "meta: got a number or a text that JSON can't carry"),
    ("half a character in meta", {"meta": {"\ud800": 1}}, "meta: got a number or a text that JSON can't carry"),
    ("meta too large", {"meta": {"x": "é" * 2045}}, "meta: got 4098 bytes as JSON, expected at most 4096"),
    ("odd port in meta", {"meta": {"p2p_port": "x"}}, 'meta.p2p_port: got "x", expected an integer 1–65535'),
    ("two API ports", {"meta": {"api_port": 1}}, "meta.api_port: got 1, expected the same as port (7510)"),
    ("load below 0", {"load": -0.1}, "load: got -0.1, expected a finite number >= 0"),
    ("load without end", {"load": float("inf")}, "load: got Infinity, expected a finite number >= 0"),
    ("no number", {"load": float("nan")}, "load: got NaN, expected a finite number >= 0"),
    ("huge load", {"load": 10**400}, "load: got an integer of more than 77 digits, expected a finite number >= 0"),
    ("load as truth", {"load": True}, "load: got true, expected a finite number >= 0"),
    ("ttl as text", {"ttl": "60"}, 'ttl: got "60", expected a number of seconds, 1–86400'),
    ("ttl no number", {"ttl": float("nan")}, "ttl: got NaN, expected a number of seconds, 1–86400"),
    ("ttl as truth", {"ttl": False}, "ttl: got false, expected a number of seconds, 1–86400"),
]


@pytest.mark.parametrize(("fields", "words"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_mistake_is_named_with_what_was_got_and_what_was_expected(fields, words):
    with pytest.raises(LeaseError) as caught:
        parse_registration(LEAST | fields, "10.0.0.7")
    assert words in str(caught.value)


def test_meta_may_be_as_large_as_its_limit():
    meta = {"x": "é" * 2044}
    assert len(json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode()) == MAX_META_BYTES
    assert parse_registration(LEAST | {"meta": meta}, "::1").meta == meta


def test_what_was_sent_is_shown_bounded():
    with pytest.raises(LeaseError) as caught:
        parse_peer_id("x" * 100_000)
    assert len(str(caught.value)) < 200


def test_an_update_needs_no_field():
    assert parse_patch({"peer_id": "p1"}) == LeasePatch()


def test_a_heartbeat_ignores_what_only_an_update_may_change():
    assert parse_heartbeat({"peer_id": "p1", "port": "nonsense", "load": 2}) == LeasePatch(load=2.0)


def test_a_batch_names_the_item_that_is_no_id():
    with pytest.raises(LeaseError, match=r"peers\[1\]: got 7, expected 1–63 characters"):
        parse_peer_ids(["p1", 7])


@pytest.mark.parametrize("value", [None, "p1", {"p1": 1}])
def test_a_batch_is_a_list(value):
    with pytest.raises(LeaseError, match="expected a list of peer ids"):
        parse_peer_ids(value)


def test_a_batch_has_at_most_a_thousand_ids():
    ids = [f"p{number}" for number in range(1000)]
    assert parse_peer_ids(ids) == tuple(ids)
    with pytest.raises(LeaseError, match="peers: got 1001 ids, expected at most 1000"):
        parse_peer_ids([*ids, "one-more"])


def test_a_repeated_id_counts_once():
    assert parse_peer_ids(["b", "a", "b"]) == ("b", "a")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("10.0.0.1"),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=10,
)
FIELD_NAMES = st.sampled_from(["peer_id", "ip", "port", "roles", "channels", "meta", "load", "ttl"])


@given(st.dictionaries(FIELD_NAMES, JSON_VALUES))
def test_any_json_is_either_taken_and_can_be_written_or_refused(fields):
    try:
        wanted = parse_registration(LEAST | fields, "10.0.0.7")
    except LeaseError as error:
        text = str(error)
        wanted = None
    if wanted is None:
        assert text.isprintable()
        return
    json.dumps([wanted.ip, wanted.roles, wanted.channels, wanted.meta, wanted.load], allow_nan=False)
    assert 1 <= wanted.ttl_s <= 86_400
