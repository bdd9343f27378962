"""From a caller's JSON object to the values of `lease`: the limits of each field and the words of a refusal.

Unknown fields are ignored, so that an old tracker serves a newer peer; null means absent; a wrong type is
refused in words that name the field, what came and what was expected. Knows neither HTTP nor time.
"""

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from services.tracker.lease import (
    DEFAULT_TTL_S,
    META_PORTS,
    LeaseError,
    LeasePatch,
    Registration,
    require_same_api_port,
)
from shared.runtime import setting_values
from shared.runtime.setting_values import is_ip_address, parse_host

T = TypeVar("T")
MIN_TTL_S = 1
MAX_TTL_S = 86_400
MAX_ROLES = 16
MAX_CHANNELS = 64
MAX_LABEL_CHARS = 64
MAX_META_BYTES = 4096
MAX_META_DEPTH = 8
MAX_BATCH_IDS = 1000

_MAX_HOST_CHARS = 253
_CONTROL_OR_SURROGATE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_SHOWN_CHARS = 60


def parse_registration(fields: Mapping[str, Any], caller_ip: str) -> Registration:
    """The registration that `fields` describe. LeaseError names the first mistake."""
    patch = parse_patch(fields)
    if patch.port is None:
        raise LeaseError("port: got nothing, expected an integer 1–65535")
    ip = patch.ip or parse_ip(caller_ip) or caller_ip
    meta = patch.meta or {}
    require_same_api_port(patch.port, meta)
    return Registration(
        peer_id=parse_peer_id(fields.get("peer_id")),
        ip=ip,
        port=patch.port,
        roles=patch.roles or (),
        channels=patch.channels or (),
        meta=meta,
        load=patch.load or 0.0,
        ttl_s=DEFAULT_TTL_S if patch.ttl_s is None else patch.ttl_s,
    )


def parse_patch(fields: Mapping[str, Any]) -> LeasePatch:
    """The changes that `fields` ask for, each optional; an unspecified address (0.0.0.0, ::) is none."""
    beat = parse_heartbeat(fields)
    return LeasePatch(
        ip=_optional(fields, "ip", parse_ip),
        port=_optional(fields, "port", parse_port),
        roles=_optional(fields, "roles", lambda value: _parse_labels("roles", value, MAX_ROLES)),
        channels=_optional(fields, "channels", lambda value: _parse_labels("channels", value, MAX_CHANNELS)),
        meta=_optional(fields, "meta", _parse_meta),
        load=beat.load,
        ttl_s=beat.ttl_s,
    )


def parse_heartbeat(fields: Mapping[str, Any]) -> LeasePatch:
    """Only `ttl` and `load` of `fields`, as a heartbeat carries them."""
    return LeasePatch(load=_optional(fields, "load", _parse_load), ttl_s=_optional(fields, "ttl", _parse_ttl))


def parse_peer_id(value: object, field: str = "peer_id") -> str:
    """A peer id; LeaseError names `field`."""
    try:
        return setting_values.parse_peer_id(value if isinstance(value, str) else "")
    except ValueError as error:
        _refuse(field, value, str(error))


def parse_peer_ids(value: object) -> tuple[str, ...]:
    """The distinct ids of a batch in the order given; LeaseError for a non-id or over 1,000."""
    if not isinstance(value, list):
        _refuse("peers", value, "a list of peer ids")
    if len(value) > MAX_BATCH_IDS:
        raise LeaseError(f"peers: got {len(value)} ids, expected at most {MAX_BATCH_IDS}")
    return tuple(dict.fromkeys(parse_peer_id(item, f"peers[{index}]") for index, item in enumerate(value)))


def parse_ip(value: object) -> str | None:
    """The address or host name in one spelling; None for an unspecified one: it tells others nothing."""
    try:
        if not isinstance(value, str) or len(value) > _MAX_HOST_CHARS:
            raise ValueError("an IP address or a host name")
        host = parse_host(value)
    except ValueError as error:
        _refuse("ip", value, str(error))
    if not is_ip_address(host):
        return host
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return None if address.is_unspecified else str(address)


def parse_port(value: object, field: str = "port") -> int:
    """A TCP port that others can connect to; LeaseError names `field`."""
    if type(value) is not int or not 1 <= value <= 65_535:
        _refuse(field, value, "an integer 1–65535")
    return value


def parse_label(value: object, field: str) -> str:
    """The name of a role or a channel; LeaseError names `field`."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_LABEL_CHARS or _CONTROL_OR_SURROGATE.search(value):
        _refuse(field, value, f"a string of 1–{MAX_LABEL_CHARS} printable characters")
    return value


def _optional(fields: Mapping[str, Any], name: str, parse: Callable[[object], T]) -> T | None:
    value = fields.get(name)
    return None if value is None else parse(value)


def _parse_labels(field: str, value: object, max_count: int) -> tuple[str, ...]:
    if not isinstance(value, list):
        _refuse(field, value, "a list of strings")
    if len(value) > max_count:
        raise LeaseError(f"{field}: got {len(value)} items, expected at most {max_count}")
    return tuple(dict.fromkeys(parse_label(item, f"{field}[{index}]") for index, item in enumerate(value)))


def _parse_load(value: object) -> float:
    number = _parse_number("load", value, "a finite number >= 0")
    if number < 0 or math.isinf(number):
        _refuse("load", value, "a finite number >= 0")
    return float(number) + 0.0  # -0.0 becomes 0.0


def _parse_ttl(value: object) -> float:
    """The TTL granted: the number asked for, moved into its range."""
    number = _parse_number("ttl", value, f"a number of seconds, {MIN_TTL_S}–{MAX_TTL_S}")
    return min(max(number, MIN_TTL_S), MAX_TTL_S)


def _parse_number(field: str, value: object, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(_as_float(value)):
        _refuse(field, value, expected)
    return value if isinstance(value, float) or abs(value) <= 2**53 else _as_float(value)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf


def _parse_meta(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse("meta", value, "a JSON object")
    if not _is_shallow(value, MAX_META_DEPTH):
        raise LeaseError(f"meta: got more than {MAX_META_DEPTH} levels of nesting, expected at most that")
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except ValueError:  # NaN or Infinity, a lone surrogate, an integer too long to write
        raise LeaseError("meta: got a number or a text that JSON can't carry, expected plain JSON") from None
    if size > MAX_META_BYTES:
        raise LeaseError(f"meta: got {size} bytes as JSON, expected at most {MAX_META_BYTES}")
    for name in META_PORTS:
        if value.get(name) is not None:
            parse_port(value[name], f"meta.{name}")
    return value


def _is_shallow(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in items)


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    raise LeaseError(f"{field}: got {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    """A bounded, printable picture of what a caller sent."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "an integer of more than 77 digits"
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…"
