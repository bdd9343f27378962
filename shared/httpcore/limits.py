"""How much of anything one client may send, and how long it may take. Values only; `net/connection` keeps to them."""

from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * KIB
RECV_BYTES = 64 * KIB  # read at a time; more costs an mmap and a munmap for each call


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server or client. Sizes in bytes, times in seconds, None means no bound."""

    max_request_line_bytes: int = 8 * KIB  # over it: 414
    max_head_bytes: int = 32 * KIB  # request line and fields; over it: 431
    max_field_count: int = 100  # over it: 431
    max_body_bytes: int | None = 1 * MIB  # a collected body; over it: 413
    max_pipelined_bytes: int = 64 * KIB  # read ahead while a request is being handled
    max_output_bytes: int = 64 * KIB  # unsent bytes past which a streaming handler waits
    max_lingering_bytes: int = 2 * MIB  # discarded after an early reply
    head_timeout_s: float = 10.0  # first byte of a head to its end; after it: 408
    body_timeout_s: float = 30.0  # between two reads of a body; after it: 408
    idle_timeout_s: float = 75.0  # between requests
    write_timeout_s: float = 60.0  # unsent output without progress
    linger_timeout_s: float = 5.0
    handshake_timeout_s: float = 10.0  # TLS, from the connection on
    handler_patience_s: float = 60.0  # an async or blocking handler that takes longer is named in the log
    thread_timeout_s: float = 10.0  # a blocking handler that gets no thread for so long is not begun: 503
    max_blocking_handlers: int | None = None  # at a time, a thread each; None: some more than there are processors
    requests_per_turn: int = 16  # pipelined requests answered before others get their turn
    # Deliberate: here None means as many as the system has descriptors for, less some for other things.
    max_connections: int | None = None  # open at the same time; over it: 503 and close
    max_connections_per_client: int | None = None  # from one address; off, since whole sites sit behind one


DEFAULT_LIMITS = Limits()
# What a proxy adds on the way: fields of its own, and a longer path where it rewrites one.
ADDED_FIELDS = 28
ADDED_HEAD_BYTES = 4 * KIB
ADDED_LINE_BYTES = 1 * KIB


def behind_proxy(limits: Limits) -> Limits:
    """The limits of a server behind a proxy of these limits: whatever passes there is not too much here."""
    return replace(
        limits,
        max_request_line_bytes=limits.max_request_line_bytes + ADDED_LINE_BYTES,
        max_head_bytes=limits.max_head_bytes + ADDED_HEAD_BYTES,
        max_field_count=limits.max_field_count + ADDED_FIELDS,
    )
