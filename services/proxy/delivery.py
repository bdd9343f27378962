"""Whether bytes that were sent on a connection reached the other side's kernel, as far as this system can
tell.

Linux counts acknowledged bytes in TCP_INFO. When a connection dies and the count has not moved since before
the request, nobody has read it: the socket was closed before it came, so even a POST may be sent again.
Elsewhere the answer is `UNKNOWN`. The decision is `retries`'.
"""

import socket
import struct
import sys

from services.proxy.retries import Delivery

_TCP_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_ACKNOWLEDGED = struct.Struct("=Q")
_OFFSET = 120  # of tcpi_bytes_acked in struct tcp_info, Linux ≥ 4.1


def acknowledged_bytes(sock: socket.socket) -> int | None:
    """How many bytes the other side's kernel has acknowledged since the connection began; None: can't tell."""
    if _TCP_INFO is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _OFFSET + _ACKNOWLEDGED.size)
    except OSError:
        return None
    return int(_ACKNOWLEDGED.unpack_from(info, _OFFSET)[0]) if len(info) >= _OFFSET + 8 else None


def delivery_since(sock: socket.socket, mark: int | None) -> Delivery:
    """Whether anything arrived after `acknowledged_bytes` gave `mark`. Asked before the socket is closed."""
    now = acknowledged_bytes(sock)
    if mark is None or now is None:
        return Delivery.UNKNOWN
    return Delivery.NONE if now == mark else Delivery.SOME
