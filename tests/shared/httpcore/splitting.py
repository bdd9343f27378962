"""Ways to cut bytes up, for tables of wire bytes that must mean the same however they arrive."""

from collections.abc import Iterator


def every_split(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """The bytes whole, cut in two at every offset, and one by one."""
    yield (data,)
    for offset in range(1, len(data)):
        yield data[:offset], data[offset:]
    yield tuple(data[index : index + 1] for index in range(len(data)))
