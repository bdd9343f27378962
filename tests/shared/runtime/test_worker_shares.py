"""Which worker serves which connection, by real processes: even shares, and nobody lost whatever becomes of a worker.

What a worker has is counted by the sockets that it holds.
"""

import json
import os
import re
import signal
import socket
import sys
import threading
from collections import Counter
from contextlib import ExitStack, closing, suppress

import psutil
import pytest
from websockets.sync.client import connect as connect_websocket

from shared.runtime.worker_balance import MAX_WAITING
from tests.processes import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets of other processes can be counted on Linux")

TINY = "tests.shared.runtime.tiny_service"


class Crew:
    """A service with workers, none of which has a connection yet."""

    def __init__(self, service, workers):
        self.service = service
        self.address = ("127.0.0.1", service.port)
        wait_until(lambda: len(self.pids) == workers, why="all workers to listen")
        wait_until(lambda: not any(self.counts().values()), why="those who looked whether it is up to be gone")

    @property
    def pids(self):
        """Worker number → pid, of those that have begun to listen last."""
        lines = re.findall(r"tiny/(\d) listening .*\bpid=(\d+)", self.service.output)
        return {int(number): int(pid) for number, pid in lines}

    def counts(self):
        """Worker number → how many connections it has."""
        return {number: count_connections(pid, self.service.port) for number, pid in self.pids.items()}

    def wait_counts(self, total):
        """The connections of each worker, lowest first, once there are so many in all."""
        wait_until(lambda: sum(self.counts().values()) == total, why=f"{total} connections to be accepted")
        return sorted(self.counts().values())

    def connect(self):
        return socket.create_connection(self.address, timeout=30)

    def open(self, stack, count):
        """So many connections, one after the other, that ask for nothing yet."""
        return [stack.enter_context(closing(self.connect())) for _ in range(count)]


def count_connections(pid, port):
    with suppress(psutil.NoSuchProcess):
        connections = psutil.Process(pid).net_connections(kind="tcp")
        return sum(each.laddr.port == port and each.status != psutil.CONN_LISTEN for each in connections)
    return 0


def ask(connection, target="/pid"):
    """The body of the reply; ConnectionError when there is none. The connection stays open."""
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and len(body) == int(length[1]):
            return body
        part = connection.recv(65536)
        if not part:
            raise ConnectionResetError("the connection ended without a reply")
        data += part


def who_has(connection):
    """The number of the worker that serves this connection."""
    return json.loads(ask(connection))["worker"]


def count_handed_over(connection):
    """How many connections the worker that serves this one has given to others."""
    metrics = ask(connection, "/metrics").decode()
    return int(re.search(r'^weaprous_connections_handed_over_total{worker="\d"} (\d+)$', metrics, re.MULTILINE)[1])


@pytest.fixture
def crew_of(start_service):
    def start(workers, *flags):
        return Crew(start_service(TINY, "--workers", str(workers), *flags), workers)

    return start


# --- even shares -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_a_burst_of_connections_is_split_evenly(crew_of, workers):
    crew = crew_of(workers)
    with ExitStack() as stack:
        connections = crew.open(stack, 64)
        fewest, *_, most = crew.wait_counts(64)
        assert most - fewest <= 2
        split = Counter(who_has(connection) for connection in connections)
        assert split == crew.counts()


def greet_by_get(crew, stack):
    (connection,) = crew.open(stack, 1)
    ask(connection)


def greet_by_websocket(crew, stack):
    websocket = stack.enter_context(connect_websocket(f"ws://127.0.0.1:{crew.service.port}/ws"))
    websocket.send("hello")
    assert websocket.recv(timeout=20) == "hello"


@pytest.mark.parametrize("greet", [greet_by_get, greet_by_websocket])
def test_a_few_connections_that_last_are_split_evenly(crew_of, greet):
    crew = crew_of(2)
    with ExitStack() as stack:
        for count in range(1, 9):
            greet(crew, stack)
            assert crew.wait_counts(count) == [count // 2, count - count // 2]


def test_what_closings_made_uneven_arrivals_make_good(crew_of):
    crew = crew_of(2)
    with ExitStack() as stack:
        connections = crew.open(stack, 20)
        owners = {connection: who_has(connection) for connection in connections}
        for connection in [each for each, owner in owners.items() if owner == 1][:8]:
            connection.close()
        assert crew.wait_counts(12) == [2, 10]
        late = crew.open(stack, 8)
        assert [who_has(connection) for connection in late] == [1] * 8
        assert crew.counts() == {1: 10, 2: 10}


def test_nothing_stays_open_after_many_were_handed_over(crew_of):
    crew = crew_of(2)
    processes = [psutil.Process(pid) for pid in (crew.service.pid, *crew.pids.values())]
    with ExitStack() as lasting:
        connections = {who_has(connection): connection for connection in crew.open(lasting, 2)}
        before = [process.num_fds() for process in processes]
        for _ in range(10):
            with ExitStack() as stack:
                for connection in crew.open(stack, 40):
                    ask(connection)
            crew.wait_counts(2)
        assert all(count_handed_over(connections[worker]) > 10 for worker in (1, 2))
        wait_until(lambda: [process.num_fds() for process in processes] == before, why="as many open files as before")


# --- workers that hang, die or go away ---------------------------------------------------------------------------


@pytest.fixture
def held(request):
    """Holds a process until the test is over, or it is killed."""

    def hold(pid):
        process = psutil.Process(pid)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, why="the worker to stop")
        request.addfinalizer(lambda: release(pid))

    return hold


def release(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def leave_none_to_the_first(crew, stack):
    """One of ten connections, which the second of two workers has, so that the first is to get what comes next."""
    owners = {connection: who_has(connection) for connection in crew.open(stack, 20)}
    for connection in [each for each, owner in owners.items() if owner == 1]:
        connection.close()
    assert crew.wait_counts(10) == [0, 10]
    return next(each for each, owner in owners.items() if owner == 2)


def test_what_a_held_worker_was_given_or_did_not_accept_the_others_serve(crew_of, held):
    crew = crew_of(2)
    with ExitStack() as stack:
        of_the_second = leave_none_to_the_first(crew, stack)
        given_before = count_handed_over(of_the_second)
        before = crew.pids
        held(before[1])
        assert {who_has(connection) for connection in crew.open(stack, 40)} == {2}
        given = count_handed_over(of_the_second)
        assert given > given_before
        assert {who_has(connection) for connection in crew.open(stack, 40)} == {2}
        assert count_handed_over(of_the_second) == given, "it gives nothing to a worker that was found held"
        release(before[1])
        wait_until(lambda: who_has(*crew.open(stack, 1)) == 1, why="the first to serve again", interval_s=0)
        assert crew.pids == before
        assert {who_has(connection) for connection in crew.open(stack, 30)} == {1}, "it has the fewest by far"


def test_a_held_worker_is_given_only_so_much(crew_of, held):
    crew = crew_of(2)
    with ExitStack() as stack:
        held(crew.pids[1])
        connections = crew.open(stack, 4 * MAX_WAITING)
        assert Counter(who_has(connection) for connection in connections) == {2: 4 * MAX_WAITING}
        assert crew.wait_counts(4 * MAX_WAITING) == [0, 4 * MAX_WAITING]
        assert 0 < count_handed_over(connections[0]) <= MAX_WAITING


def test_what_was_given_to_a_worker_that_is_killed_the_others_serve(crew_of, held):
    crew = crew_of(2)
    with ExitStack() as stack:
        leave_none_to_the_first(crew, stack)
        before = crew.pids
        held(before[1])
        connections = crew.open(stack, 40)
        os.kill(before[1], signal.SIGKILL)
        late = crew.open(stack, 40)
        answers = [json.loads(ask(connection)) for connection in connections + late]
        assert before[1] not in [answer["pid"] for answer in answers]
        wait_until(lambda: crew.pids[1] != before[1], why="the worker to be started again")


def test_a_kill_among_arrivals_costs_only_what_the_worker_had_opened(crew_of):
    crew = crew_of(2)
    with ExitStack() as stack:
        connections = []
        is_enough, is_killed = threading.Event(), threading.Event()

        def arrive():
            while not is_killed.is_set() or len(connections) < 400:
                connections.extend(crew.open(stack, 1))
                if len(connections) == 100:
                    is_enough.set()

        client = threading.Thread(target=arrive)
        client.start()
        try:
            assert is_enough.wait(30)
            victim = crew.pids[1]
            os.kill(victim, signal.SIGSTOP)  # so that what it has can be counted
            wait_until(lambda: psutil.Process(victim).status() == psutil.STATUS_STOPPED, why="the worker to stop")
            had = count_connections(victim, crew.service.port)
            os.kill(victim, signal.SIGKILL)
        finally:
            is_killed.set()
            client.join(60)
        lost = sum(not is_answered(connection) for connection in connections)
        assert 0 < had < len(connections)
        assert lost <= had
        wait_until(lambda: crew.pids[1] != victim, why="the worker to be started again")
        wait_until(lambda: who_has(*crew.open(stack, 1)) == 1, why="the new worker to serve", interval_s=0)


def is_answered(connection):
    try:
        return bool(ask(connection))
    except ConnectionError:
        return False


def test_a_worker_that_goes_alone_gives_what_it_still_accepts_to_the_others(crew_of):
    crew = crew_of(2, "--drain-s", "20")
    leaving = crew.pids[1]
    os.kill(leaving, signal.SIGTERM)
    wait_until(lambda: "tiny/1 draining" in crew.service.output, why="the worker to drain")
    with ExitStack() as stack:
        answers = [json.loads(ask(connection)) for connection in crew.open(stack, 40)]
        assert leaving not in [answer["pid"] for answer in answers]


def test_all_that_come_while_all_workers_drain_are_served(crew_of):
    crew = crew_of(2, "--drain-s", "20")
    with ExitStack() as stack:
        crew.service.send_signal(signal.SIGTERM)
        wait_until(lambda: crew.service.output.count("said drain") == 2, why="both to drain")
        assert all(map(is_answered, crew.open(stack, 40)))
    assert crew.service.wait() == 0
