"""The body of a reply on its way from upstream to client: small ones collected, others passed on as they come.

Nothing is read from the upstream before the client has taken what was read. Bodies are decoded and, where the client is
told no length, chunked anew, so nothing ambiguous passes; large ones of known length in the clear go by `splice` and
never enter Python. Whole replies that came in one piece never get here (see `answering`).
"""

import errno
from typing import TYPE_CHECKING, Protocol

from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.framing import LAST_CHUNK, BodyDecoder, LengthDecoder, serialize_chunk
from shared.httpcore.net.pipes import Pipe, PipeSpan

if TYPE_CHECKING:
    from services.proxy.answering import Answering

MIN_SPLICED_BYTES = 256 * 1024


class Relay(Protocol):
    """One way of passing a body on. It ends by one call of the forwarding's, in which `stop` is called."""

    def begin(self, data: bytes) -> None:
        """`data` came with the head."""

    def on_data(self, data: bytes) -> None:
        """More of the body."""

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        """The upstream sends no more; not `is_orderly`: it broke off, or took too long."""

    def resume(self) -> None:
        """The client has taken what had been held up."""

    def stop(self) -> None:
        """It is over, however it ended."""


class Collecting:
    """A body of known, small length: one write to the client, and a proper 502 when it is cut short."""

    MAX_BYTES = 16 * 1024  # longer ones cost less when each part goes out at once

    __slots__ = ("_forwarding", "_left", "_parts")

    def __init__(self, forwarding: "Answering", length: int) -> None:
        self._forwarding = forwarding
        self._parts: list[bytes] = []
        self._left = length

    def begin(self, data: bytes) -> None:
        """See Relay."""
        self._parts.append(data)
        self._left -= len(data)

    def on_data(self, data: bytes) -> None:
        """See Relay."""
        left = self._left = self._left - len(data)
        if left < 0:
            data = data[:left]
        self._parts.append(data)
        if left <= 0:
            self._forwarding.send_whole(b"".join(self._parts), is_clean=left == 0)
        else:
            self._forwarding.expect_more()

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        """See Relay."""
        self._forwarding.cut_reply(f"{self._left} bytes were to come; {detail}")

    def resume(self) -> None:
        """See Relay: an earlier reply to the same client is out; nothing of this one is written."""

    def stop(self) -> None:
        """See Relay."""


class Passing:
    """A body that is passed on as it comes, decoded, and chunked anew for a client that is told no length."""

    __slots__ = ("_decoder", "_forwarding", "_is_chunked", "_is_endless", "_rest", "_sent_bytes")

    def __init__(self, forwarding: "Answering", decoder: BodyDecoder, sent_bytes: int = 0) -> None:
        self._forwarding = forwarding
        self._decoder = decoder
        self._is_endless = not isinstance(decoder, LengthDecoder)  # the client is told no length
        self._is_chunked = self._is_endless and forwarding.request.version_minor == 1
        self._rest = b""  # received, not yet enough to decode
        self._sent_bytes = sent_bytes

    def begin(self, data: bytes) -> None:
        """See Relay. The head goes out at once: an event stream has one long before its first event."""
        part = self._decode(data)
        if part is not None:
            forwarding = self._forwarding
            forwarding.client.output.write(forwarding.reply_head(is_endless=self._is_endless))
            self._pass(part)

    def on_data(self, data: bytes) -> None:
        """See Relay."""
        part = self._decode(self._rest + data if self._rest else data)
        if part is not None:
            self._pass(part)

    def _decode(self, data: bytes) -> bytes | None:
        """The body's bytes in `data`; None when they break the rules, and the reply is over."""
        try:
            part, self._rest = self._decoder.feed(data)
        except ProtocolError as error:
            self._forwarding.cut_reply(error.message, self._sent_bytes, is_broken=True)
            return None
        return part

    def _pass(self, part: bytes) -> None:
        decoder, forwarding = self._decoder, self._forwarding
        output = forwarding.client.output
        self._write(part)
        if decoder.is_complete:
            self._end(reuse=not self._rest)
            return
        output.flush()
        if forwarding.connection is None:
            return  # the client is gone, and the exchange with it
        if output.is_empty:
            forwarding.expect_more()
        else:
            forwarding.pause()

    def _write(self, part: bytes) -> None:
        if part:
            self._sent_bytes += len(part)
            self._forwarding.client.output.write(serialize_chunk(part) if self._is_chunked else part)

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        """See Relay."""
        try:
            if not is_orderly:  # RFC 9112 §8: a body that ends with the connection is whole only when that was closed
                raise ConnectionClosed(detail)
            self._decoder.end()
        except ConnectionClosed as error:
            self._forwarding.cut_reply(str(error), self._sent_bytes)
        else:
            self._end(reuse=False)

    def _end(self, *, reuse: bool) -> None:
        if self._is_chunked:
            self._forwarding.client.output.write(LAST_CHUNK)
        self._forwarding.end_reply(self._sent_bytes, reuse=reuse)

    def resume(self) -> None:
        """See Relay."""
        self._forwarding.go_on()

    def stop(self) -> None:
        """See Relay."""


def take_pipe(forwarding: "Answering", length: int) -> Pipe | None:
    """A pipe for a body of this length; None when it is not worth one, must be looked at, or there is none."""
    connection = forwarding.connection
    if length < MIN_SPLICED_BYTES or connection is None or connection.plain_fd is None:
        return None
    return forwarding.pipes.take() if forwarding.client.output.plain_fd is not None else None


class Splicing:
    """A body of known length, from socket to socket through a pipe."""

    __slots__ = ("_forwarding", "_left", "_length", "_pipe")

    def __init__(self, forwarding: "Answering", length: int, pipe: Pipe) -> None:
        self._forwarding = forwarding
        self._length = self._left = length
        self._pipe = pipe

    def begin(self, data: bytes) -> None:
        """See Relay."""
        forwarding = self._forwarding
        connection, output = forwarding.connection, forwarding.client.output
        assert connection is not None
        self._left -= len(data)
        connection.read_by(self._on_readable)
        output.write(forwarding.reply_head(is_endless=False) + data)
        output.flush()
        if forwarding.connection is not None and not output.is_empty:
            forwarding.pause()

    def on_data(self, data: bytes) -> None:
        """Never called: nothing is received while the body is spliced."""
        raise RuntimeError("the body is being spliced")

    def _on_readable(self) -> None:
        self._forwarding.guard(self._move)

    def _move(self) -> None:
        """One pipe full, from the one socket to the other."""
        forwarding, pipe = self._forwarding, self._pipe
        connection = forwarding.connection
        assert connection is not None
        try:
            count = pipe.fill(connection.sock.fileno(), self._left)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno == errno.EINVAL:  # this system does not splice such sockets
                forwarding.pass_rest(self._left, self._length - self._left)
            else:
                self.on_end(f"reading failed: {error}", is_orderly=False)
            return
        if not count:
            self.on_end("the upstream ended the connection", is_orderly=True)
            return
        self._left -= count
        client_fd = forwarding.client.output.plain_fd
        assert client_fd is not None
        try:
            pipe.drain(client_fd)
        except (BlockingIOError, InterruptedError):
            forwarding.pause()
            forwarding.client.output.write_file(PipeSpan(pipe))
            forwarding.client.output.flush()  # which waits, and then `resume` is called
        except OSError:
            forwarding.client.abort()
        else:
            self.resume()

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        """See Relay."""
        self._forwarding.cut_reply(f"{self._left} bytes were to come; {detail}", self._length - self._left)

    def resume(self) -> None:
        """See Relay."""
        if self._left == 0:
            self._forwarding.end_reply(self._length, reuse=True)
        else:
            self._forwarding.go_on()

    def stop(self) -> None:
        """See Relay. The connection is read as any other again."""
        connection = self._forwarding.connection
        if connection is not None:
            connection.read_by(None)
        self._forwarding.pipes.give_back(self._pipe)
