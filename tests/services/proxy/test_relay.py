"""A reply's body on its way: what the client gets of it however it comes, where it is cut, and who waits for whom.

What real sockets see of it is in `test_forwarding.py` and `test_hostile_wire.py`.
"""

from typing import Any, cast

import pytest

from services.proxy.relay import Collecting, Passing
from shared.httpcore.framing import ChunkedDecoder, CloseDelimitedDecoder, LengthDecoder

HEAD = b"[head]"
CHUNKED = b"5;note=x\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 7\r\nX-More: y\r\n\r\n"


class Output:
    """A client's output that holds back what was written once it is full."""

    def __init__(self) -> None:
        self.written = b""
        self.is_empty = True

    def write(self, data: bytes) -> None:
        self.written += data

    def flush(self) -> None:
        pass


class Reply:
    """The part of `Answering` that a relay uses; `calls` are what the relay had it do."""

    def __init__(self, version_minor: int = 1) -> None:
        self.request = self
        self.client = self
        self.version_minor = version_minor
        self.output = Output()
        self.connection: object | None = object()
        self.calls: list[Any] = []

    def reply_head(self, *, is_endless: bool) -> bytes:
        return HEAD

    def send_whole(self, body: bytes, *, is_clean: bool) -> None:
        self.calls.append(("whole", body, is_clean))

    def cut_reply(self, detail: str, sent_bytes: int = 0, *, is_broken: bool = False) -> None:
        self.calls.append(("cut", sent_bytes, is_broken))

    def end_reply(self, sent_bytes: int, *, reuse: bool) -> None:
        self.calls.append(("end", sent_bytes, reuse))

    def expect_more(self) -> None:
        self.calls.append("expect more")

    def pause(self) -> None:
        self.calls.append("pause")

    def go_on(self) -> None:
        self.calls.append("go on")

    @property
    def last(self) -> Any:
        return self.calls[-1]

    @property
    def body(self) -> bytes:
        """What the client makes of what was written."""
        wire = self.output.written.removeprefix(HEAD)
        if self.version_minor == 0:
            return wire
        decoder = ChunkedDecoder()
        body, rest = decoder.feed(wire)
        assert (decoder.is_complete, rest) == (True, b"")
        return body


def passing(reply: Reply, decoder: Any) -> Passing:
    return Passing(cast(Any, reply), decoder)


@pytest.mark.parametrize("version_minor", [0, 1])
@pytest.mark.parametrize("at", range(len(CHUNKED)))
def test_chunks_are_decoded_and_made_anew_wherever_they_are_split(at: int, version_minor: int) -> None:
    reply = Reply(version_minor)
    relay = passing(reply, ChunkedDecoder())
    relay.begin(CHUNKED[:at])
    relay.on_data(CHUNKED[at:])
    assert reply.body == b"hello world", "trailers and extensions are dropped"
    assert reply.last == ("end", 11, True)


def test_the_head_goes_out_before_the_first_byte_of_the_body() -> None:
    reply = Reply()
    passing(reply, ChunkedDecoder()).begin(b"")
    assert reply.output.written == HEAD
    assert reply.calls == ["expect more"]


def test_bytes_after_the_last_chunk_are_not_passed_and_the_connection_is_not_used_again() -> None:
    reply = Reply()
    passing(reply, ChunkedDecoder()).begin(CHUNKED + b"HTTP/1.1 200 OK\r\n")
    assert reply.body == b"hello world"
    assert reply.last == ("end", 11, False)


@pytest.mark.parametrize("at", range(1, len(CHUNKED)))
def test_a_chunked_body_that_ends_anywhere_is_cut_and_never_ended(at: int) -> None:
    reply = Reply()
    relay = passing(reply, ChunkedDecoder())
    relay.begin(CHUNKED[:at])
    relay.on_end("the upstream ended the connection", is_orderly=True)
    assert reply.last[0] == "cut"
    assert not reply.output.written.endswith(b"0\r\n\r\n")


def test_chunks_that_break_the_rules_cut_the_reply_after_what_was_right() -> None:
    reply = Reply()
    relay = passing(reply, ChunkedDecoder())
    relay.begin(b"5\r\nhello\r\n")
    relay.on_data(b"5 \r\nworld\r\n")
    assert reply.output.written == HEAD + b"5\r\nhello\r\n"
    assert reply.last == ("cut", 5, True)


def test_a_body_until_the_end_is_whole_when_the_end_is_orderly_and_cut_when_it_is_not() -> None:
    whole, cut = Reply(), Reply()
    for reply, is_orderly in ((whole, True), (cut, False)):
        relay = passing(reply, CloseDelimitedDecoder())
        relay.begin(b"to the ")
        relay.on_data(b"end")
        relay.on_end("why", is_orderly=is_orderly)
    assert whole.body == b"to the end"
    assert whole.last == ("end", 10, False)
    assert cut.last == ("cut", 10, False)


def test_the_upstream_waits_while_the_client_does_not_read() -> None:
    reply = Reply()
    relay = passing(reply, LengthDecoder(9))
    reply.output.is_empty = False
    relay.begin(b"123")
    assert reply.calls == ["pause"]
    relay.resume()
    reply.output.is_empty = True
    relay.on_data(b"456")
    assert reply.calls == ["pause", "go on", "expect more"]
    relay.on_data(b"789")
    assert reply.output.written == HEAD + b"123456789", "of a known length: passed as it is"
    assert reply.last == ("end", 9, True)


def test_a_client_that_leaves_while_it_is_written_to_ends_the_matter() -> None:
    reply = Reply()
    relay = passing(reply, LengthDecoder(9))
    reply.connection = None  # what `flush` does when it finds the client gone
    relay.begin(b"123")
    assert reply.calls == []


# --- collected -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, 6))
def test_a_small_body_goes_out_in_one_piece(at: int) -> None:
    reply = Reply()
    relay = Collecting(cast(Any, reply), 6)
    relay.begin(b"abcdef"[:at])
    relay.on_data(b"abcdef"[at:])
    assert reply.calls == [("whole", b"abcdef", True)]
    assert reply.output.written == b""


def test_what_comes_after_a_small_body_is_not_part_of_it() -> None:
    reply = Reply()
    relay = Collecting(cast(Any, reply), 6)
    relay.begin(b"abc")
    relay.on_data(b"defHTTP/1.1")
    assert reply.calls == [("whole", b"abcdef", False)]


def test_a_small_body_that_is_cut_leaves_the_client_a_proper_error() -> None:
    reply = Reply()
    relay = Collecting(cast(Any, reply), 6)
    relay.begin(b"abc")
    relay.on_data(b"d")
    relay.on_end("the upstream ended the connection", is_orderly=True)
    assert reply.output.written == b"", "nothing of it is out"
    assert reply.calls == ["expect more", ("cut", 0, False)]
