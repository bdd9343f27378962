"""What `/echo` says: the request as the replica saw it, with secrets masked. Pure, but for the WebSocket's loop."""

import base64
import re
from collections.abc import Iterable

from shared.httpcore.message import Request
from shared.httpcore.net.websocket import WebSocket

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MASK = "***"

_SECRET_FIELDS = frozenset({"authorization", "proxy-authorization", "x-weaprous-proof"})
_KEY_FIELD = re.compile(r"x-(?:.+-)?key")  # X-Tracker-Key, X-P2P-Key, X-API-Key, …
_SESSION_COOKIE = re.compile(r"(?<![^;\s])(session\s*=)[^;]*")


def describe_request(request: Request, served_by: str) -> dict[str, object]:
    """The request as a JSON object. A body that isn't UTF-8 is given in base64."""
    try:
        body, encoding = request.body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(request.body).decode("ascii"), "base64"
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query_params,
        "headers": mask_headers(request.headers.items()),
        "body": body,
        "body_encoding": encoding,
        "served_by": served_by,
    }


def mask_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Fields by the name they came with; several lines of one name joined as RFC 9110 §5.3 allows."""
    names: dict[str, str] = {}  # lower case → as received first
    values: dict[str, str] = {}
    for name, value in pairs:
        shown = mask_value(name.lower(), value)
        kept = names.setdefault(name.lower(), name)
        if kept in values:
            separator = "; " if kept.lower() == "cookie" else ", "
            values[kept] += separator + shown
        else:
            values[kept] = shown
    return values


def mask_value(lower_name: str, value: str) -> str:
    """The value, without what would let its reader act as the sender."""
    if lower_name in _SECRET_FIELDS or _KEY_FIELD.fullmatch(lower_name):
        return MASK
    if lower_name == "cookie":
        return _SESSION_COOKIE.sub(rf"\g<1>{MASK}", value)
    return value


async def echo_messages(websocket: WebSocket) -> None:
    """Every message goes back as it came, text as text and bytes as bytes, until the other side closes."""
    async for message in websocket:
        await websocket.send(message)
