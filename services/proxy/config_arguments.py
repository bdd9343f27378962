"""One argument of a directive to its value: times, sizes, addresses, URLs, names.

Errors say what was got and what was expected. `config_directives` says which directive takes which. Read
that next.
"""

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from services.proxy.config_syntax import Position, Word
from services.proxy.reply_fields import UNTOUCHABLE_FIELDS


class ArgumentError(ValueError):
    """An argument that means nothing; `position` is where it stands."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


@dataclass(frozen=True, slots=True)
class PassTarget:
    """What a `proxy_pass` names: `host` and `port`, or a pool when `port` is None and a pool has that name."""

    host: str
    port: int | None
    uri: str | None
    position: Position
    authorization: str | None = field(default=None, repr=False)
    is_tls: bool = False

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.is_tls else "http"

    @property
    def port_or_default(self) -> int:
        """The port, or the scheme's."""
        return self.port or default_port(is_tls=self.is_tls)


def default_port(*, is_tls: bool) -> int:
    """RFC 9110 §4.2.1 and §4.2.2."""
    return 443 if is_tls else 80


_TIME_PARTS = re.compile(r"(?:(\d{1,9})(ms|[smhdwMy]?))")
_TIME = re.compile(r"(?:\d{1,9}(?:ms|[smhdwMy]))*(?:\d{1,9})?")
_TIME_UNITS_S = {
    "ms": 0.001,
    "": 1.0,
    "s": 1.0,
    "m": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "M": 2_592_000.0,
    "y": 31_536_000.0,
}
_SIZE = re.compile(r"(\d{1,15})([kKmMgG]?)")
_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_NAME = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,62})(?:\.[A-Za-z0-9_\-]{1,63})*\.?")
_HOST_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", re.DOTALL)
_PASS = re.compile(r"(https?)://(?:([^@/]*)@)?([^/?#@]*)(/[^?#]*)?", re.DOTALL)
_POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PRINTABLE_PATH = re.compile(r"/[!-~]*")


def did_you_mean(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """` (did you mean "x"?)` when a known word is near, else nothing."""
    from difflib import get_close_matches  # only a mistake needs it

    near = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def refuse(word: Word, expected: str) -> NoReturn:
    """Raises ArgumentError: what was got, what was expected."""
    raise ArgumentError(word.position, f'got "{word.text}", expected {expected}')


def one_of(word: Word, known: tuple[str, ...]) -> str:
    """The word, which must be one of `known`."""
    if word.text not in known:
        refuse(word, f"one of {', '.join(known)}{did_you_mean(word.text, known)}")
    return word.text


def parse_time_s(word: Word) -> float:
    """nginx's time: `500ms`, `5s`, `1m30s`, `2h`, or plain seconds; more than zero."""
    parts = _TIME_PARTS.findall(word.text) if word.text and _TIME.fullmatch(word.text) else []
    seconds = sum(int(number) * _TIME_UNITS_S[unit] for number, unit in parts)
    if not 0 < seconds <= _TIME_UNITS_S["y"]:
        refuse(word, "a time over zero and up to a year, such as 500ms, 5s or 1m30s")
    return float(seconds)


def parse_size_bytes(word: Word) -> int:
    """nginx's size: `1024`, `64k`, `10m`, `1g`."""
    match = _SIZE.fullmatch(word.text)
    if match is None:
        refuse(word, "a size in bytes, such as 1024, 64k, 10m or 1g")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def parse_count(word: Word, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if not (word.text.isascii() and word.text.isdigit() and len(word.text) <= 9 and low <= int(word.text) <= high):
        refuse(word, f"a whole number from {low} to {high}")
    return int(word.text)


def parse_percent(word: Word) -> int:
    """A share from `1%` to `100%`; the sign may be left out."""
    return parse_count(Word(word.text.removesuffix("%"), word.position, word.end), 1, 100)


def parse_network(word: Word) -> IPv4Network | IPv6Network | None:
    """`192.0.2.0/24`, `2001:db8::/32`, one address, or None for `all`."""
    if word.text == "all":
        return None
    try:
        return ipaddress.ip_network(word.text)
    except ValueError:
        refuse(word, "all, an address, or a network such as 192.0.2.0/24 with no bit set behind the mask")


def parse_check_path(word: Word) -> str:
    """A request-target of a health check, or a cookie's path."""
    if not word.text.startswith("/") or not _PRINTABLE_PATH.fullmatch(word.text) or ";" in word.text:
        refuse(word, "a path such as /a/path")
    return word.text


def parse_token(word: Word) -> str:
    """A name in RFC 9110's sense: of a cookie, for one."""
    if not _FIELD_NAME.fullmatch(word.text):
        refuse(word, "a name without spaces, quotes, brackets or any of ,;:=/?@")
    return word.text


def parse_host_port(word: Word) -> tuple[str, int | None]:
    """`name`, `name:80`, `192.0.2.1:80` or `[2001:db8::1]:80`; the brackets of IPv6 are taken off."""
    match = _HOST_PORT.fullmatch(word.text)
    if match is None:
        refuse(word, "HOST:PORT, with an IPv6 address in brackets")
    host, port_text = match[1], match[2]
    if host.startswith("["):
        host = host[1:-1]
        if not _is_ip(host, version=6):
            refuse(word, "an IPv6 address between the brackets")
    elif not _NAME.fullmatch(host) or (host.replace(".", "").isdigit() and not _is_ip(host, version=4)):
        refuse(word, "HOST:PORT, a name or an address with a port")
    if port_text is None:
        return host.lower(), None
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 0 < int(port_text) < 65_536:
        refuse(word, "a port from 1 to 65535 after the colon")
    return host.lower(), int(port_text)


def parse_host_value(word: Word) -> str:
    """What stands in a Host field: as above, but as it is written."""
    parse_host_port(word)
    return word.text


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        return False


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address rather than a name."""
    return _is_ip(text, 4) or _is_ip(text, 6)


def parse_pass_target(word: Word) -> PassTarget:
    """The URL of a `proxy_pass`. What is got is not repeated in messages: it may hold a password."""
    if "$" in word.text:
        raise ArgumentError(word.position, "variables are not supported here, expected http://HOST:PORT or http://POOL")
    match = _PASS.fullmatch(word.text)
    if match is None:
        raise ArgumentError(word.position, "expected http://HOST:PORT, http://HOST:PORT/path/ or http://POOL")
    scheme, credentials, authority, uri = match.groups()
    host, port = parse_host_port(Word(authority, word.position, word.end))
    if uri is not None and not _PRINTABLE_PATH.fullmatch(uri):
        raise ArgumentError(word.position, "the path of the URL holds white space or a character outside ASCII")
    return PassTarget(host, port, uri, word.position, _basic(word, credentials), is_tls=scheme == "https")


def _basic(word: Word, credentials: str | None) -> str | None:
    """RFC 7617 §2: the user's name holds no colon; both are percent-decoded first."""
    if credentials is None:
        return None
    user, _, password = credentials.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    if b":" in unquote_to_bytes(user) or any(octet < 0x20 or octet == 0x7F for octet in pair):
        raise ArgumentError(word.position, "the credentials hold a control character, or a ':' in the user's name")
    return "Basic " + base64.b64encode(pair).decode("ascii")


def parse_host_rule(word: Word) -> str:
    """A `host` block's name in lower case: `*`, `*.example.com`, a name or an address. A port is left off."""
    if word.text == "*":
        return "*"
    wildcard = word.text.startswith("*.")
    host, _ = parse_host_port(Word(word.text[2:] if wildcard else word.text, word.position, word.end))
    if wildcard and is_ip(host):
        refuse(word, 'a name after "*."')
    if ":" in host:
        return f"[{ipaddress.ip_address(host).compressed}]"
    return ("*." if wildcard else "") + host.rstrip(".")


def parse_pool_name(word: Word) -> str:
    """A pool's name: what could also be a host's."""
    if not _POOL_NAME.fullmatch(word.text):
        refuse(word, "a pool's name: up to 63 letters, digits, '_', '-' and '.'")
    return word.text.lower()


def parse_path_prefix(word: Word) -> str:
    """The path of a `location`, as it is after percent-decoding."""
    if word.text in ("~", "~*", "^~"):
        raise ArgumentError(word.position, f"the modifier {word.text} is not supported, expected a path or =")
    if not word.text.startswith("/") or any(ord(char) < 0x20 or ord(char) == 0x7F for char in word.text):
        refuse(word, "a path that begins with '/'")
    return word.text


def parse_field_name(word: Word) -> str:
    """A field's name that may be set: not one that frames the message or the connection."""
    if not _FIELD_NAME.fullmatch(word.text):
        refuse(word, "a field name")
    if word.text.lower() in UNSETTABLE_FIELDS:
        raise ArgumentError(word.position, f"{word.text} is written by the proxy itself and can't be set")
    return word.text


def parse_reply_field_name(word: Word, done: str) -> str:
    """A field's name that may be `done` (added, hidden): not one that frames the reply or the connection."""
    if not _FIELD_NAME.fullmatch(word.text):
        refuse(word, "a field name")
    if word.text.lower() in UNTOUCHABLE_FIELDS:
        message = f"{word.text} frames the reply or concerns one connection, so the proxy writes it itself"
        if word.text.lower() == "x-request-id":
            message = f"{word.text} is written by the proxy itself"
        raise ArgumentError(word.position, f"{message} and it can't be {done}")
    return word.text


UNSETTABLE_FIELDS = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


def parse_status_ranges(word: Word) -> tuple[tuple[int, int], ...]:
    """`200`, `200-399` or `200,204,301-302`."""
    ranges = []
    for item in word.text.split(","):
        match = re.fullmatch(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?", item)
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            refuse(word, "status codes such as 200, 200-399 or 200,204")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    return tuple(ranges)
