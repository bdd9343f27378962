"""Accept-Encoding."""

import pytest

from shared.httpcore.headers import Headers
from shared.httpcore.negotiation import accepts_gzip, coding_weights, takes_gzip


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.001", True),
        ("gzip ; q=1.0", True),
        ("gzip;Q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("*;q=0.5", True),
        ("*, gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("gzip;q=2", False),
        ("gzip;q=1.5", False),
        ("gzip;q=0.1234", False),
        ("gzip;q=-1", False),
        ("gzip;q=", False),
        ("gzip q=1", False),
        ("notgzip", False),
        ("gzip;level=9", False),
    ],
)
def test_gzip_is_sent_when_it_is_as_welcome_as_the_plain_bytes(field: str | None, expected: bool) -> None:
    assert accepts_gzip(field) is expected


def test_weights_are_read_and_odd_elements_skipped() -> None:
    assert coding_weights("gzip;q=0.8, Br , ;q=1, *;q=0, gzip;q=0.1") == {"gzip": 0.8, "br": 1.0, "*": 0.0}


def test_all_lines_of_the_field_count() -> None:
    assert takes_gzip(Headers([("Accept-Encoding", "br"), ("accept-encoding", "gzip")]))
    assert not takes_gzip(Headers([("Accept-Encoding", "gzip;q=0.1"), ("Accept-Encoding", "identity")]))
    assert not takes_gzip(Headers())
