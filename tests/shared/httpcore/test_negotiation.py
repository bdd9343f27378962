"""Accept-Encoding and Accept-Language."""

import pytest

from shared.httpcore.headers import Headers
from shared.httpcore.negotiation import (
    accepts_gzip,
    choose_language,
    coding_weights,
    preferred_language,
    takes_gzip,
)


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


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, "en"),
        ("", "en"),
        ("vi", "vi"),
        ("VI", "vi"),
        ("vi-VN", "vi"),
        ("vi-Latn-VN", "vi"),
        ("vi-VN,vi;q=0.9,en-US;q=0.8,en;q=0.7", "vi"),
        ("en-US,en;q=0.9,vi;q=0.8", "en"),
        ("fr-FR,fr;q=0.9,vi;q=0.2", "vi"),
        ("fr-FR,fr;q=0.9,vi;q=0.2,en;q=0.1", "vi"),
        ("en;q=0.5, vi;q=0.5", "en"),
        ("vi;q=0.5, en;q=0.5", "vi"),
        ("en;q=0.1, vi ; q=0.2", "vi"),
        ("en-GB;q=0.3, vi;q=0.5, en;q=0.8", "en"),
        ("*", "en"),
        ("vi, *", "vi"),
        ("en;q=0.5, *", "vi"),
        ("vi;q=0.5, *", "en"),
        ("*;q=0.5, vi;q=0.5", "vi"),
        ("en;q=0, *", "vi"),
        ("en;q=0, *;q=0.1", "vi"),
        ("*, en;q=0", "vi"),
        ("vi;q=0, en;q=0.001", "en"),
        ("en-US, en;q=0, vi;q=0.1", "vi"),
        ("en-US;q=0, vi;q=0", "en"),
        ("vi-VN;q=0, *;q=0.5, en;q=0.1", "vi"),
        ("fr", "en"),
        ("fr, *;q=0", "en"),
        ("vi;q=0, en;q=0", "en"),
        ("vietnamese", "en"),
        ("vi_VN", "en"),
        ("vi;q=2, en;q=0.1", "en"),
        ("vi;q=0.1234", "en"),
        ("vi q=1", "en"),
        (",,vi,,", "vi"),
        ("vi;q=0.1, vi;q=1, en;q=0.5", "en"),
    ],
)
def test_the_language_is_the_one_liked_best(field: str | None, expected: str) -> None:
    assert choose_language(field, ("en", "vi")) == expected


def test_who_takes_none_of_the_languages_gets_the_first() -> None:
    assert choose_language("fr, de;q=0.5", ("vi", "en")) == "vi"
    assert choose_language("*", ("vi", "en")) == "vi"


def test_all_lines_of_accept_language_count() -> None:
    assert (
        preferred_language(Headers([("Accept-Language", "en;q=0.5"), ("accept-language", "vi")]), ("en", "vi")) == "vi"
    )
    assert preferred_language(Headers(), ("en", "vi")) == "en"
