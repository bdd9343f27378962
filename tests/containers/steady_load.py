"""Load that goes on while a test does something to the stack: every kind of client, every failure with its cause.

Owns `SteadyLoad`: threads that ask one request after the other, on sockets of their own. What is asked for is told
apart by a token, so a reply that belongs to another request counts as a failure, too.
"""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 90.0  # more than the proxy waits for an upstream, so that it is the proxy who says what is wrong
LARGE_EVERY = 20  # so many requests with a small body come between two with a large one
LARGE_BYTES = {"POST": 200_000, "PUT": 50_000}  # the proxy keeps up to 64 KiB, so as to send it to another


class Kind(NamedTuple):
    """How a client asks: with which method, and whether it keeps its connection."""

    method: str
    is_kept: bool

    def __str__(self) -> str:
        return f"{self.method} on {'a kept' if self.is_kept else 'a fresh'} connection"


EVERY_KIND = tuple(Kind(method, is_kept) for method in ("GET", "POST") for is_kept in (True, False))
IDEMPOTENT_KINDS = tuple(Kind(method, is_kept) for method in ("GET", "PUT") for is_kept in (True, False))


class Fault(NamedTuple):
    """A request that didn't get its reply, and why."""

    kind: Kind
    cause: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.cause}"


class SteadyLoad:
    """Requests to /echo from the start of the block to its end; afterwards `faults` and `answers` are complete.

    `per_kind` clients of each kind ask at the same time, each with a pause of `pause_s` between two requests.
    """

    def __init__(
        self, url: str, kinds: Sequence[Kind] = EVERY_KIND, *, per_kind: int = 2, pause_s: float = 0.02
    ) -> None:
        self.faults: list[Fault] = []
        self.answers: Counter[Kind] = Counter()
        self.last_asked_at: dict[str, float] = {}  # replica → when the last request that it answered was begun
        self.first_answered_at: dict[str, float] = {}  # replica → when its first answer came
        self._host = urlsplit(url).netloc
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._numbers = itertools.count(1)
        self._clients = [threading.Thread(target=self._ask_on, args=(kind,)) for kind in kinds for _ in range(per_kind)]

    def __enter__(self) -> "SteadyLoad":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        for client in self._clients:
            client.join()

    @property
    def answered(self) -> int:
        """How many requests got their reply so far."""
        return self.answers.total()

    def _ask_on(self, kind: Kind) -> None:
        connection = self._connection()
        while not self._is_over.wait(self._pause_s):
            try:
                self._ask(connection, kind, next(self._numbers))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.faults.append(Fault(kind, f"{type(error).__name__}: {error}"))
                connection.close()
            else:
                self.answers[kind] += 1
            if not kind.is_kept:
                connection.close()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)

    def _ask(self, connection: http.client.HTTPConnection, kind: Kind, number: int) -> None:
        token = f"token-{number}"
        body = None
        if kind.method != "GET":
            body = token + "." * (LARGE_BYTES[kind.method] if number % LARGE_EVERY == 0 else 0)
        asked_at = time.monotonic()
        connection.request(kind.method, f"/echo?token={token}", body)
        reply = connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise ValueError(f"status {reply.status}: {text[:300]!r}")
        said = json.loads(text)
        if (said["method"], said["query"], said["body"]) != (kind.method, {"token": [token]}, body or ""):
            raise ValueError(f"the reply to another request than {token}: {text[:300]!r}")
        replica = said["served_by"]
        self.last_asked_at[replica] = max(asked_at, self.last_asked_at.get(replica, 0.0))
        self.first_answered_at.setdefault(replica, time.monotonic())
