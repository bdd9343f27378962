"""What is believed of the tracker's entries."""

from typing import Any

import pytest

from services.proxy.annotations import Leaving, backend_annotations, peer_addresses
from services.proxy.upstreams import Address, Annotation


def entry(**fields: Any) -> dict[str, Any]:
    return {
        "peer_id": "p1",
        "ip": "10.0.0.1",
        "port": 7510,
        "roles": ["p2p"],
        "meta": {},
        "registered_by": "key",
        **fields,
    }


def test_a_backend_tells_draining_and_load() -> None:
    backend = entry(roles=["backend"], port=8000, meta={"draining": True}, load=3)
    assert backend_annotations([backend, entry()], keyed=True) == {Address("10.0.0.1", 8000): Annotation(True, 3.0)}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_backends_at_one_address_the_one_that_registered_last_speaks_for_it(order: int) -> None:
    fields: dict[str, Any] = {"roles": ["backend"], "port": 8000}
    killed = entry(peer_id="z", registered_at=100.0, **fields)  # its lease has not ended yet
    newer = entry(peer_id="a", registered_at=130, meta={"draining": True}, **fields)
    odd = entry(peer_id="b", registered_at="late", **fields)
    annotations = backend_annotations([odd, killed, newer][::order], keyed=True)
    assert annotations == {Address("10.0.0.1", 8000): Annotation(True)}


def test_one_that_drained_when_it_was_forgotten_drains_until_it_must_have_gone() -> None:
    a, b, c = (Address(f"10.0.0.{number}", 8000) for number in (1, 2, 3))
    drains, stays = Annotation(True, 2.0), Annotation(False, 1.0)
    leaving = Leaving()
    assert leaving.take({a: drains, b: stays, c: stays}, 1.0) == {a: drains, b: stays, c: stays}
    assert not leaving
    assert leaving.take({c: stays}, 2.0) == {a: Annotation(True), c: stays}
    assert leaving.take({c: stays}, 6.9) == {a: Annotation(True), c: stays}
    assert leaving
    assert leaving.remember(7.0) == {c: stays}
    assert not leaving


def test_one_that_registers_anew_where_another_drained_counts_as_it_says() -> None:
    a = Address("10.0.0.1", 8000)
    leaving = Leaving()
    leaving.take({a: Annotation(True)}, 1.0)
    leaving.take({}, 2.0)
    assert leaving.take({a: Annotation(load=0.0)}, 2.5) == {a: Annotation(load=0.0)}
    assert leaving.take({}, 2.6) == {}


def test_a_peer_is_at_its_api_port() -> None:
    entries = [entry(), entry(peer_id="p2", meta={"api_port": 7600}), entry(peer_id="b", roles=["backend"])]
    assert peer_addresses(entries, keyed=True) == {"p1": Address("10.0.0.1", 7510), "p2": Address("10.0.0.1", 7600)}


@pytest.mark.parametrize("registered_by", ["user:admin", "anyone", None])
def test_with_keys_only_who_registered_with_the_key_counts(registered_by: str | None) -> None:
    entries = [entry(registered_by=registered_by), entry(roles=["backend"], registered_by=registered_by)]
    assert peer_addresses(entries, keyed=True) == {}
    assert backend_annotations(entries, keyed=True) == {}
    assert len(peer_addresses(entries, keyed=False)) == len(backend_annotations(entries, keyed=False)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"ip": None},
        {"ip": ""},
        {"port": "7510"},
        {"port": True},
        {"port": 0},
        {"port": 70_000},
        {"meta": {"api_port": "x"}},
        {"peer_id": 5},
    ],
)
def test_an_entry_that_names_no_address_is_left_out(fields: dict[str, Any]) -> None:
    assert peer_addresses([entry(**fields)], keyed=True) == {}


@pytest.mark.parametrize("fields", [{"meta": None}, {"load": "much"}, {"load": True}, {"meta": {"draining": 1}}])
def test_odd_words_of_a_backend_say_nothing(fields: dict[str, Any]) -> None:
    annotations = backend_annotations([entry(roles=["backend"], **fields)], keyed=True)
    assert annotations == {Address("10.0.0.1", 7510): Annotation()}
