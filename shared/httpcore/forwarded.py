"""The Forwarded field (RFC 7239): read whole or not at all, and written. Values in, values out.

Whom to believe is not decided here: a proxy's rules of trust are its own.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from shared.httpcore.grammar import WRITABLE_NAME

# §4: forwarded-pair = token "=" ( token / quoted-string ). RFC 9110 §5.6.4: quoted-string.
_PAIR = re.compile(
    rf"({WRITABLE_NAME.pattern})="
    rf'(?:({WRITABLE_NAME.pattern})|"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+)")'
)
# What stands between pairs. Deliberate: white space around ";" is let pass, as many proxies write it.
_GAP = re.compile(r"[ \t]*+(?:[;,][ \t;,]*+|\Z)")
_MAX_ADDRESS = 45  # characters: IPv6 with its last part written as IPv4
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# §6: node = nodename [ ":" node-port ]
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::(?:([0-9]{1,5})|_[A-Za-z0-9._-]++))?")


@dataclass(frozen=True, slots=True)
class ForwardedElement:
    """What one proxy said: unquoted, each None when not said. Parameters that RFC 7239 does not name are left out."""

    for_: str | None = None
    by: str | None = None
    host: str | None = None
    proto: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """An address in its shortest form, IPv4 in IPv6 as IPv4, and its port; 0 when not known."""

    address: str
    port: int = 0


def parse_forwarded(value: str) -> tuple[ForwardedElement, ...] | None:
    """The elements in order, nearest proxy last; None when anything is malformed or said twice by one proxy.

    All or nothing: half of a field says nothing about who stands where.
    """
    elements: list[ForwardedElement] = []
    pairs: dict[str, str] = {}
    at = 0
    while at < len(value):
        if (pair := _PAIR.match(value, at)) is not None:
            name, at = pair[1].lower(), pair.end()
            if name in pairs:  # §4: each parameter at most once an element
                return None
            pairs[name] = pair[2] if pair[2] is not None else _QUOTED_PAIR.sub(r"\1", pair[3])
        gap = _GAP.match(value, at)
        if gap is None:
            return None
        at = gap.end()
        if "," in gap[0] and pairs:
            elements.append(_element(pairs))
            pairs = {}
    if pairs:
        elements.append(_element(pairs))
    return tuple(elements)


def _element(pairs: dict[str, str]) -> ForwardedElement:
    return ForwardedElement(pairs.get("for"), pairs.get("by"), pairs.get("host"), pairs.get("proto"))


def serialize_forwarded(element: ForwardedElement) -> str:
    """One element. ValueError when it says nothing, or holds what no quoted-string may."""
    pairs = (("by", element.by), ("for", element.for_), ("host", element.host), ("proto", element.proto))
    said = [f"{name}={_quote(value)}" for name, value in pairs if value is not None]
    if not said:
        raise ValueError("an element of Forwarded must say something")
    return ";".join(said)


def _quote(value: str) -> str:
    """A token as it is; anything else, an address with a colon above all, in quotes (RFC 9110 §5.6.4)."""
    if WRITABLE_NAME.fullmatch(value):
        return value
    if any((char < " " and char != "\t") or char == "\x7f" or char > "\xff" for char in value):
        raise ValueError(f"got {value!r}, which no quoted-string can hold")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parse_node(text: str) -> Node | None:
    """The address that a node names; None for `unknown`, obfuscated and malformed ones (§6)."""
    found = _NODE.fullmatch(text)
    if found is None:
        return None
    address = canonical_address(found[1] or found[2])
    port = int(found[3] or 0)
    if address is None or port > 65_535 or (found[1] is not None and ":" not in found[1]):
        return None
    return Node(address, port)


def serialize_node(node: Node) -> str:
    """`192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]` or with a port: what `parse_node` reads."""
    host = f"[{node.address}]" if ":" in node.address else node.address
    return f"{host}:{node.port}" if node.port else host


def canonical_address(text: str) -> str | None:
    """The shortest form of an IP address, so that equal ones are equal texts; None when it is none.

    IPv4 mapped into IPv6 (`::ffff:192.0.2.1`, as dual-stack sockets name IPv4 clients) is IPv4.
    """
    return _canonical(text) if len(text) <= _MAX_ADDRESS else None


@lru_cache(maxsize=4096)  # the same clients and hops come again
def _canonical(text: str) -> str | None:
    if "%" in text:  # a zone means something on one machine only
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
