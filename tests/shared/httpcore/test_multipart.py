"""Forms with files as bytes: what they mean, at any cut, and what is no form."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from shared.httpcore.errors import HttpError
from shared.httpcore.multipart import (
    MultipartLimits,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    parse_boundary,
)
from tests.shared.httpcore.splitting import every_split

SMALL = MultipartLimits(max_parts=3, max_part_head_bytes=120, max_total_bytes=400)
PLAIN = b'Content-Disposition: form-data; name="a"\r\n\r\n'
FILE = b'Content-Disposition: form-data; name="f"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\n'

Found = list[tuple[str, str | None, bytes]]


def collect(pieces: tuple[bytes, ...], boundary: bytes = b"b", limits: MultipartLimits = SMALL) -> Found:
    """Name, file name and data of each part."""
    parser = MultipartParser(boundary, limits)
    parts: Found = []
    is_open = False
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, PartBegin):
                assert not is_open
                is_open = True
                parts.append((event.name, event.filename, b""))
            elif isinstance(event, PartData):
                assert is_open
                assert event.data
                parts[-1] = (*parts[-1][:2], parts[-1][2] + event.data)
            else:
                assert isinstance(event, PartEnd)
                assert is_open
                is_open = False
    parser.finish()
    return parts


def outcome(pieces: tuple[bytes, ...]) -> Found | tuple[int, str]:
    try:
        return collect(pieces)
    except HttpError as error:
        return error.status, error.message


# name, the body, its parts
FORMS: list[tuple[str, bytes, Found]] = [
    ("one field", b"--b\r\n" + PLAIN + b"v\r\n--b--\r\n", [("a", None, b"v")]),
    ("no line end at the end", b"--b\r\n" + PLAIN + b"v\r\n--b--", [("a", None, b"v")]),
    ("a file", b"--b\r\n" + FILE + b"1\r\n2\r\n\r\n--b--\r\n", [("f", "x.txt", b"1\r\n2\r\n")]),
    ("two", b"--b\r\n" + PLAIN + b"1\r\n--b\r\n" + PLAIN + b"2\r\n--b--", [("a", None, b"1"), ("a", None, b"2")]),
    ("no data", b"--b\r\n" + PLAIN + b"\r\n--b--", [("a", None, b"")]),
    ("no data and no line end of its own", b"--b\r\n" + PLAIN + b"--b--", [("a", None, b"")]),
    ("no parts", b"--b--\r\n", []),
    ("a preamble", b"hello\r\n--b\r\n" + PLAIN + b"v\r\n--b--", [("a", None, b"v")]),
    ("an epilogue", b"--b\r\n" + PLAIN + b"v\r\n--b--\r\nbye\r\n--b\r\n", [("a", None, b"v")]),
    ("padding", b"--b \t\r\n" + PLAIN + b"v\r\n--b-- \r\n", [("a", None, b"v")]),
    ("almost a boundary", b"--b\r\n" + PLAIN + b"\r\n--c\r\n-b\r\n-\r--b\n--b\r\n\r\n--b--",
     [("a", None, b"\r\n--c\r\n-b\r\n-\r--b\n--b\r\n")]),
    ("line ends", b"--b\r\n" + PLAIN + b"\r\r\n\n\r\r\n--b--", [("a", None, b"\r\r\n\n\r")]),
    ("a boundary within a line", b"--b\r\n" + PLAIN + b"x--b\r\n--b--", [("a", None, b"x--b")]),
    ("token parameters", b"--b\r\nContent-Disposition: form-data;name=a;filename=x\r\n\r\nv\r\n--b--",
     [("a", "x", b"v")]),
    ("names in any case", b"--b\r\ncontent-disposition: FORM-DATA; Name=a\r\n\r\nv\r\n--b--", [("a", None, b"v")]),
    ("escapes of browsers", b'--b\r\nContent-Disposition: form-data; name="%22%0d%0A%41"\r\n\r\n\r\n--b--',
     [('"\r\n%41', None, b"")]),
    ("UTF-8", '--b\r\nContent-Disposition: form-data; name="đ"; filename="ế.png"\r\n\r\n\r\n--b--'.encode(),
     [("đ", "ế.png", b"")]),
    ("a backslash is one", b'--b\r\nContent-Disposition: form-data; name="a\\"; filename="\\x"\r\n\r\n\r\n--b--',
     [("a\\", "\\x", b"")]),
    ("no file chosen", b'--b\r\nContent-Disposition: form-data; name="f"; filename=""\r\n\r\n\r\n--b--',
     [("f", "", b"")]),
    ("binary is no encoding", b"--b\r\nContent-Transfer-Encoding: BINARY\r\n" + PLAIN + b"\r\n--b--",
     [("a", None, b"")]),
]  # fmt: skip

# name, the body; status and a part of the message
NO_FORMS: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "ends in the preamble"),
    ("no boundary", b"hello", 400, "ends in the preamble"),
    ("no last boundary", b"--b\r\n" + PLAIN + b"v\r\n", 400, "ends in the data of a part"),
    ("cut in a boundary", b"--b\r\n" + PLAIN + b"v\r\n--b-", 400, "ends in the rest of a boundary's line"),
    ("cut in a head", b"--b\r\nContent-", 400, "ends in the head of a part"),
    ("cut after a head", b"--b\r\n" + PLAIN, 400, "ends in the line end after"),
    ("a bare carriage return at the end", b"--b--\r", 400, "ends in the rest"),
    ("bare LF after a boundary", b"--b\n" + PLAIN + b"v\r\n--b--", 400, "other text on a boundary's line"),
    ("text after a boundary", b"--bc\r\n" + PLAIN + b"v\r\n--b--", 400, "other text on a boundary's line"),
    ("text after the last boundary", b"--b--x\r\n", 400, "other text on a boundary's line"),
    ("one hyphen", b"--b-\r\n", 400, "other text on a boundary's line"),
    ("a lot of padding", b"--b" + b" " * 70 + b"\r\n", 400, "other text on a boundary's line"),
    ("no head", b"--b\r\n\r\nv\r\n--b--", 400, "got 0 Content-Disposition"),
    ("no disposition", b"--b\r\nContent-Type: a/b\r\n\r\nv\r\n--b--", 400, "got 0 Content-Disposition"),
    ("two dispositions", b"--b\r\n" + PLAIN[:-2] + PLAIN + b"v\r\n--b--", 400, "got 2 Content-Disposition"),
    ("no name", b"--b\r\nContent-Disposition: form-data\r\n\r\nv\r\n--b--", 400, "a part without a name"),
    ("two names", b"--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n\r\n--b--", 400, "each once at most"),
    ("another type", b"--b\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--b--", 400, "expected form-data"),
    ("an escaped quote", b'--b\r\nContent-Disposition: form-data; name="a\\"b"\r\n\r\n\r\n--b--', 400,
     "expected form-data"),
    ("filename*", b"--b\r\nContent-Disposition: form-data; name=a; filename*=utf-8''x\r\n\r\n\r\n--b--", 400,
     "filename*"),
    ("not UTF-8", b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\r\n--b--', 400, "not UTF-8"),
    ("a line that is no field", b"--b\r\nhello\r\n" + PLAIN + b"\r\n--b--", 400, "no field"),
    ("a folded line", b"--b\r\nX: a\r\n b\r\n" + PLAIN + b"\r\n--b--", 400, "no field"),
    ("a space before the colon", b"--b\r\nX : a\r\n" + PLAIN + b"\r\n--b--", 400, "no field"),
    ("a bare LF in a head", b"--b\r\nX: a\n" + PLAIN + b"\r\n--b--", 400, "no field"),
    ("an encoding", b"--b\r\nContent-Transfer-Encoding: base64\r\n" + PLAIN + b"\r\n--b--", 400, "Transfer-Encoding"),
    ("a large head", b"--b\r\nX: " + b"a" * 130 + b"\r\n" + PLAIN + b"\r\n--b--", 413, "more than 120 bytes"),
    ("a head without an end", b"--b\r\nX: " + b"a" * 130, 413, "more than 120 bytes"),
    ("many parts", (b"--b\r\n" + PLAIN) * 4 + b"--b--", 413, "more than 3 parts"),
    ("a large body", b"--b\r\n" + PLAIN + b"a" * 400, 413, "more than 400 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("_", "body", "expected"), FORMS, ids=[case[0] for case in FORMS])
def test_a_form_means_the_same_however_it_arrives(_: str, body: bytes, expected: Found) -> None:
    for pieces in every_split(body):
        assert collect(pieces) == expected, pieces


@pytest.mark.parametrize(("_", "body", "status", "words"), NO_FORMS, ids=[case[0] for case in NO_FORMS])
def test_what_is_no_form_is_refused_however_it_arrives(_: str, body: bytes, status: int, words: str) -> None:
    for pieces in every_split(body):
        found = outcome(pieces)
        assert isinstance(found, tuple), pieces
        assert found[0] == status, (pieces, found)
        assert words in found[1], (pieces, found)


def test_a_head_may_be_as_large_as_its_limit_and_no_larger() -> None:
    for size, is_right in ((120, True), (121, False)):
        head = PLAIN[:-2] + b"X: " + b"a" * (size - len(PLAIN[:-4]) - 5)
        assert len(head) == size
        for pieces in every_split(b"--b\r\n" + head + b"\r\n\r\nv\r\n--b--"):
            assert isinstance(outcome(pieces), list) is is_right, (size, pieces)


def test_a_long_preamble_is_refused() -> None:
    with pytest.raises(HttpError, match="no boundary in the first"):
        collect((b"x" * 2000,), limits=MultipartLimits())


def test_data_is_passed_on_at_once_except_for_what_may_be_a_boundary() -> None:
    parser = MultipartParser(b"b")
    parser.feed(b"--b\r\n" + PLAIN)
    assert parser.feed(b"123") == [PartData(b"123")]
    assert parser.feed(b"4\r\n--") == [PartData(b"4")]
    assert parser.feed(b"c\r") == [PartData(b"\r\n--c")]
    assert parser.feed(b"\n--b--") == [PartEnd()]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=b", b"b"),
        ("Multipart/Form-Data;BOUNDARY=b", b"b"),
        ('multipart/form-data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data; boundary=----WebKitFormBoundaryabc; x=y", b"----WebKitFormBoundaryabc"),
        ("multipart/form-data; boundary=" + "a" * 70, b"a" * 70),
    ],
)
def test_a_boundary_is_found(content_type: str, boundary: bytes) -> None:
    assert parse_boundary(content_type) == boundary


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 415),
        ("", 415),
        ("text/plain; boundary=b", 415),
        ("multipart/mixed; boundary=b", 415),
        ("multipart/form-data, boundary=b", 415),
        ('multipart/form-data; boundary="b', 415),
        ("multipart/form-data", 400),
        ('multipart/form-data; boundary=""', 400),
        ('multipart/form-data; boundary="b "', 400),
        ("multipart/form-data; boundary=" + "a" * 71, 400),
        ("multipart/form-data; boundary=a; boundary=b", 400),
        ('multipart/form-data; x="; boundary=a"; boundary=b', 400),
        ("multipart/form-data; boundary=[b]", 400),
    ],
)
def test_what_is_no_boundary_is_refused(content_type: str | None, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        parse_boundary(content_type)
    assert caught.value.status == status


# --- what others write ------------------------------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('"\r\n\\;='), max_size=20
).filter(lambda name: not re.search("%(?:22|0d|0a)", name, re.IGNORECASE))  # fmt: skip
DATA = st.binary(max_size=200) | st.sampled_from([b"\r\n", b"\r\n--", b"\r\n--boundary", b"--boundary--", b"\r"])
FIELDS = st.lists(st.tuples(NAMES, st.none() | NAMES.filter(bool), DATA), max_size=8)


@given(FIELDS, st.lists(st.integers(0, 2000), max_size=10))
@settings(max_examples=300, deadline=None)
def test_what_urllib3_writes_is_read_as_it_was_meant(fields: Found, cuts: list[int]) -> None:
    boundary = "boundary-that-is-in-no-data"
    body, content_type = encode_multipart_formdata(
        [(name, data if filename is None else (filename, data, "a/b")) for name, filename, data in fields], boundary
    )
    offsets = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = tuple(body[start:end] for start, end in pairwise(offsets))
    assert collect(pieces, parse_boundary(content_type), MultipartLimits(max_part_head_bytes=2000)) == fields


@given(st.lists(st.sampled_from([b"--b", b"\r\n", b"--", b"\r", b"-", b" ", PLAIN, FILE, b"x", b"b"]), max_size=30))
@settings(max_examples=500, deadline=None)
def test_bytes_mean_the_same_whole_and_one_by_one(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    whole, bytewise = outcome((body,)), outcome(tuple(bytes([byte]) for byte in body))
    assert whole == bytewise or (isinstance(whole, tuple) and isinstance(bytewise, tuple))
