"""The chunked coding, octet by octet: sizes, extensions, ends, trailers.

Where a reading may differ a second request follows, so that a server that ends the body elsewhere shows it. The
attacks on extensions and line ends are those published as “funky chunks” in 2025.
"""

from conformance.case import REFUSED, SMUGGLED, Case, chunked

END = b"0\r\n\r\n"
LF = "LF is no CRLF, and only field lines may be lenient"
FIELD_LF = "LF MAY be taken for CRLF; here: refused"
SIZE = "1*HEXDIG: refused"


def taken(name: str, section: str, body: bytes, rule: str, *also: str) -> Case:
    """A body that is whole and right."""
    return Case(name, section, chunked(body), rule, "200", also)


def refused(name: str, section: str, body: bytes, rule: str, *also: str) -> Case:
    """A body that breaks the coding; a request follows it."""
    return Case(name, section, chunked(body + SMUGGLED), rule, "400 ×", (*REFUSED, *also))


def size(name: str, text: bytes, *also: str) -> Case:
    """A chunk of five octets under a size that is none."""
    return refused(name, "9112 §7.1", text + b"\r\nhello\r\n" + END, SIZE, *also)


def extension(name: str, text: bytes) -> Case:
    """An extension that is none by the grammar, and harmless unless somebody looks for its end elsewhere."""
    body = b"5;" + text + b"\r\nhello\r\n" + END
    return refused(name, "9112 §7.1.1", body, "no extension by the grammar; here: refused", "200 404")


def trailer(name: str, section: str, lines: bytes, rule: str, *also: str) -> Case:
    """A trailer section that breaks the grammar of fields."""
    return refused(name, section, b"5\r\nhello\r\n0\r\n" + lines, rule, *also)


SIZES = (
    taken("two chunks", "9112 §7.1", b"5\r\nhello\r\n6\r\n world\r\n" + END, "is read"),
    taken("no chunk but the last", "9112 §7.1", END, "an empty body"),
    taken("size `a` and size `A`", "9112 §7.1", b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + END, "hex ignores case"),
    taken("size `0005`", "9112 §7.1", b"0005\r\nhello\r\n" + END, "zeros are legal", *REFUSED),
    taken("last chunk `000`", "9112 §7.1", b"5\r\nhello\r\n000\r\n\r\n", '1*"0"', *REFUSED),
    refused(
        "size of 16 zeros and `5`",
        "9112 §7.1",
        b"0" * 16 + b"5\r\nhello\r\n" + END,
        "overflow MUST be prevented; here: 15 digits at most",
        "200 404",
    ),
    size("size `10000000000000005`, 2⁶⁴ + 5", b"10000000000000005"),
    size("size `0x5`", b"0x5"),
    size("size `+5`", b"+5"),
    size("size `-5`", b"-5"),
    size("size `5_0`", b"5_0"),
    size("size `5.`", b"5."),
    size("size `g`", b"g"),
    size("size with SP before: ` 5`", b" 5"),
    size("size with SP after: `5 `", b"5 "),
    size("size with TAB after", b"5\t"),
    size("size with VT after", b"5\x0b"),
    size("size with NUL after", b"5\x00"),
    size("empty size line", b""),
    size("size `0x`", b"0x"),
    size("size `5h`", b"5h"),
    size("size `5 5`", b"5 5"),
    size("size with FF after", b"5\x0c"),
    size("size with SP and TAB before", b" \t5"),
    size("size with CR after: `5` CR CRLF", b"5\r"),
    size("size `-0`", b"-0"),
    size("size `５`, a full-width digit", "５".encode()),
    size("size `fffffffffffffffb`, −5 in 64 bits", b"fffffffffffffffb"),
    Case(
        "size `100000005`, 2³² + 5, and five octets",
        "9112 §7.1",
        chunked(b"100000005\r\nhello\r\n" + END + SMUGGLED),
        "all that follows is data: too large, or too late",
        "408 ×",
        REFUSED,
    ),
    refused("size `5` ended by LF", "9112 §7.1", b"5\nhello\r\n" + END, LF),
    refused("size `5` ended by CR", "9112 §7.1", b"5\rhello\r\n" + END, "no line end: refused"),
    refused("data ended by LF", "9112 §7.1", b"5\r\nhello\n" + END, LF),
    refused("data ended by CR", "9112 §7.1", b"5\r\nhello\r" + END, "no line end: refused"),
    refused("data ended by `XX`", "9112 §7.1", b"5\r\nhelloXX" + END, "CRLF is not two octets of any kind"),
    refused("data ended by nothing", "9112 §7.1", b"5\r\nhello" + END, "refused"),
    refused("more data than the size", "9112 §7.1", b"5\r\nhello!\r\n" + END, "refused"),
    refused("less data than the size", "9112 §7.1", b"7\r\nhello\r\n" + END, "refused"),
    refused("CRLF after data twice", "9112 §7.1", b"5\r\nhello\r\n\r\n" + END, "refused"),
    refused("last chunk ended by LF LF", "9112 §7.1", b"5\r\nhello\r\n0\n\n", LF),
    refused(
        "empty line after the last chunk is a LF",
        "9112 §2.2",
        b"5\r\nhello\r\n0\r\n\n",
        FIELD_LF,
        "200 404",
    ),
    Case(
        "body cut short by the client's end",
        "9112 §8",
        chunked(b"5\r\nhel"),
        "incomplete without its last chunk: 400 MAY be sent, and closed",
        "— ×",
        REFUSED,
        is_cut=True,
    ),
)

EXTENSIONS = (
    taken("extension `;a=b`", "9112 §7.1.1", b"5;a=b\r\nhello\r\n" + END, "MUST be ignored"),
    taken('extension `;a="b;c"`', "9112 §7.1.1", b'5;a="b;c"\r\nhello\r\n' + END, "MUST be ignored"),
    taken("extension with SP before `;`", "9112 §7.1.1", b"5 ;a=b\r\nhello\r\n" + END, "BWS: bad, but legal", *REFUSED),
    taken("extension on the last chunk", "9112 §7.1.1", b"5\r\nhello\r\n0;a=b\r\n\r\n", "MUST be ignored"),
    refused(
        "extension of 300 octets",
        "9112 §7.1.1",
        b"5;a=" + b"b" * 300 + b"\r\nhello\r\n" + END,
        "its length ought to be bounded; here: 256",
        "200 404",
    ),
    taken("extension without a value", "9112 §7.1.1", b"5;a\r\nhello\r\n" + END, "MUST be ignored"),
    taken("two extensions", "9112 §7.1.1", b'5;a=b;c="\\""\r\nhello\r\n' + END, "MUST be ignored"),
    extension("extension without a name: `5;`", b""),
    extension("extension without a name: `5;;`", b";"),
    extension("extension `;=b`", b"=b"),
    extension("extension `;a=`", b"a="),
    extension("extension with SP after it", b"a=b "),
    extension("a quote that is not closed", b'a="b'),
    extension("a quote behind the quote", b'a="b""'),
    extension("a backslash before the closing quote", b'a="b\\"'),
    refused(
        "a quote that holds the chunk and what some take for a request",
        "9112 §7.1.1",
        b'5;a="\r\nhello\r\n0\r\n\r\n' + SMUGGLED + b'"\r\n',
        "quotes hold no line end: refused",
    ),
    refused(
        "extension of CR and LF the wrong way round", "9112 §7.1.1", b"5;a\n\rhello\r\n" + END, "no LF in an extension"
    ),
    refused(
        "LF in the extension of the last chunk",
        "9112 §7.1.1",
        b"5\r\nhello\r\n0;\n\r\n",
        "no LF in an extension: refused",
    ),
    refused(
        "CR in the extension of the last chunk",
        "9112 §7.1.1",
        b"5\r\nhello\r\n0;\ra\r\n\r\n",
        "no CR in an extension: refused",
    ),
    refused("no size, only `;a=b`", "9112 §7.1", b";a=b\r\nhello\r\n" + END, SIZE),
    refused(
        "TERM.EXT: LF in an extension, `5;` LF `xx`",
        "9112 §7.1.1",
        b"5;\nhello\r\n" + END,
        "no LF in an extension: refused",
    ),
    refused(
        "EXT.TERM: `2;` LF `xx`, then what some take for the last chunk",
        "9112 §7.1.1",
        b"2;\nxx\r\n%x\r\n0\r\n\r\n" % len(SMUGGLED),
        "no LF in an extension: refused",
    ),
    refused("CR in an extension", "9112 §7.1.1", b"5;a=\rb\r\nhello\r\n" + END, "no CR in an extension: refused"),
    refused("NUL in an extension", "9112 §7.1.1", b"5;a=\x00\r\nhello\r\n" + END, "no NUL in an extension: refused"),
    refused("CRLF within quotes", "9112 §7.1.1", b'5;a="\r\n"\r\nhello\r\n' + END, "quotes hold no line end: refused"),
)

TRAILERS = (
    taken("a trailer", "9112 §7.1.2", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "MAY be dropped"),
    taken(
        "Content-Length as a trailer",
        "9110 §6.5.1",
        b"5\r\nhello\r\n0\r\nContent-Length: 500\r\n\r\n",
        "MUST NOT change the framing",
        *REFUSED,
    ),
    taken(
        "Transfer-Encoding as a trailer",
        "9110 §6.5.1",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "MUST NOT change the framing",
        *REFUSED,
    ),
    taken("Host as a trailer", "9110 §6.5.1", b"5\r\nhello\r\n0\r\nHost: b.example\r\n\r\n", "is no Host", *REFUSED),
    trailer("trailer with space before the colon", "9112 §5.1", b"X : a\r\n\r\n", "MUST get 400"),
    trailer("trailer with a name that is no token", "9110 §5.6.2", b"X(Y): a\r\n\r\n", "a name is a token"),
    trailer("trailer without a name", "9110 §5.1", b": a\r\n\r\n", "a name has at least one character"),
    trailer("trailer with CR", "9110 §5.5", b"X: a\rb\r\n\r\n", "MUST be refused, or replaced", "200 404"),
    trailer("trailer section that begins with SP", "9112 §5.2", b" X: a\r\n\r\n", "refused", "200 404"),
    trailer("a request line for a trailer", "9112 §7.1.2", b"GET /smuggled HTTP/1.1\r\n\r\n", "no field: refused"),
    trailer("200 trailers", "9110 §5.4", b"X: a\r\n" * 200 + b"\r\n", "bounded; here: 100", "200 404"),
    trailer("folded trailer", "9112 §5.2", b"X: a\r\n b\r\n\r\n", "MUST get 400, or be unfolded", "200 404"),
    trailer("trailer without colon", "9112 §5", b"X\r\n\r\n", "refused"),
    trailer("trailer ended by LF", "9112 §2.2", b"X: a\n\r\n", FIELD_LF, "200 404"),
    trailer("trailer with NUL", "9110 §5.5", b"X: a\x00\r\n\r\n", "MUST be refused, or replaced", "200 404"),
    trailer(
        "trailer of 10,000 octets", "9110 §5.4", b"X: " + b"a" * 10000 + b"\r\n\r\n", "bounded; here: 8 KiB", "200 404"
    ),
)

CASES = SIZES + EXTENSIONS + TRAILERS
