"""The event loop of the services: files' callbacks are called as the system reports them; nothing else changes."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from shared.httpcore.net.loop import EventLoop

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


def test_a_file_that_asyncio_holds_is_refused() -> None:
    async def story(loop: EventLoop) -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        fd = server.sockets[0].fileno()
        with pytest.raises(ValueError, match="used by asyncio"):
            loop.add_reader(fd, print)
        server.close()

    assert run(story) == []
