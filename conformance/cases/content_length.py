"""Content-Length: what is a number, and what two of them mean. Each wrong one has a request hidden in its body."""

from conformance.case import REFUSED, SMUGGLED, Case, get, post

HIDDEN = b"%d" % len(SMUGGLED)
LIST = "equal numbers MAY be taken as one; here: refused"
INVALID = "an invalid length MUST get 400 and close"


def length(name: str, value: bytes, rule: str = INVALID, *also: str) -> Case:
    """A POST with a length that is none, and a body of five octets, with a request behind it."""
    wire = post(b"Content-Length:" + value + b"\r\n", b"hello" + SMUGGLED)
    return Case(name, "9112 §6.3", wire, rule, "400 ×", (*REFUSED, *also))


CASES = (
    Case("`5`, five octets", "9112 §6.2", post(b"Content-Length: 5\r\n", b"hello"), "is read", "200"),
    Case("`0`", "9112 §6.2", post(b"Content-Length: 0\r\n", b""), "no body", "200"),
    Case("`005`", "9110 §8.6", post(b"Content-Length: 005\r\n", b"hello"), "1*DIGIT: zeros are legal", "200", REFUSED),
    Case(
        "`5` with TABs around",
        "9112 §5",
        post(b"Content-Length:\t5\t\r\n", b"hello"),
        "white space is none of it",
        "200",
    ),
    Case("POST without length", "9112 §6.3", post(b"", b""), "no body; 411 MAY be asked for", "200", ("411", "411 ×")),
    Case(
        "GET with a body",
        "9110 §9.3.1",
        get(fields=b"Content-Length: " + HIDDEN + b"\r\n") + SMUGGLED,
        "the body has no meaning, but is no request",
        "200",
        ("400 ×", "413 ×"),
    ),
    Case(
        "GET of a file with a body",
        "9110 §9.3.1",
        get("/file.txt", b"Content-Length: " + HIDDEN + b"\r\n") + SMUGGLED,
        "the body has no meaning, but is no request",
        "200",
        ("400 ×", "413 ×"),
    ),
    Case(
        "refused method with a body",
        "9112 §9.3",
        post(b"Content-Length: " + HIDDEN + b"\r\n", SMUGGLED, "/file.txt"),
        "the body is no request",
        "405",
        ("405 ×",),
    ),
    length("`+5`", b" +5"),
    length("`-5`", b" -5"),
    length("`0x5`", b" 0x5"),
    length("`5.0`", b" 5.0"),
    length("`5e0`", b" 5e0"),
    length("`5 5`", b" 5 5"),
    length("`0_5`", b" 0_5"),
    length("`5;x`", b" 5;x"),
    length('`"5"`', b' "5"'),
    length("empty", b""),
    length("`5` VT", b" 5\x0b"),
    length("`5` NUL", b" 5\x00"),
    length("`５`, a full-width digit", " ５".encode()),
    length("20 digits", b" 18446744073709551621"),
    length("19 zeros and `5`", b" 00000000000000000005", "legal, and no server needs it", "200*"),
    length("`5, 5`", b" 5, 5", LIST, "200 404", "200 ×"),
    length("`5, 6`", b" 5, 6"),
    length("`5,`", b" 5,"),
    length("folded: `Content-Length:` CRLF SP `5`", b"\r\n 5", "MUST get 400, or be unfolded", "200 404"),
    length("twice, `5` and `5`", b" 5\r\nContent-Length: 5", LIST, "200 404", "200 ×"),
    length("twice, `5` and `6`", b" 5\r\nContent-Length: 6"),
    length("twice, `0` and `5`", b" 0\r\nContent-Length: 5"),
    length("twice, in two spellings, `5` and `0`", b" 5\r\ncontent-length: 0"),
    Case(
        "`Content-Length : 5`",
        "9112 §5.1",
        post(b"Content-Length : 5\r\n", b"hello" + SMUGGLED),
        "space before the colon MUST get 400",
        "400 ×",
        REFUSED,
    ),
    Case(
        "`X: a` LF `Content-Length: 5`",
        "9112 §2.2",
        post(b"X: a\nContent-Length: 5\r\n", b"hello"),
        "LF MAY be taken for CRLF; here: refused",
        "400 ×",
        ("200", *REFUSED),
    ),
    Case(
        "`Content_Length: 5`, no body",
        "9110 §5.1",
        post(b"Content_Length: 5\r\n", b""),
        "another field altogether",
        "200",
        REFUSED,
    ),
    Case(
        "body cut short by the client's end",
        "9112 §8",
        post(b"Content-Length: 50\r\n", b"hello"),
        "an incomplete message: 400 MAY be sent, and closed",
        "— ×",
        REFUSED,
        is_cut=True,
    ),
)
