"""Sockets on their way from one worker to another, in one process; `test_worker_shares` has whole services."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from shared.httpcore.message import Request, Response
from shared.httpcore.net.loop import run
from shared.httpcore.net.server import Listener, Server, bind_listener
from shared.httpcore.net.tls import CertificateFiles, make_client_context, make_server_context
from shared.httpcore.net.tls_server import TlsServer
from shared.httpcore.routing import Router
from shared.runtime.worker_balance import CAN_HAND_OVER, HANDED_ON_A_CALL, MAX_WAITING, Mailbox, Seat, WorkerBalance
from tests.certificates import LocalCa
from tests.shared.httpcore.net.waiting import until

pytestmark = pytest.mark.skipif(not CAN_HAND_OVER, reason="here sockets can't be handed over without loss")

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with bind_listener(request.param, 0) as found:
        yield found


@pytest.fixture
def seats() -> Iterator[list[Seat]]:
    """Three workers, none of which serves yet, with a listener each."""
    listeners = [bind_listener("127.0.0.1", 0) for _ in range(3)]
    balance = WorkerBalance(listeners, 3)
    yield [balance.take_seat(number) for number in (1, 2, 3)]
    balance.close()


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout=20)


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def accept_all(listener: Listener) -> list[object]:
    """Whose connections waited there; they are closed."""
    found = []
    while True:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return found
        sock.close()
        found.append(address)


def has_room(box: Mailbox, sock: socket.socket) -> bool:
    try:
        box.put(sock)
    except OSError:
        return False
    return True


# --- the mailbox -------------------------------------------------------------------------------------------------


def test_a_socket_arrives_as_if_it_had_been_accepted(listener: socket.socket) -> None:
    with closing(Mailbox(listener.family)) as box, connect(listener) as client:
        accepted, address = listener.accept()
        assert box.waiting_count == 0
        box.put(accepted)
        accepted.close()
        assert box.waiting_count == 1
        arrived, arrived_from = box.accept()
        with arrived:
            assert arrived_from == address == client.getsockname()
            assert arrived.family == listener.family
            assert not os.get_inheritable(arrived.fileno())
            assert arrived.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            arrived.sendall(b"hello")
            assert client.recv(5) == b"hello"
        assert client.recv(1) == b""
        assert box.waiting_count == 0
        with pytest.raises(BlockingIOError):
            box.accept()


def test_sockets_arrive_in_order_and_each_once(listener: socket.socket) -> None:
    with closing(Mailbox(listener.family)) as box, ExitStack() as stack:
        clients = [stack.enter_context(connect(listener)) for _ in range(10)]
        for _ in clients:
            accepted, _ = listener.accept()
            with accepted:
                box.put(accepted)
        assert box.waiting_count == 10
        for client in clients:
            arrived, address = box.accept()
            arrived.close()
            assert address == client.getsockname()


def test_a_client_that_is_gone_is_left_out(listener: socket.socket) -> None:
    with closing(Mailbox(listener.family)) as box, connect(listener) as client:
        with socket.socket(listener.family) as gone:
            box.put(gone)
        accepted, _ = listener.accept()
        with accepted:
            box.put(accepted)
        files = open_files()
        arrived, address = box.accept()
        assert open_files() == files + 1
        arrived.close()
        assert address == client.getsockname()


def test_a_process_that_can_not_have_more_files_leaves_the_socket_to_others(listener: socket.socket) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with closing(Mailbox(listener.family)) as box, connect(listener) as client:
        accepted, _ = listener.accept()
        with accepted:
            box.put(accepted)
        next_fd = os.dup(0)
        os.close(next_fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_fd, limits[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                box.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert box.waiting_count == 1
        arrived, address = box.accept()
        arrived.close()
        assert address == client.getsockname()


def test_a_full_box_refuses_and_loses_nothing(listener: socket.socket) -> None:
    with closing(Mailbox(listener.family)) as box, connect(listener):
        accepted, _ = listener.accept()
        count = 0
        with accepted:
            while has_room(box, accepted):
                count += 1
            assert accepted.fileno() >= 0
        assert box.waiting_count == count > MAX_WAITING
        for _ in range(count):
            box.accept()[0].close()


# --- a seat ------------------------------------------------------------------------------------------------------


def test_a_worker_keeps_what_it_accepts_while_no_other_serves(seats: list[Seat]) -> None:
    seats[0].report(100)
    with connect(seats[0].listener), connect(seats[0].listener):
        for _ in range(2):
            seats[0].listeners[0].accept()[0].close()
    assert seats[0].handed_over_count == 0


def test_what_is_handed_over_lies_in_the_others_mailbox_and_counts_as_theirs(seats: list[Seat]) -> None:
    for seat, count in zip(seats, (3, 1, 2)):
        seat.report(count)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(seats[0].listener)) for _ in range(4)]
        accepted, address = seats[0].listeners[0].accept()  # after three that the others have now: 3, 3, 3
        accepted.close()
        assert address == clients[3].getsockname()
        assert seats[0].handed_over_count == 3
        mail = [accept_all(seat.listeners[1]) for seat in seats]
        assert mail == [[], [clients[0].getsockname(), clients[1].getsockname()], [clients[2].getsockname()]]


def test_what_waits_for_the_worker_itself_counts_as_its_own(seats: list[Seat]) -> None:
    first, _, third = seats
    third.report(5)
    for count in (6, 7):
        first.report(count)
        with connect(first.listener):
            assert accept_all(first.listeners[0]) == []
    first.report(6)
    with connect(third.listener):
        assert accept_all(third.listeners[0]) == []
    assert third.handed_over_count == 1, "it has 5, and 2 that wait: more than the first"


def test_a_burst_to_one_is_dealt_to_all_and_the_worker_is_not_kept_by_it(seats: list[Seat]) -> None:
    seats[0].report(1000)
    seats[1].report(0)
    with ExitStack() as stack:
        for _ in range(MAX_WAITING + 5):
            stack.enter_context(connect(seats[0].listener))
        with pytest.raises(BlockingIOError):
            seats[0].listeners[0].accept()
        assert seats[0].handed_over_count == HANDED_ON_A_CALL
        kept = 0
        while seats[0].handed_over_count < MAX_WAITING:
            with pytest.raises(BlockingIOError):
                seats[0].listeners[0].accept()
        for _ in range(5):  # no more lie in a box whose worker takes none
            seats[0].listeners[0].accept()[0].close()
            kept += 1
        assert (seats[0].handed_over_count, kept) == (MAX_WAITING, 5)


def test_a_connection_that_can_not_be_handed_over_is_served_where_it_was_accepted(
    seats: list[Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_box: Mailbox, _sock: socket.socket) -> None:
        raise BlockingIOError

    monkeypatch.setattr(Mailbox, "put", refuse)
    seats[0].report(9)
    seats[1].report(0)
    with connect(seats[0].listener) as client:
        accepted, address = seats[0].listeners[0].accept()
        assert address == client.getsockname()
        accepted.close()


def test_a_worker_that_drains_gets_none_and_gives_all(seats: list[Seat]) -> None:
    for seat, count in zip(seats, (5, 0, 9)):
        seat.report(count)
    seats[1].withdraw()
    seats[1].report(0)  # one of its connections ended
    with connect(seats[0].listener), connect(seats[1].listener):
        with pytest.raises(BlockingIOError):
            seats[1].listeners[0].accept()
        assert seats[1].handed_over_count == 1
        seats[0].report(6)
        seats[0].listeners[1].accept()[0].close()
        seats[0].listeners[0].accept()[0].close()
        assert seats[0].handed_over_count == 0


def test_a_dead_worker_gets_none_until_the_next_one_serves() -> None:
    listeners = [bind_listener("127.0.0.1", 0) for _ in range(2)]
    balance = WorkerBalance(listeners, 2)
    first, second = balance.take_seat(1), balance.take_seat(2)
    first.report(5)
    second.report(0)
    balance.forget(2)
    with connect(listeners[0]), connect(listeners[0]):
        first.listeners[0].accept()[0].close()
        balance.take_seat(2).report(0)
        with pytest.raises(BlockingIOError):
            first.listeners[0].accept()
    assert first.handed_over_count == 1
    balance.close()


def test_what_another_left_is_taken_at_the_second_look_unless_it_gave_a_sign(seats: list[Seat]) -> None:
    seats[0].report(1)
    seats[1].report(0)
    box_of_second, listener_of_second, *_ = seats[0].siblings
    with connect(seats[0].listener), connect(seats[1].listener), connect(seats[1].listener):
        with pytest.raises(BlockingIOError):
            seats[0].listeners[0].accept()
        for look in (box_of_second, listener_of_second):
            with pytest.raises(BlockingIOError):
                look.accept()
        seats[1].report(0)
        for look in (box_of_second, listener_of_second):
            with pytest.raises(BlockingIOError):
                look.accept()
        box_of_second.accept()[0].close()
        for _ in range(2):  # and none of them is given back, though the other still has fewer
            listener_of_second.accept()[0].close()
        assert seats[0].handed_over_count == 1
        with connect(seats[0].listener):
            seats[0].listeners[0].accept()[0].close()
        seats[1].report(0)
        with connect(seats[0].listener), pytest.raises(BlockingIOError):
            seats[0].listeners[0].accept()
        assert seats[0].handed_over_count == 2


def test_a_closed_seat_keeps_no_file_open() -> None:
    files = open_files()
    listeners = [bind_listener("127.0.0.1", 0) for _ in range(4)]
    balance = WorkerBalance(listeners, 4)
    seat = balance.take_seat(2)
    for listener in (*seat.listeners, *seat.siblings):
        listener.close()
    assert open_files() == files
    assert {listener.fileno() for listener in (*seat.listeners, *seat.siblings)} == {-1}


# --- under servers -----------------------------------------------------------------------------------------------


def who_router(name: str) -> Router:
    router = Router()

    @router.get("/")
    def who(request: Request) -> Response:
        return Response.text(f"{name} {request.remote_ip} {request.remote_port}")

    return router


@asynccontextmanager
async def two_workers(first: Server, second: Server) -> AsyncIterator[int]:
    """Their port. There is one listener, from which only the first accepts, as if the other never were quick enough."""
    listener = bind_listener("127.0.0.1", 0)
    balance = WorkerBalance([listener], 2)
    seats = [balance.take_seat(number) for number in (1, 2)]
    servers = (first, second)
    for server, seat in zip(servers, seats):
        server.report_count_to(seat.report)
    first.start(seats[0].listeners)
    second.start(seats[1].listeners[1:])
    try:
        yield listener.getsockname()[1]
    finally:
        for server in servers:
            server.begin_drain()
            server.close_listeners()
        for server in servers:
            await server.wait_closed(0.2)
        balance.close()


@contextmanager
def header_wanted(*servers: Server) -> Iterator[None]:
    for server in servers:
        server.expects_proxy_header = lambda _ip: True
    yield


def test_half_of_the_connections_are_the_other_servers_with_their_clients_address() -> None:
    async def test() -> None:
        first, second = Server(who_router("first")), Server(who_router("second"))
        async with asyncio.timeout(30), two_workers(first, second) as port, AsyncExitStack() as stack:
            for count in range(1, 9):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
                writer.write(GET)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                own_ip, own_port = writer.get_extra_info("sockname")
                name = "second" if count % 2 == 0 else "first"
                assert await reader.read(100) == f"{name} {own_ip} {own_port}".encode()
                assert (first.connection_count, second.connection_count) == ((count + 1) // 2, count // 2)

    run(test())


def test_a_connection_behind_a_balancer_counts_before_its_header_is_there() -> None:
    async def test() -> None:
        first, second = Server(who_router("first")), Server(who_router("second"))
        with header_wanted(first, second):
            async with asyncio.timeout(30), two_workers(first, second) as port, AsyncExitStack() as stack:
                streams = []
                for count in range(1, 5):
                    streams.append(await asyncio.open_connection("127.0.0.1", port))
                    stack.callback(streams[-1][1].close)
                    await until(lambda count=count: first.connection_count + second.connection_count == count)
                assert (first.connection_count, second.connection_count) == (2, 2)
                for (reader, writer), name in zip(streams, ("first", "second") * 2):
                    writer.write(b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n" + GET)
                    await reader.readuntil(b"\r\n\r\n")
                    assert await reader.read(100) == f"{name} 203.0.113.7 4711".encode()
                assert (first.connection_count, second.connection_count) == (2, 2)

    run(test())


def test_connections_are_handed_over_before_their_tls_handshake(tmp_path: Path) -> None:
    ca = LocalCa(tmp_path / "ca")
    certificate = ca.issue("localhost")
    context = make_server_context([CertificateFiles(certificate, certificate)])
    trusting = make_client_context(ca.file)

    async def test() -> None:
        first, second = TlsServer(who_router("first"), context), TlsServer(who_router("second"), context)
        async with asyncio.timeout(30), two_workers(first, second) as port, AsyncExitStack() as stack:
            streams = []
            for count in range(1, 7):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
                )
                streams.append((reader, writer))  # asyncio ends a connection that nobody refers to
                stack.callback(writer.transport.abort)
                writer.write(GET)
                await reader.readuntil(b"\r\n\r\n")
                assert (await reader.read(100)).split()[0] == (b"second" if count % 2 == 0 else b"first")
                assert (first.connection_count, second.connection_count) == ((count + 1) // 2, count // 2)

    run(test())
