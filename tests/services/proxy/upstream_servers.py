"""Small real upstreams on raw sockets, as well behaved or as badly as a test wants them.

An `Upstream` serves each connection in a thread. What it does with a request is a function that a test gives it:
`def reply(talk: Talk) -> None`. The default answers 200 with what it got, as JSON.
"""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)


@dataclass
class Received:
    """One request as it came."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]


@dataclass
class Talk:
    """One connection, and the request that is being answered."""

    sock: socket.socket
    upstream: "Upstream"
    request: Received = field(default_factory=lambda: Received("", "", []))
    buffer: bytes = b""
    served: int = 0  # requests answered on this connection before this one

    def send(self, *parts: str | bytes) -> None:
        self.sock.sendall(b"".join(part.encode() if isinstance(part, str) else part for part in parts))

    def reply(self, body: bytes = b"ok", status: str = "200 OK", *fields: str) -> None:
        lines = "".join(f"{line}\r\n" for line in fields)
        self.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n", body)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """The other side gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()

    def wait_end(self) -> bool:
        """True when the other side has ended the connection, False after ten seconds without."""
        self.sock.settimeout(10)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def read_head(self) -> bool:
        """Whether another request's head came; it is in `request`."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return False
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        pairs = [tuple(text.split(": ", 1)) for text in lines]
        self.request = Received(method, target, [(name, value) for name, value in pairs])
        return True

    def read_body(self) -> bytes:
        """The whole body of the request, also kept in `request.body`."""
        length = self.request.get("content-length")
        if self.request.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.read_line(), 16):
                body += self.read_bytes(size + 2)[:-2]
            self.read_line()
        else:
            body = self.read_bytes(int(length or 0))
        self.request.body = body
        return body

    def read_line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_bytes(self, count: int) -> bytes:
        parts, size = [self.buffer], len(self.buffer)
        while size < count:
            parts.append(self.sock.recv(1 << 20))
            if not parts[-1]:
                raise ConnectionError("the body was cut short")
            size += len(parts[-1])
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the body was cut short")
        self.buffer += data


def echo(talk: Talk) -> None:
    """200 with the request as JSON; `served_by` is the upstream's name."""
    request = talk.request
    talk.read_body()
    body = json.dumps(
        {
            "served_by": talk.upstream.name,
            "method": request.method,
            "target": request.target,
            "fields": request.fields,
            "body": request.body.decode("latin-1"),
        }
    ).encode()
    talk.reply(b"" if request.method == "HEAD" else body)


Reply = Callable[[Talk], None]


class Upstream:
    """A server on a port of its own. `requests` are those whose head has come, `connections` counts."""

    def __init__(self, reply: Reply = echo, name: str = "", host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.reply = reply
        self.by_path: dict[str, Reply] = {}
        self.requests: list[Received] = []
        self.connections = 0
        self._socks: set[socket.socket] = set()
        self._listener = socket.create_server((host, port))
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._socks.add(sock)
            threading.Thread(target=self._serve, args=(Talk(sock, self),), daemon=True).start()

    def _serve(self, talk: Talk) -> None:
        with contextlib.suppress(OSError, ValueError):
            while talk.read_head():
                self.requests.append(talk.request)
                path = talk.request.target.partition("?")[0]
                self.by_path.get(path, self.reply)(talk)
                talk.served += 1
                if talk.sock.fileno() < 0:
                    break
        self._socks.discard(talk.sock)
        talk.sock.close()

    def close_connections(self) -> None:
        """Every open connection is closed, as a server does that goes away."""
        for sock in list(self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing listens any more, and every connection is closed."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_connections()
