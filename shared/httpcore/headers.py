"""Field names and values as an ordered multi-map, and the one list of hop-by-hop fields. Read `message` next."""

from collections.abc import Iterable, Iterator

# RFC 9110 §7.6.1: fields that concern one connection only; a proxy drops them, and those that Connection names.
HOP_BY_HOP = frozenset(
    {
        "close",  # a connection option that no field may be named like (RFC 9112 §9.6)
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Headers:
    """The field lines of one message in the order received; names are matched without regard to case.

    Immutable. Values are `str`, decoded as ISO-8859-1 so that every octet survives, without surrounding white space.
    """

    __slots__ = ("_by_name", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._by_name: dict[str, list[str]] | None = None

    @classmethod
    def parse(cls, field_lines: bytes) -> "Headers":
        """The fields of `field_lines`, which must have matched `grammar.FIELD_LINES` already."""
        pairs = []
        for line in field_lines.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                pairs.append((name, value.strip(" \t")))
        return cls(pairs)

    def _index(self) -> dict[str, list[str]]:
        if self._by_name is None:
            index: dict[str, list[str]] = {}
            for name, value in self._pairs:
                index.setdefault(name.lower(), []).append(value)
            self._by_name = index
        return self._by_name

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of the field, or `default`."""
        values = self._index().get(name.lower())
        return values[0] if values else default

    def get_all(self, name: str) -> list[str]:
        """Every value of the field in order; an empty list when there is none."""
        return list(self._index().get(name.lower(), ()))

    def tokens(self, name: str) -> list[str]:
        """The elements of a comma-separated field (RFC 9110 §5.6.1), lower case, all its lines taken together."""
        elements = (element.strip(" \t") for value in self.get_all(name) for element in value.split(","))
        return [element.lower() for element in elements if element]

    def items(self) -> list[tuple[str, str]]:
        """All pairs as they were received."""
        return list(self._pairs)

    def has_any(self, lower_names: frozenset[str]) -> bool:
        """Whether there is a field of one of these names, which are in lower case."""
        return not lower_names.isdisjoint(self._index())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"


def without_hop_by_hop(headers: Headers, dropped: frozenset[str] = HOP_BY_HOP) -> list[tuple[str, str]]:
    """The pairs that may be forwarded: neither hop-by-hop nor named by Connection (RFC 9110 §7.6.1).

    `dropped`, in lower case, holds HOP_BY_HOP and what else must not pass.
    """
    if "connection" in headers:
        dropped = dropped.union(headers.tokens("connection"))
    return [(name, value) for name, value in headers.items() if name.lower() not in dropped]
