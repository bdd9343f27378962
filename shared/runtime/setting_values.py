"""From the text of a flag or variable to its value. Pure; `settings` says which flag was wrong.

A parser takes the text and returns the value, or raises ValueError whose message completes "expected …".
"""

import re
import socket
from collections.abc import Callable
from pathlib import Path

Parser = Callable[[str], object]

_TRUE = frozenset({"on", "true", "yes", "1"})
_FALSE = frozenset({"off", "false", "no", "0"})
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
# RFC 1123 §2.1. Deliberate: underscores too, because Compose puts them into names.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?")
_AUTHORITY = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
_PEER_ID = re.compile(r"[A-Za-z0-9_-]{1,63}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535


def parse_port(text: str) -> int:
    """A TCP port to listen on; 0 lets the system choose one."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MAX_PORT):
        raise ValueError("a port 0–65535")
    return int(text)


def parse_int_between(low: int, high: int) -> Callable[[str], int]:
    """A parser for a whole number of that range, both ends included."""

    def parse_int(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number {low}–{high}")
        return int(text)

    return parse_int


def parse_duration_between(low_s: float, high_s: float) -> Callable[[str], float]:
    """A parser for seconds (`2`, `1.5`), or a number with its unit (`500ms`, `10s`, `3m`, `12h`, `1d`)."""

    def parse_duration(text: str) -> float:
        match = _DURATION.fullmatch(text)
        seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else -1.0
        if match is None or not low_s <= seconds <= high_s:
            raise ValueError(f"seconds from {low_s:g} to {high_s:g}, or a number with ms, s, m, h or d")
        return seconds

    return parse_duration


parse_duration_s = parse_duration_between(0, 86_400)


def parse_choice(*choices: str) -> Callable[[str], str]:
    """A parser for one of these words."""

    def parse_word(text: str) -> str:
        if text not in choices:
            raise ValueError(" | ".join(choices))
        return text

    return parse_word


def parse_on_off(text: str) -> bool:
    """`on` or `off`; also true/false, yes/no, 1/0, which Compose files are full of."""
    word = text.lower()
    if word not in _TRUE and word not in _FALSE:
        raise ValueError("on | off")
    return word in _TRUE


def parse_path(text: str) -> Path:
    """A path as it was written; whether anything is there is for its reader to say."""
    if not text or "\x00" in text:
        raise ValueError("a path")
    return Path(text)


def is_ip_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address, without brackets or zone."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def parse_host(text: str) -> str:
    """An IP address (IPv6 also in brackets) or a host name, in lower case and without brackets."""
    host = text.lower()
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if is_ip_address(bare):
        return bare
    # WHATWG URL §3.5: a name whose last label is a number is a mistyped address ("10.0.0.256").
    if not _HOST_NAME.fullmatch(host) or host.rstrip(".").rsplit(".", 1)[-1].isdigit():
        raise ValueError("an IP address or a host name")
    return host


def parse_peer_id(text: str) -> str:
    """The id of a peer."""
    if not _PEER_ID.fullmatch(text):
        raise ValueError("1–63 characters of A–Z a–z 0–9 _ -")
    return text


def parse_base_url(text: str) -> str:
    """The address of a service, `http://host:port` with an optional path; without the slash at its end."""
    expected = "an address like http://127.0.0.1:9000"
    match = _AUTHORITY.match(text)
    if match is None or not _BASE_PATH.fullmatch(text, match.end()):
        raise ValueError(expected)
    try:
        authority = _join_authority(match)
    except ValueError:
        raise ValueError(expected) from None
    return f"{match[1].lower()}://{authority}{text[match.end() :].rstrip('/')}"


def parse_origin(text: str) -> str:
    """One origin as browsers write it (RFC 6454 §6.1): lower case, default port left out, no path."""
    expected = "an origin like https://chat.example"
    match = _AUTHORITY.fullmatch(text.removesuffix("/"))
    if match is None:
        raise ValueError(expected)
    try:
        authority = _join_authority(match)
    except ValueError:
        raise ValueError(expected) from None
    return f"{match[1].lower()}://{authority}"


def parse_cors_origin(text: str) -> str:
    """`*`, or one or more origins with commas between them; joined by commas again."""
    if text == "*":
        return text
    try:
        return ",".join(parse_origin(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("* or an origin like https://chat.example, several with commas between") from None


def _join_authority(match: re.Match[str]) -> str:
    """`host` or `host:port` of a match of `_AUTHORITY`, without a default port. May raise ValueError."""
    host = parse_host(match[2])
    shown = f"[{host}]" if ":" in host else host
    if match[3] is None or int(match[3]) == _DEFAULT_PORTS[match[1].lower()]:
        return shown
    if not 1 <= int(match[3]) <= MAX_PORT:
        raise ValueError("a port 1–65535")
    return f"{shown}:{int(match[3])}"
