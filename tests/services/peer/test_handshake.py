"""The handshake: who passes, who is refused and why, and that nobody's proof serves another."""

import pytest

from services.peer.frames import Ack, Auth, Failure, Frame, Hello, Ping
from services.peer.handshake import Handshake, Identity, Role, proof, proof_input
from services.peer.wire import WireError

KEY = b"k" * 64
OTHER_KEY = b"j" * 64


def client(key: bytes | None = KEY, peer_id: str = "p1", expected_id: str | None = "p2") -> Handshake:
    return Handshake(Identity(peer_id, key), Role.CLIENT, expected_id=expected_id)


def server(key: bytes | None = KEY, peer_id: str = "p2") -> Handshake:
    return Handshake(Identity(peer_id, key), Role.SERVER)


def refused(end: Handshake, frame: Frame) -> str:
    with pytest.raises(WireError) as caught:
        end.receive(frame)
    assert caught.value.is_fatal
    assert not end.is_done
    return caught.value.code


def test_without_a_key_hello_both_ways_is_enough() -> None:
    dialer, acceptor = client(None), server(None)
    assert acceptor.receive(dialer.hello) == []
    assert dialer.receive(acceptor.hello) == []
    assert dialer.is_done
    assert acceptor.is_done
    assert (dialer.peer.peer_id, acceptor.peer.peer_id) == ("p2", "p1")


def test_without_a_key_a_hello_needs_no_nonce() -> None:
    acceptor = server(None)
    acceptor.receive(Hello("p1", ""))
    assert acceptor.is_done


def test_with_a_key_the_client_proves_itself_first() -> None:
    dialer, acceptor = client(), server()
    assert acceptor.receive(dialer.hello) == []
    [proof_of_client] = dialer.receive(acceptor.hello)
    assert not dialer.is_done
    [proof_of_server] = acceptor.receive(proof_of_client)
    assert acceptor.is_done
    assert dialer.receive(proof_of_server) == []
    assert dialer.is_done


def test_another_key_is_refused_by_both_ends() -> None:
    dialer, acceptor = client(OTHER_KEY), server()
    acceptor.receive(dialer.hello)
    [proof_of_client] = dialer.receive(acceptor.hello)
    assert refused(acceptor, proof_of_client) == "bad_auth"
    forged = Auth(proof(KEY, dialer.hello, acceptor.hello, Role.SERVER))
    assert refused(dialer, forged) == "bad_auth"


def test_a_proof_sent_back_proves_nothing() -> None:
    dialer, acceptor = client(), server()
    [own_proof] = dialer.receive(acceptor.hello)
    assert refused(dialer, own_proof) == "bad_auth"


def test_a_proof_of_an_earlier_link_proves_nothing() -> None:
    dialer, earlier, later = client(), server(), server()
    [proof_of_client] = dialer.receive(earlier.hello)
    later.receive(dialer.hello)
    assert refused(later, proof_of_client) == "bad_auth"


def test_a_proof_for_one_peer_is_none_for_another() -> None:
    nonce = "a" * 32
    second = Handshake(Identity("p2", KEY), Role.SERVER, nonce=nonce)
    third = Handshake(Identity("p3", KEY), Role.SERVER, nonce=nonce)
    dialer = client(expected_id=None)
    [for_second] = dialer.receive(second.hello)
    third.receive(dialer.hello)
    assert refused(third, for_second) == "bad_auth"


def test_ones_own_hello_sent_back_is_refused() -> None:
    dialer = client(expected_id=None)
    assert refused(dialer, dialer.hello) == "self_connection"
    assert refused(dialer, Hello("p2", dialer.hello.nonce)) == "bad_auth"


@pytest.mark.parametrize("frame", [Ping(1), Ack("m"), Auth("ab" * 32)])
def test_nothing_is_accepted_before_hello(frame: Frame) -> None:
    assert refused(server(), frame) == "hello_expected"
    assert refused(server(None), frame) == "hello_expected"


@pytest.mark.parametrize("frame", [Ping(1), Ack("m"), Hello("p1", "b" * 32)])
def test_nothing_but_auth_is_accepted_after_hello_when_there_is_a_key(frame: Frame) -> None:
    acceptor = server()
    acceptor.receive(client().hello)
    assert refused(acceptor, frame) == "auth_required"


def test_a_keyed_peer_refuses_a_hello_without_a_nonce_worth_its_name() -> None:
    assert refused(server(), Hello("p1", "")) == "auth_required"
    assert refused(server(), Hello("p1", "x" * 15)) == "auth_required"


def test_whoever_answers_for_another_than_was_dialled_is_refused() -> None:
    assert refused(client(expected_id="p3"), server().hello) == "wrong_peer"


def test_an_error_of_the_other_end_ends_the_handshake_with_its_code() -> None:
    with pytest.raises(WireError, match="refused by the other end: no room") as caught:
        client().receive(Failure("too_many_links", "no room"))
    assert caught.value.code == "too_many_links"


def test_the_bytes_under_the_proof_are_six_lines() -> None:
    told = proof_input(Hello("p1", "aa"), Hello("p2", "bb"), Role.SERVER)
    assert told == b"weaprous-p2p-1\nserver\np1\np2\naa\nbb\n"


def test_each_handshake_has_a_nonce_of_its_own() -> None:
    nonces = {client().hello.nonce for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {32}
