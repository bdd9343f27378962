"""Which rule takes a request: by Host, then by the longest path prefix. Pure: values in, values out.

Owns the normal form of a path and nginx's rule for `proxy_pass` with a path. Built once from a
`ProxyConfig` and only read afterwards; `gateway` holds the table that is in force.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from services.proxy.config_values import HostConfig, LocationConfig, ProxyConfig
from services.proxy.reply_fields import NO_FIELDS, ReplyFields
from services.proxy.templates import host_name

LOOPBACK_NAMES = ("127.0.0.1", "[::1]")  # what `host "localhost"` also means


class BadPathError(ValueError):
    """The path has no normal form: it climbs above the root or holds a NUL."""


@dataclass(frozen=True, slots=True)
class Route:
    """The rule that takes a request. `rule_name` is the host name that matched, as the file has it."""

    rule_name: str
    host: HostConfig
    location: LocationConfig
    normal_path: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No rule takes the request: no host of that name (421), or no location for that path (404)."""

    is_host_known: bool


@dataclass(frozen=True, slots=True)
class SlashRedirect:
    """The path is a location's without its last slash; nginx answers 301 to the path with it, and the location's
    `fields`.
    """

    location: str
    fields: ReplyFields = field(default=NO_FIELDS, compare=False)


Decision = Route | NoRoute | SlashRedirect


class RouteTable:
    """The hosts of one configuration, found in a time that does not grow with their number."""

    def __init__(self, config: ProxyConfig) -> None:
        self._exact: dict[str, tuple[str, _Locations]] = {}
        self._wildcard: dict[str, tuple[str, _Locations]] = {}
        self._rest: tuple[str, _Locations] | None = None
        for host in config.hosts:
            locations = _Locations(host)
            for name in host.names:
                self._add(name, locations)
        if (localhost := self._exact.get("localhost")) is not None:
            for name in LOOPBACK_NAMES:
                self._exact.setdefault(name, localhost)

    def _add(self, name: str, locations: "_Locations") -> None:
        if name == "*":
            self._rest = name, locations
        elif name.startswith("*."):
            self._wildcard[name[2:]] = name, locations
        else:
            self._exact[name] = name, locations

    def find(self, host: str, raw_path: str) -> Decision:
        """The rule for a Host value (lower case, perhaps with a port, "" for none) and a path as received.

        BadPathError when the path has no normal form.
        """
        found = self.find_host(host)
        return NoRoute(is_host_known=False) if found is None else _find_in(*found, normalize_path(raw_path))

    def find_normal(self, host: str, path: str) -> Decision:
        """As `find`, for a path in normal form."""
        found = self.find_host(host)
        return NoRoute(is_host_known=False) if found is None else _find_in(*found, path)

    def find_host(self, host: str) -> "tuple[str, _Locations] | None":
        """The rule for a Host value: the exact name, else the longest wildcard, else `*`."""
        name = host_name(host).rstrip(".")
        if (exact := self._exact.get(name)) is not None:
            return exact
        if self._wildcard:
            suffix = name
            while "." in suffix:
                suffix = suffix.partition(".")[2]
                if (wildcard := self._wildcard.get(suffix)) is not None:
                    return wildcard
        return self._rest


def _find_in(name: str, locations: "_Locations", path: str) -> Decision:
    location = locations.find(path)
    if location is None:
        return NoRoute(is_host_known=True)
    if location.prefix == path + "/" and not location.is_exact:
        # Never the path as received: `//api` would become a Location that names another host.
        return SlashRedirect(escape_path(location.prefix), location.features.reply_fields)
    return Route(name, locations.host, location, path)


class _Locations:
    """The locations of one host: exact ones by path, the others by the longest prefix, however many."""

    __slots__ = ("_around", "_exact", "_prefixes", "_redirects", "host")

    def __init__(self, host: HostConfig) -> None:
        self.host = host
        self._exact = {location.prefix: location for location in host.locations if location.is_exact}
        prefixes = [location for location in host.locations if not location.is_exact]
        prefixes.sort(key=lambda location: location.prefix)
        self._prefixes = [location.prefix for location in prefixes]
        self._around = [(), *_nestings(prefixes)]
        self._redirects = {
            location.prefix[:-1]: location
            for location in prefixes
            if len(location.prefix) > 1 and location.prefix[-1] == "/" and location.answer is None
        }

    def find(self, path: str) -> LocationConfig | None:
        """The location for a normal path. For one that lacks just the last slash, the location with it."""
        if self._exact and (exact := self._exact.get(path)) is not None:
            return exact
        found = self._longest(path)
        if (slashed := self._redirects.get(path)) is not None and (found is None or found.prefix != path):
            return slashed
        return found

    def _longest(self, path: str) -> LocationConfig | None:
        # Whatever sorts between a prefix of the path and the path has that prefix too. So the last one that does not
        # sort behind the path is either the longest of its prefixes or stands within that one.
        for location in self._around[bisect_right(self._prefixes, path)]:
            if path.startswith(location.prefix):
                return location
        return None


def _nestings(ordered: Iterable[LocationConfig]) -> Iterator[tuple[LocationConfig, ...]]:
    """For each location, sorted by prefix: itself and those that it stands within, from the longest prefix on."""
    around: tuple[LocationConfig, ...] = ()
    for location in ordered:
        while around and not location.prefix.startswith(around[0].prefix):
            around = around[1:]
        around = location, *around
        yield around


def normalize_path(raw_path: str) -> str:
    """The path percent-decoded, its dot segments resolved and its slashes merged, as nginx matches locations.

    Octets that are not UTF-8 stay, as surrogates. BadPathError when it climbs above the root or holds a NUL.
    """
    if "%" not in raw_path and "//" not in raw_path and "/." not in raw_path:
        return raw_path
    path = unquote_to_bytes(raw_path).decode("utf-8", "surrogateescape")
    if "\x00" in path:
        raise BadPathError("the path holds a NUL")
    return tidy_path(path)


def tidy_path(path: str) -> str:
    """A decoded path with its dot segments resolved and its slashes merged. BadPathError when it climbs too far."""
    segments = path.split("/")
    normal = list(_resolve_dots(segments[1:]))
    if segments[-1] in ("", ".", ".."):
        normal.append("")
    return "/" + "/".join(normal)


def _resolve_dots(segments: Iterable[str]) -> list[str]:
    resolved: list[str] = []
    for segment in segments:
        if segment == "..":
            if not resolved:
                raise BadPathError("the path climbs above the root")
            resolved.pop()
        elif segment not in ("", "."):
            resolved.append(segment)
    return resolved


def upstream_target(target: str, query: str, route: Route) -> str:
    """The request-target for the upstream: as it came, or with the location's part replaced by
    `proxy_pass`'s path.

    `target` is the client's, `query` its part after the `?`. nginx's rule: with a path in `proxy_pass`, the
    normal form of the path is used, escaped again; without one the target passes untouched.
    """
    location = route.location
    if location.uri is None:
        return target
    rest = "" if location.is_exact else route.normal_path[len(location.prefix) :]
    path = location.uri + escape_path(rest)
    return f"{path}?{query}" if "?" in target else path


def escape_path(path: str) -> str:
    """A decoded path as it is sent: what RFC 3986 §3.3 allows stays, the rest is percent-encoded."""
    return quote(path, safe="/!$&'()*+,;=:@-._~", errors="surrogateescape")
