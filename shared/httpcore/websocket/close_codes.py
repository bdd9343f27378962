"""The numbers a close frame may carry, the payload they travel in, and the error that leads to one.

Source: RFC 6455 §7.4 and the IANA registry it founded. Who sends which code when is `protocol`'s business.
"""

from enum import IntEnum

MAX_REASON_BYTES = 123  # a control frame holds 125 bytes (RFC 6455 §5.5), two of them are the code


class CloseCode(IntEnum):
    """The codes this package sends or reports by name."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005  # reported, never sent: the close frame was empty
    ABNORMAL = 1006  # reported, never sent: the connection ended without a close frame
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011


CLEAN_CODES = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})


class WebSocketError(Exception):
    """The peer broke a rule: the connection is to be failed with `code` and `reason` (RFC 6455 §7.1.7)."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{int(code)} {reason}")
        self.code = code
        self.reason = reason


def is_sendable(code: int) -> bool:
    """True when a close frame may carry `code`.

    RFC 6455 §7.4.1: 1004 is reserved, 1005, 1006 and 1015 are for reports only; 1012 to 1014 were registered
    later. RFC 6455 §7.4.2: 1016 to 2999 belong to future revisions; 3000 to 4999 to libraries and
    applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def serialize_close(code: int, reason: str = "") -> bytes:
    """The payload of a close frame; NO_STATUS gives the empty one. ValueError for a code that may not be
    sent.

    A reason over 123 bytes of UTF-8 is cut at a character.
    """
    if code == CloseCode.NO_STATUS:
        return b""
    if not is_sendable(code):
        raise ValueError(f"got close code {code}, expected 1000–1003, 1007–1014 or 3000–4999")
    cut = reason.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")
    return code.to_bytes(2, "big") + cut.encode()


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and reason of a received close frame; (NO_STATUS, "") for an empty one.

    WebSocketError 1002 for half a code or one that may not be sent, 1007 for a reason that is not UTF-8.
    """
    if not payload:
        return CloseCode.NO_STATUS, ""
    # RFC 6455 §5.5.1: if there is a body, its first two bytes are the code.
    if len(payload) == 1:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "close frame with 1 byte, expected none or at least 2")
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable(code):
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"close code {code} is reserved")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(CloseCode.INVALID_DATA, "close reason is not UTF-8") from None
