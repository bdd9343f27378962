"""Field lines: what a name and a value may hold, and where a line ends."""

from conformance.case import REFUSED, REFUSED_OR_OPEN, Case, get

SINGLE_LF = "LF MAY be taken for CRLF; here: refused"


def refused(name: str, section: str, field_line: bytes, rule: str, *also: str) -> Case:
    """A field line that is refused with 400."""
    return Case(name, section, get(fields=field_line), rule, "400 ×", (*REFUSED_OR_OPEN, *also))


def taken(name: str, section: str, field_line: bytes, rule: str) -> Case:
    """A field line that is right."""
    return Case(name, section, get(fields=field_line), rule, "200")


CASES = (
    taken("`X:` empty", "9110 §5.5", b"X:\r\n", "a value may be empty"),
    taken("`X:` with spaces and TABs around", "9112 §5", b"X: \t a \t \r\n", "white space around is none of it"),
    taken("octet E9 in a value", "9110 §5.5", b"X: caf\xe9\r\n", "obs-text, data without meaning"),
    taken("every character a name may have", "9110 §5.6.2", b"!#$%&'*+-.^_`|~09AZaz: x\r\n", "a token"),
    taken("the same field three times", "9110 §5.3", b"Accept: a/b\r\nAccept: c/d\r\nAccept: e/f\r\n", "a list"),
    refused("`X : a`", "9112 §5.1", b"X : a\r\n", "space before the colon MUST get 400"),
    refused("`X` TAB `: a`", "9112 §5.1", b"X\t: a\r\n", "white space before the colon MUST get 400"),
    refused("`X Y: a`", "9110 §5.6.2", b"X Y: a\r\n", "a name is a token"),
    refused("`X(Y): a`", "9110 §5.6.2", b"X(Y): a\r\n", "a name is a token"),
    refused('`X"Y: a`', "9110 §5.6.2", b'X"Y: a\r\n', "a name is a token"),
    refused("octet E9 in a name", "9110 §5.6.2", b"X\xe9: a\r\n", "a name is a token"),
    refused("NUL in a name", "9110 §5.6.2", b"X\x00Y: a\r\n", "a name is a token"),
    refused("`: a`, no name", "9110 §5.1", b": a\r\n", "a name has at least one character"),
    refused("`X`, no colon", "9112 §5", b"X\r\n", "a field line has a colon"),
    Case(
        "white space before the first field",
        "9112 §2.2",
        b"GET /hello HTTP/1.1\r\n X: a\r\nHost: a.example\r\n\r\n",
        "MUST be refused, or the lines dropped",
        "400 ×",
        ("200", *REFUSED),
    ),
    refused("a folded line (obs-fold)", "9112 §5.2", b"X: a\r\n b\r\n", "MUST get 400, or be unfolded", "200"),
    refused("a folded line by TAB", "9112 §5.2", b"X: a\r\n\tb\r\n", "MUST get 400, or be unfolded", "200"),
    refused("a folded empty line", "9112 §5.2", b"X: a\r\n \r\nY: b\r\n", "MUST get 400, or be unfolded", "200"),
    refused("NUL in a value", "9110 §5.5", b"X: a\x00b\r\n", "MUST be refused, or replaced by a space", "200"),
    refused("CR in a value", "9110 §5.5", b"X: a\rb\r\n", "MUST be refused, or replaced by a space", "200"),
    refused("CR before CRLF", "9110 §5.5", b"X: a\r\r\n", "MUST be refused, or replaced by a space", "200"),
    refused("LF in a value", "9112 §2.2", b"X: a\nY: b\r\n", SINGLE_LF, "200"),
    refused("octet 01 in a value", "9110 §5.5", b"X: a\x01b\r\n", "invalid; MAY be kept where it is safe", "200"),
    refused("DEL in a value", "9110 §5.5", b"X: a\x7fb\r\n", "invalid; MAY be kept where it is safe", "200"),
    refused("VT in a value", "9110 §5.5", b"X: a\x0bb\r\n", "invalid; MAY be kept where it is safe", "200"),
    Case(
        "the empty line is a LF",
        "9112 §2.2",
        get()[:-2] + b"\n",
        SINGLE_LF,
        "400 ×",
        ("200", *REFUSED),
    ),
    Case(
        "LF LF ends the head, a request behind it",
        "9112 §2.2",
        get()[:-4] + b"\n\n" + get(),
        SINGLE_LF,
        "400 ×",
        ("200 200", *REFUSED),
    ),
    Case(
        "CR CR ends the head, a request behind it",
        "9112 §2.2",
        get()[:-4] + b"\r\r" + get(),
        "a bare CR MUST make it invalid, or be replaced",
        "400 ×",
        REFUSED,
    ),
)
