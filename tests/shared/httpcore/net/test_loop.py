"""The event loop of the services: files' callbacks are called as the system reports them; nothing else changes."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from shared.httpcore.net.loop import MAX_EVENTS, EventLoop

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this loop needs epoll")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    with one, other:
        yield one, other


def run(story: Callable[[EventLoop], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """Runs the story in a loop of its own; what the loop's exception handler was told."""
    told: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, EventLoop)
        loop.set_exception_handler(lambda _, context: told.append(context))
        runner.run(story(loop))
    return told


def test_a_reader_is_called_with_its_arguments_until_it_is_removed(pair: Pair) -> None:
    calls = []

    async def story(loop: EventLoop) -> None:
        loop.add_reader(pair[0].fileno(), calls.append, "first")
        pair[1].send(b"x")
        await asyncio.sleep(0.01)
        assert calls[:2] == ["first", "first"], "again and again, while nobody reads"
        loop.add_reader(pair[0], calls.append, "second")
        calls.clear()
        await asyncio.sleep(0.01)
        assert set(calls) == {"second"}
        assert loop.remove_reader(pair[0]) is True
        assert loop.remove_reader(pair[0]) is False
        calls.clear()
        await asyncio.sleep(0.01)
        assert calls == []

    assert run(story) == []


def test_reader_and_writer_of_one_file_come_and_go_by_themselves(pair: Pair) -> None:
    calls: list[str] = []

    async def story(loop: EventLoop) -> None:
        loop.add_writer(pair[0], calls.append, "w")
        await asyncio.sleep(0.01)
        assert set(calls) == {"w"}
        loop.add_reader(pair[0], calls.append, "r")
        pair[1].send(b"x")
        await asyncio.sleep(0.01)
        assert set(calls) == {"r", "w"}
        loop.remove_writer(pair[0])
        calls.clear()
        await asyncio.sleep(0.01)
        assert set(calls) == {"r"}

    assert run(story) == []


def test_an_end_is_told_to_the_reader_and_a_failure_to_both(pair: Pair) -> None:
    calls: list[str] = []

    async def story(loop: EventLoop) -> None:
        loop.add_reader(pair[0], calls.append, "r")
        pair[1].close()
        await asyncio.sleep(0.01)
        assert "r" in calls
        loop.add_writer(pair[0], calls.append, "w")
        calls.clear()
        await asyncio.sleep(0.01)
        assert set(calls) == {"r", "w"}

    assert run(story) == []


def test_a_callback_that_raises_is_told_and_stops_no_other(pair: Pair) -> None:
    calls: list[str] = []

    def fail() -> None:
        raise ValueError("on purpose")

    def note() -> None:
        calls.append(pair[1].recv(10).decode())

    async def story(loop: EventLoop) -> None:
        loop.add_reader(pair[0], fail)
        loop.add_reader(pair[1], note)
        pair[0].send(b"a")
        pair[1].send(b"b")
        while not calls:
            await asyncio.sleep(0)
        loop.remove_reader(pair[0])

    told = run(story)
    assert calls == ["a"]
    assert {str(context["exception"]) for context in told} == {"on purpose"}


def test_an_event_of_a_closed_file_does_not_reach_the_next_one_of_its_number() -> None:
    """Two files are ready in one turn; the first callback closes the second's file and its number is used again."""
    calls: list[str] = []

    async def story(loop: EventLoop) -> None:
        pipes = [os.pipe(), os.pipe()]
        fresh: list[int] = []

        def first(at: int) -> None:
            for pipe in pipes:
                loop.remove_reader(pipe[0])
            os.close(pipes[1 - at][0])
            reading, writing = os.pipe()
            assert reading == pipes[1 - at][0]
            fresh.extend((reading, writing))
            loop.add_reader(reading, calls.append, "spurious")

        for at, pipe in enumerate(pipes):
            loop.add_reader(pipe[0], first, at)
            os.write(pipe[1], b"x")
        await asyncio.sleep(0.02)
        assert calls == []
        os.write(fresh[1], b"x")
        await asyncio.sleep(0.02)
        assert "spurious" in calls, "its own events do reach it"
        for fd in {*pipes[0], *pipes[1], *fresh}:
            loop.remove_reader(fd)
            os.close(fd)

    assert run(story) == []


def test_a_file_closed_before_its_reader_was_removed_is_no_error(pair: Pair) -> None:
    async def story(loop: EventLoop) -> None:
        fd = pair[0].fileno()
        loop.add_reader(fd, print)
        pair[0].close()
        assert loop.remove_reader(fd) is True

    assert run(story) == []


def test_asyncios_own_sockets_streams_and_signals_work_beside_them(pair: Pair) -> None:
    calls: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def story(loop: EventLoop) -> None:
        loop.add_reader(pair[0], calls.append, "r")
        loop.add_signal_handler(signal.SIGUSR1, calls.append, "signal")
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"through asyncio\n")
        assert await reader.read() == b"through asyncio\n"
        writer.close()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        loop.add_reader(sock, calls.append, "after sock_connect")
        sock.send(b"x\n")
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(0.05)
        assert {"signal", "after sock_connect"} <= set(calls)
        assert "r" not in calls
        loop.remove_reader(sock)
        sock.close()
        server.close()

    assert run(story) == []


def test_a_callback_wakes_a_task_in_the_same_turn_and_timers_fire_while_files_are_busy(pair: Pair) -> None:
    async def story(loop: EventLoop) -> None:
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        loop.add_reader(pair[0], wake)
        pair[1].send(b"x")
        await asyncio.wait_for(woken, 5)
        await asyncio.sleep(0.01)  # the reader goes on firing

    assert run(story) == []


@pytest.mark.parametrize("is_ours_before", [True, False], ids=["from ours to asyncio's", "from asyncio's to ours"])
def test_a_number_that_changes_hands_within_a_turn_takes_no_event_along(is_ours_before: bool) -> None:
    """As above, between a callback of ours and a transport or `sock_*` of asyncio."""
    calls: list[str] = []

    async def story(loop: EventLoop) -> None:
        ours = (loop.add_reader, loop.remove_reader)
        asyncios = (loop._add_reader, loop._remove_reader)
        before, after = (ours, asyncios) if is_ours_before else (asyncios, ours)
        changing, changer = os.pipe(), os.pipe()
        fresh: list[int] = []

        def change_hands() -> None:
            loop.remove_reader(changer[0])
            before[1](changing[0])
            os.close(changing[0])
            fresh.extend(os.pipe())
            assert fresh[0] == changing[0]
            after[0](fresh[0], calls.append, "spurious")

        loop.add_reader(changer[0], change_hands)
        before[0](changing[0], calls.append, "of the first")
        # The first to be written to is the first that epoll reports.
        for pipe in (changer, changing) if is_ours_before else (changing, changer):
            os.write(pipe[1], b"x")
        await asyncio.sleep(0.02)
        assert calls == []
        os.write(fresh[1], b"x")
        await asyncio.sleep(0.02)
        assert "spurious" in calls, "its own events do reach it"
        after[1](fresh[0])
        for fd in {*changing, *changer, *fresh}:
            os.close(fd)

    assert run(story) == []


@pytest.mark.parametrize("number", [1, 64, 200])
def test_calls_put_off_come_after_the_turn_s_files_in_their_order_and_one_failure_stops_none(number: int) -> None:
    calls: list[str] = []

    async def story(loop: EventLoop) -> None:
        pairs = [socket.socketpair() for _ in range(3)]

        def fail() -> None:
            raise ValueError("on purpose")

        def ready(at: int) -> None:
            loop.remove_reader(pairs[at][0])
            calls.append("ready")
            loop.call_soon(calls.append, "soon")
            if at == 0:
                loop.call_at_turn_end(fail)
            for _ in range(number):
                loop.call_at_turn_end(lambda: calls.append(f"end {at}"))

        for at, (one, other) in enumerate(pairs):
            loop.add_reader(one, ready, at)
            other.send(b"x")
        loop.call_at_turn_end(lambda: calls.append("at once"))
        assert calls == ["at once"]
        await asyncio.sleep(0.02)
        for each in pairs:
            for sock in each:
                sock.close()

    told = run(story)
    assert [str(context["exception"]) for context in told] == ["on purpose"]
    assert [calls.count(f"end {at}") for at in range(3)] == [number] * 3
    assert calls.index("soon") > max(index for index, call in enumerate(calls) if call.startswith("end"))
    if number == 1:
        assert calls[1:4] == ["ready"] * 3, "all files first"


def test_a_stray_cancellation_in_a_callback_is_told_and_ends_nothing(pair: Pair) -> None:
    async def story(loop: EventLoop) -> None:
        def fail() -> None:
            loop.remove_reader(pair[0])
            raise asyncio.CancelledError

        loop.add_reader(pair[0], fail)
        pair[1].send(b"x")
        await asyncio.sleep(0.02)

    (context,) = run(story)
    assert isinstance(context["exception"], asyncio.CancelledError)


def test_what_ends_the_process_passes(pair: Pair) -> None:
    async def story(loop: EventLoop) -> None:
        loop.add_reader(pair[0], sys.exit, 3)
        pair[1].send(b"x")
        await asyncio.sleep(5)

    with pytest.raises(SystemExit):
        run(story)


def test_more_files_than_one_turn_takes_are_all_served_and_hold_up_no_timer() -> None:
    async def story(loop: EventLoop) -> None:
        pairs = [socket.socketpair() for _ in range(MAX_EVENTS // 2 + 200)]
        seen: set[int] = set()
        for at, (one, other) in enumerate(pairs):
            for index, sock in enumerate((one, other)):
                loop.add_reader(sock, seen.add, 2 * at + index)
                sock.send(b"x")
        ticks = 0
        while len(seen) < 2 * len(pairs):
            await asyncio.sleep(0.001)
            ticks += 1
        assert ticks < 100, "a turn or two are enough"
        for sock in (sock for each in pairs for sock in each):
            loop.remove_reader(sock)
            sock.close()

    assert run(story) == []


def test_threads_processes_and_pipes_wake_the_loop() -> None:
    async def story(loop: EventLoop) -> None:
        woken = asyncio.Event()
        threading.Timer(0.01, lambda: loop.call_soon_threadsafe(woken.set)).start()
        await asyncio.wait_for(woken.wait(), 20)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 20) == 7
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input()[::-1])", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(b"abc\n"), 20)
        assert (out, process.returncode) == (b"cba\n", 0)
        reading, writing = os.pipe()
        reader = asyncio.StreamReader()
        with os.fdopen(reading) as file:
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
            os.write(writing, b"by pipe")
            os.close(writing)
            assert await asyncio.wait_for(reader.read(), 20) == b"by pipe"
            transport.close()
            await asyncio.sleep(0)

    assert run(story) == []


def test_a_cancelled_sock_call_leaves_the_file_to_a_reader_of_ours(pair: Pair) -> None:
    calls: list[str] = []

    async def story(loop: EventLoop) -> None:
        waiting = loop.create_task(loop.sock_recv(pair[0], 10))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        loop.add_reader(pair[0], calls.append, "r")
        pair[1].send(b"x")
        await asyncio.sleep(0.01)
        assert calls
        assert loop.remove_reader(pair[0]) is True
        assert await asyncio.wait_for(loop.sock_recv(pair[0], 10), 20) == b"x"

    assert run(story) == []


def test_a_loop_that_is_closed_with_files_in_it_lets_them_go(pair: Pair) -> None:
    loop = EventLoop()
    loop.add_reader(pair[0], print)
    loop.add_writer(pair[1], print)
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert loop.remove_reader(pair[0]) is False
    pair[0].send(b"x")
    assert pair[1].recv(1) == b"x"


@pytest.mark.parametrize("make", [EventLoop, asyncio.SelectorEventLoop], ids=["ours", "asyncio's"])
def test_what_readers_and_writers_hear_is_what_asyncios_loop_says(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """One story of what may befall a socket, told by both loops in the same words."""

    async def story() -> list[object]:
        loop = asyncio.get_running_loop()
        told: list[object] = []
        one, other = socket.socketpair()
        calls: set[str] = set()

        async def hear(what: str) -> None:
            calls.clear()
            await asyncio.sleep(0.01)
            told.append((what, sorted(calls)))

        loop.add_reader(one, calls.add, "r")
        loop.add_writer(one, calls.add, "w")
        await hear("writable")
        other.send(b"x")
        await hear("readable and writable")
        loop.remove_writer(one)
        await hear("readable")
        loop.add_reader(one, calls.add, "r2")
        await hear("another reader")
        told.append(loop.remove_reader(one))
        told.append(loop.remove_reader(one))
        told.append(loop.remove_writer(one))
        await hear("nobody listens")
        other.shutdown(socket.SHUT_WR)
        one.recv(10)
        loop.add_reader(one, calls.add, "r")
        await hear("the end")
        loop.remove_reader(one)
        loop.add_writer(one, calls.add, "w")
        other.close()
        await hear("the other side is closed, writer")
        loop.add_reader(one, calls.add, "r")
        await hear("the other side is closed, both")
        loop.remove_reader(one)
        loop.remove_writer(one)
        one.close()
        return told

    with asyncio.Runner(loop_factory=make) as runner:
        assert runner.run(story()) == [
            ("writable", ["w"]),
            ("readable and writable", ["r", "w"]),
            ("readable", ["r"]),
            ("another reader", ["r2"]),
            True,
            False,
            False,
            ("nobody listens", []),
            ("the end", ["r"]),
            ("the other side is closed, writer", ["w"]),
            ("the other side is closed, both", ["r", "w"]),
        ]


def test_a_file_that_asyncio_holds_is_refused() -> None:
    async def story(loop: EventLoop) -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        fd = server.sockets[0].fileno()
        with pytest.raises(ValueError, match="used by asyncio"):
            loop.add_reader(fd, print)
        server.close()

    assert run(story) == []
