"""For how long a visitor who was let in may stay: the decision by itself, with a clock and users of the test's."""

from ipaddress import ip_network

import pytest

from services.proxy.access import Access, Sessions, Visitor
from services.proxy.forwarding_fields import ClientFinder, remember_view
from services.proxy.trusted_hops import TrustedHops
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request
from shared.runtime.guard import Guard
from shared.runtime.sessions import Session
from shared.runtime.users_file import User

OF_TWO = User("an", "hash", ("p1", "p2"))
SESSION = Session("an", 0.0, 100.0, OF_TWO.password_mark)


def still_allows(users: dict[str, User], peers: tuple[str, ...], now_s: float = 50.0) -> bool:
    access = Access(Sessions(b"x" * 64, users, lambda: now_s), Guard(True, None, frozenset()))
    return access.still_allows(Visitor(OF_TWO, SESSION), peers)


@pytest.mark.parametrize(
    ("user_now", "peers", "now_s", "expected"),
    [
        (OF_TWO, ("p1",), 50.0, True),
        (OF_TWO, (), 99.9, True),
        (OF_TWO, (), 100.0, False),
        (None, (), 50.0, False),
        (User("an", "another hash", ("p1", "p2")), (), 50.0, False),
        (User("an", "hash", ("p2",)), ("p1",), 50.0, False),
        (User("an", "hash", ("p2",)), ("p2",), 50.0, True),
        (User("an", "hash", ("p2",)), ("p1", "p2"), 50.0, False),
        (User("an", "hash", ("p1",)), ("*",), 50.0, False),
        (User("an", "hash", ("*",)), ("p1", "p2"), 50.0, True),
    ],
)
def test_who_may_stay(user_now: User | None, peers: tuple[str, ...], now_s: float, expected: bool) -> None:
    users = {"an": user_now} if user_now is not None else {}
    assert still_allows(users, peers, now_s) is expected


def test_without_keys_everybody_may_stay() -> None:
    assert Access(None, Guard(False, None, frozenset())).still_allows(Visitor(), ("p1",))


@pytest.mark.parametrize(
    ("peer", "said", "may"),
    [
        ("127.0.0.1", "", True),
        ("10.0.0.5", "", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.9", False),
        ("10.0.0.5", "10.0.0.9", False),
        ("10.0.0.5", "127.0.0.1", False),  # of the hop's machine, not of ours
    ],
)
def test_without_keys_client_and_hop_must_be_on_this_machine(peer: str, said: str, may: bool) -> None:
    field = f"X-Forwarded-For: {said}\r\n" if said else ""
    request = Request("GET", "/_proxy/status", 1, f"Host: localhost\r\n{field}".encode())
    request.host, request.remote_ip = "localhost", peer
    hops = TrustedHops((ip_network("127.0.0.0/8"), ip_network("10.0.0.5/32")))
    remember_view(request, ClientFinder(hops).view(request))
    access = Access(None, Guard(False, None, frozenset()))
    if may:
        assert access.check(request) == Visitor()
    else:
        with pytest.raises(HttpError, match="open on this machine only"):
            access.check(request)
