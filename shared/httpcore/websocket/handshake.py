"""How an HTTP exchange turns into a WebSocket (RFC 6455 §4): both ends' checks, as values.

A server asks `accept_handshake` what to reply to a request's fields; a client makes its fields with
`offer_handshake` and reads the reply with `check_reply`. `net.websocket` sends and receives them.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from shared.httpcore.errors import HttpError, ProtocolError
from shared.httpcore.grammar import WRITABLE_NAME
from shared.httpcore.headers import Headers
from shared.httpcore.websocket import deflate
from shared.httpcore.websocket.deflate import Deflate, ExtensionOffer

VERSION = "13"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3

# RFC 6455 §9.1: extension-param = token [ "=" (token | quoted-string) ]; unquoted, the string must be a token
# too.
_TOKEN = WRITABLE_NAME.pattern
_PARAMETER = re.compile(rf'({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?')


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 §4.2.2 item 5.4)."""
    digest = hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def new_key() -> str:
    """A Sec-WebSocket-Key: 16 random bytes in base64 (RFC 6455 §4.1 item 7)."""
    return base64.b64encode(secrets.token_bytes(16)).decode("ascii")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a handshake agreed on. `headers`: the fields of the server's 101 beside `Connection: Upgrade`,
    which the connection writes; empty on the client's side."""

    headers: tuple[tuple[str, str], ...] = ()
    subprotocol: str | None = None
    deflate: Deflate | None = None


def accept_handshake(
    method: str,
    version_minor: int,
    headers: Headers,
    subprotocol: str | None = None,
    *,
    compresses: bool = True,
) -> Agreement:
    """A server's answer to a handshake request; `subprotocol` is agreed on when the client offers it.

    HttpError 426 when the request asks for no WebSocket or for another version of it, 400 when it is
    malformed.
    """
    _check_upgrade(method, version_minor, headers)
    reply = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept_key(_read_key(headers)))]
    # RFC 6455 §4.2.2 item 4: a server that speaks none of the offered subprotocols names none.
    agreed_name = subprotocol if subprotocol in _subprotocols(headers) else None
    if agreed_name is not None:
        reply.append(("Sec-WebSocket-Protocol", agreed_name))
    try:
        offers = parse_extensions(headers)
    except ValueError as error:
        raise HttpError(400, "bad_handshake", str(error)) from None
    agreed = deflate.accept_offer(offers) if compresses else None
    if agreed is not None:
        reply.append(("Sec-WebSocket-Extensions", agreed[1]))
    return Agreement(tuple(reply), agreed_name, agreed[0] if agreed else None)


def _check_upgrade(method: str, version_minor: int, headers: Headers) -> None:
    """RFC 6455 §4.2.1: what must hold before the key is looked at."""
    if "websocket" not in headers.tokens("upgrade") or "upgrade" not in headers.tokens("connection"):
        # RFC 9110 §15.5.22: a 426 names the protocol it wants.
        raise HttpError(426, "upgrade_required", "this address speaks WebSocket only", [("Upgrade", "websocket")])
    if method != "GET" or version_minor != 1:
        raise HttpError(400, "bad_handshake", f"got {method} HTTP/1.{version_minor}, expected GET HTTP/1.1")
    if "transfer-encoding" in headers or (headers.get("content-length") or "").strip("0"):
        # Deliberate: whoever does not expect a body there takes it for the first frames.
        raise HttpError(400, "bad_handshake", "got a handshake with a body, expected none")
    if headers.get_all("sec-websocket-version") != [VERSION]:
        # RFC 6455 §4.4: the reply names the versions this server speaks.
        raise HttpError(
            426,
            "upgrade_required",
            f"expected Sec-WebSocket-Version: {VERSION}",
            [("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)],
        )


def _read_key(headers: Headers) -> str:
    """RFC 6455 §4.2.1 item 5: one key that is 16 bytes in base64."""
    keys = headers.get_all("sec-websocket-key")
    try:
        if len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16:
            return keys[0]
    except (binascii.Error, ValueError):
        pass
    raise HttpError(400, "bad_handshake", "expected one Sec-WebSocket-Key of 16 bytes in base64")


def _subprotocols(headers: Headers) -> list[str]:
    """Subprotocol names are case-sensitive, unlike most lists of tokens."""
    names = ",".join(headers.get_all("sec-websocket-protocol")).split(",")
    return [name.strip(" \t") for name in names if name.strip(" \t")]


def offer_handshake(key: str, subprotocols: Sequence[str] = (), *, compresses: bool = True) -> list[tuple[str, str]]:
    """The fields with which a client asks for a WebSocket, beside Host (RFC 6455 §4.1)."""
    pairs = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", VERSION),
    ]
    if subprotocols:
        pairs.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if compresses:
        pairs.append(("Sec-WebSocket-Extensions", deflate.OFFER))
    return pairs


def check_reply(
    status: int, headers: Headers, key: str, subprotocols: Sequence[str] = (), *, compresses: bool = True
) -> Agreement:
    """A client's reading of the server's answer to its `key` (RFC 6455 §4.1). ProtocolError 502 when it is no yes."""
    if status != 101:
        raise _refused(f"got status {status}, expected 101")
    if headers.tokens("upgrade") != ["websocket"] or "upgrade" not in headers.tokens("connection"):
        raise _refused("the reply does not upgrade to websocket")
    if headers.get_all("sec-websocket-accept") != [accept_key(key)]:
        raise _refused("the reply's Sec-WebSocket-Accept does not answer our key")
    chosen = headers.get_all("sec-websocket-protocol")
    if len(chosen) > 1 or (chosen and chosen[0] not in subprotocols):
        raise _refused(f"the server chose the subprotocol {', '.join(chosen)!r}, which was not offered")
    try:
        extensions = parse_extensions(headers)
        if extensions and not compresses:
            raise ValueError(f"the server chose the extension {extensions[0][0]!r}, none was offered")
        return Agreement((), chosen[0] if chosen else None, deflate.check_reply(extensions))
    except ValueError as error:
        raise _refused(str(error)) from None


def _refused(message: str) -> ProtocolError:
    return ProtocolError(502, "bad_handshake", f"no WebSocket: {message}")


def parse_extensions(headers: Headers) -> list[ExtensionOffer]:
    """The Sec-WebSocket-Extensions of a message, its field lines taken together. ValueError when malformed.

    No value holds a comma or a semicolon, even in quotes, so splitting at them is safe.
    """
    extensions: list[ExtensionOffer] = []
    for element in ",".join(headers.get_all("sec-websocket-extensions")).split(","):
        if element.strip(" \t"):
            (name, value), *parameters = [_parse_parameter(part) for part in element.split(";")]
            if value is not None:
                raise ValueError(f"got {name}={value} in Sec-WebSocket-Extensions, expected an extension's name")
            extensions.append((name, tuple(parameters)))
    return extensions


def _parse_parameter(part: str) -> tuple[str, str | None]:
    found = _PARAMETER.fullmatch(part.strip(" \t"))
    if found is None:
        raise ValueError(f"got {part.strip()[:80]!r} in Sec-WebSocket-Extensions, expected name or name=value")
    return found[1].lower(), found[2] or found[3]
