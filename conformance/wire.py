"""One case on one connection: its bytes sent by a raw socket, the replies read, and what became of the connection.

A reader of replies of its own, deliberately: what is judged here must not be what judges. After the case's replies a
plain GET of /probe follows. Whatever comes before the probe's reply belongs to the case.
"""

import itertools
import re
import socket
from dataclasses import dataclass, field

from conformance.case import BEHIND, HOST, Case

PROBE = b"GET /probe HTTP/1.1\r\n" + HOST + b"\r\n"
PROBE_BODY = b"probe\n"
CONNECT_TIMEOUT_S = 5.0

CLOSED = "×"
SILENT = "…"  # neither a reply nor an end came
NO_HTTP = "no HTTP/1 ×"  # what came is no reply of HTTP/1

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


@dataclass(slots=True)
class Reply:
    """One reply: what the outcome is made of."""

    status: int
    fields: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Validators:
    """A server's own words for the state of /file.txt."""

    etag: str = '"-"'
    modified: str = "-"


@dataclass(frozen=True, slots=True)
class Target:
    """A server that cases are sent to. `patience_s` is how long it may be silent before that counts as an outcome."""

    port: int
    validators: Validators = Validators()
    patience_s: float = 5.0
    has_server_behind: bool = False  # its own replies have no Server field, those from behind do
    piece_bytes: int = 0  # a request leaves in pieces of this size; 0: whole


@dataclass(slots=True)
class _Received:
    """What one connection has given so far."""

    sock: socket.socket
    is_head: bool
    buffer: bytes = b""
    has_ended: bool = False
    replies: list[Reply] = field(default_factory=list)

    def read_reply(self, timeout_s: float) -> bool:
        """Whether one more whole reply is there; False after the end, or after `timeout_s` without a byte."""
        self.sock.settimeout(timeout_s)
        while True:
            taken = _take_reply(self.buffer, is_head=self.is_head, has_ended=self.has_ended)
            if taken is not None:
                reply, self.buffer = taken
                self.replies.append(reply)
                return True
            if self.has_ended:
                return False
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                data = b""
            self.buffer += data
            self.has_ended = not data


def _take_reply(buffer: bytes, *, is_head: bool, has_ended: bool) -> tuple[Reply, bytes] | None:
    """The first reply in the buffer and what follows it; None when it is not whole."""
    end = buffer.find(b"\r\n\r\n")
    line = _STATUS_LINE.match(buffer)
    if end < 0 or line is None:
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")[1:]
    fields = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
    reply, rest = Reply(int(line[1]), fields), buffer[end + 4 :]
    if is_head or reply.status < 200 or reply.status in (204, 304):
        return reply, rest
    if "chunked" in fields.get("transfer-encoding", ""):
        size = rest.find(b"0\r\n\r\n")
        reply.body = rest[:size]
        return (reply, rest[size + 5 :]) if size >= 0 else None
    if "content-length" not in fields:
        reply.body = rest
        return (reply, b"") if has_ended else None
    length = int(fields["content-length"])
    reply.body = rest[:length]
    return (reply, rest[length:]) if len(rest) >= length else None


def run_case(target: Target, case: Case) -> str:
    """The outcome of the case, as a cell of the document (see `Case`); `…` when nothing comes any more."""
    with socket.create_connection(("127.0.0.1", target.port), CONNECT_TIMEOUT_S) as sock:
        received = _Received(sock, case.is_head)
        _send(sock, fill_in(case.wire, target.validators), target.piece_bytes)
        if case.is_cut:
            sock.shutdown(socket.SHUT_WR)
        elif case.then:
            received.read_reply(target.patience_s)
            _send(sock, case.then)
        while len(received.replies) < case.reply_count and received.read_reply(target.patience_s):
            pass
        end = _probe(received, target.patience_s)
        replies = received.replies if end else received.replies[:-1]
        words = _shorten([_status_word(reply, target) for reply in replies]) or (["—"] if end == CLOSED else [])
        if shown := _shown(case, replies):
            words.append(shown)
        return " ".join([*words, end]).rstrip()


def _send(sock: socket.socket, data: bytes, piece_bytes: int = 0) -> None:
    """All of it, or as much as the server takes: an early reply may end it."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size = piece_bytes or max(1, len(data))
    try:
        for at in range(0, len(data), size):
            sock.sendall(data[at : at + size])
    except OSError:
        pass


def _probe(received: _Received, patience_s: float) -> str:
    """What became of the connection; "" means that it goes on."""
    _send(received.sock, PROBE)
    received.is_head = False
    while received.read_reply(patience_s):
        if received.replies[-1].body == PROBE_BODY:
            return ""
    if received.buffer and _STATUS_LINE.match(received.buffer) is None:
        return NO_HTTP
    return CLOSED if received.has_ended else SILENT


def _status_word(reply: Reply, target: Target) -> str:
    is_from_behind = (
        target.has_server_behind and reply.status >= 400 and reply.status != 404 and "server" in reply.fields
    )
    return f"{reply.status}{BEHIND if is_from_behind else ''}"


def _shorten(words: list[str]) -> list[str]:
    """More than four of the same in a row become one word."""
    short: list[str] = []
    for word, group in itertools.groupby(words):
        count = len(list(group))
        short += [f"{count}·{word}"] if count > 4 else [word] * count
    return short


def _shown(case: Case, replies: list[Reply]) -> str:
    """The value of the field that belongs to the outcome, in brackets. A plain 200 needs none."""
    value = replies[-1].fields.get(case.shows.lower()) if case.shows and replies else None
    return f"({value})" if value is not None and (replies[-1].status != 200 or case.is_head) else ""


def fill_in(wire: bytes, validators: Validators) -> bytes:
    """The case's bytes with the server's own validators."""
    return wire.replace(b"{etag}", validators.etag.encode()).replace(b"{modified}", validators.modified.encode())


def read_validators(port: int) -> Validators:
    """The validators of /file.txt on this server."""
    with socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S) as sock:
        received = _Received(sock, is_head=False)
        _send(sock, b"GET /file.txt HTTP/1.1\r\n" + HOST + b"\r\n")
        if not received.read_reply(CONNECT_TIMEOUT_S):
            raise RuntimeError("no reply to GET /file.txt")
        fields = received.replies[0].fields
    return Validators(fields["etag"], fields["last-modified"])
