"""Transfer-Encoding, alone and next to Content-Length: how requests are smuggled past a proxy.

The attacks are those of Linhart et al. 2005 (CL.TE, TE.CL), of Kettle 2019 and later (TE.TE by obfuscation, CL.0,
0.CL) and of the CVEs that followed: each hides a request where one reading of the length ends the body early.
"""

from conformance.case import HOST, REFUSED, SMUGGLED, Case, get, post

TE = b"Transfer-Encoding: chunked\r\n"
FIVE = b"5\r\nhello\r\n0\r\n\r\n"
CL_TE_BODY = b"0\r\n\r\n" + SMUGGLED
CL = b"Content-Length: %d\r\n" % len(CL_TE_BODY)
BOTH = "MUST close after it; 400 is the safe answer"
NOT_FINAL = "not chunked at its end MUST get 400; unknown codings SHOULD get 501"


def te(name: str, lines: bytes, rule: str, right: str = "501 ×", *also: str) -> Case:
    """A chunked body under another Transfer-Encoding."""
    return Case(name, "9112 §6.1", post(lines, FIVE), rule, right, (*REFUSED, *also))


def hidden(name: str, section: str, te_line: bytes, rule: str, *also: str, right: str = "400 ×") -> Case:
    """Content-Length covers all; a Transfer-Encoding that some would see ends the body before the hidden request."""
    return Case(name, section, post(CL + te_line, CL_TE_BODY), rule, right, (*REFUSED, *also))


CASES = (
    Case("`chunked`", "9112 §7.1", post(TE, FIVE), "MUST be understood", "200"),
    Case("`ChUnKeD`", "9112 §7", post(TE.replace(b"chunked", b"ChUnKeD"), FIVE), "codings ignore case", "200"),
    Case(
        "TAB `chunked` TAB",
        "9112 §5",
        post(b"Transfer-Encoding:\tchunked\t\r\n", FIVE),
        "white space is none of it",
        "200",
    ),
    Case("`chunked` on GET", "9112 §6.1", get(fields=TE) + FIVE, "framing does not depend on the method", "200"),
    te("`identity`", b"Transfer-Encoding: identity\r\n", NOT_FINAL),
    te("`gzip`", b"Transfer-Encoding: gzip\r\n", NOT_FINAL),
    te("`gzip, chunked`", b"Transfer-Encoding: gzip, chunked\r\n", "501 SHOULD, unless understood"),
    te("`chunked, gzip`", b"Transfer-Encoding: chunked, gzip\r\n", NOT_FINAL),
    te("`chunked, identity`", b"Transfer-Encoding: chunked, identity\r\n", NOT_FINAL),
    te("`chunked, chunked`", b"Transfer-Encoding: chunked, chunked\r\n", "chunked twice MUST NOT be sent"),
    te("two fields, `chunked` and `chunked`", TE + TE, "chunked twice MUST NOT be sent"),
    te("two fields, `chunked` and `identity`", TE + b"Transfer-Encoding: identity\r\n", NOT_FINAL),
    te("two fields, `identity` and `chunked`", b"Transfer-Encoding: identity\r\n" + TE, "unknown coding: 501 SHOULD"),
    te("`xchunked`", b"Transfer-Encoding: xchunked\r\n", NOT_FINAL),
    te("`chunkedx`", b"Transfer-Encoding: chunkedx\r\n", NOT_FINAL),
    te("`chunked;q=1`", b"Transfer-Encoding: chunked;q=1\r\n", "chunked has no parameters"),
    te('`"chunked"`', b'Transfer-Encoding: "chunked"\r\n', "a coding is a token"),
    Case(
        "`chunked,`",
        "9110 §5.6.1.2",
        post(b"Transfer-Encoding: chunked,\r\n", FIVE),
        "empty elements MUST be ignored; here: refused",
        "501 ×",
        ("200",),
        departs=True,
    ),
    te("empty", b"Transfer-Encoding:\r\n", "names no coding", "501 ×", "200*"),
    te("VT `chunked`", b"Transfer-Encoding: \x0bchunked\r\n", "VT is no white space", "400 ×"),
    te("FF `chunked`", b"Transfer-Encoding: \x0cchunked\r\n", "FF is no white space", "400 ×"),
    te("`chunked` VT", b"Transfer-Encoding: chunked\x0b\r\n", "VT is no white space", "400 ×"),
    te("`chunked` CR", b"Transfer-Encoding: chunked\r\r\n", "CR MUST be refused or replaced", "400 ×", "200*"),
    te("`'chunked'`", b"Transfer-Encoding: 'chunked'\r\n", NOT_FINAL),
    te("`chunk`", b"Transfer-Encoding: chunk\r\n", NOT_FINAL),
    te("`chunked x`", b"Transfer-Encoding: chunked x\r\n", "no white space within a token"),
    te("`,chunked`", b"Transfer-Encoding: ,chunked\r\n", "names chunked; here: refused", "501 ×", "200*"),
    te("`: chunked`, two colons", b"Transfer-Encoding:: chunked\r\n", "a coding is a token"),
    te("`chunked, x` in a fold", b"Transfer-Encoding: chunked\r\n , x\r\n", NOT_FINAL, "400 ×"),
    te(
        "two fields, empty and `chunked`",
        b"Transfer-Encoding:\r\n" + TE,
        "one list; here: refused",
        "501 ×",
        "200*",
        "400",
    ),
    te("`chunked` NUL", b"Transfer-Encoding: chunked\x00\r\n", "NUL MUST be refused or replaced", "400 ×"),
    te("`chunked` with a non-breaking space", b"Transfer-Encoding: \xa0chunked\r\n", "octet A0 is no white space"),
    te("`chunKed` with the Kelvin sign", "Transfer-Encoding: chun\u212aed\r\n".encode(), "no ASCII letter"),
    Case(
        "`chunked` in HTTP/1.0",
        "9112 §6.1",
        b"POST /echo HTTP/1.0\r\n" + HOST + TE + b"\r\n" + FIVE,
        "faulty framing: MUST close",
        "400 ×",
        ("200 ×", *REFUSED),
    ),
    Case(
        "`chunked` in HTTP/1.0, keep-alive, a request behind it",
        "9112 §6.1",
        b"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + TE + b"\r\n" + FIVE + SMUGGLED,
        "faulty framing: MUST close",
        "400 ×",
        ("200 ×", *REFUSED),
    ),
    Case(
        "CL.TE: both fields, length over all",
        "9112 §6.3",
        post(CL + TE, CL_TE_BODY),
        BOTH,
        "400 ×",
        ("200 ×", *REFUSED),
    ),
    Case("the same, chunked first", "9112 §6.3", post(TE + CL, CL_TE_BODY), BOTH, "400 ×", ("200 ×", *REFUSED)),
    Case(
        "TE.CL: both fields, length of the first line",
        "9112 §6.3",
        post(b"Content-Length: 4\r\n" + TE, b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
        BOTH,
        "400 ×",
        ("200 ×", *REFUSED),
    ),
    Case(
        "both fields, and they agree",
        "9112 §6.3",
        post(b"Content-Length: %d\r\n" % len(FIVE) + TE, FIVE),
        BOTH,
        "400 ×",
        ("200 ×", *REFUSED),
    ),
    hidden("length, and `xchunked`", "9112 §6.3", b"Transfer-Encoding: xchunked\r\n", BOTH),
    hidden("length, and `identity`", "9112 §6.3", b"Transfer-Encoding: identity\r\n", BOTH),
    hidden("length, and an empty Transfer-Encoding", "9112 §6.3", b"Transfer-Encoding:\r\n", BOTH, "200 ×"),
    hidden(
        "length, and TE.TE: `chunked`, then `x`", "9112 §6.3", TE + b"Transfer-encoding: x\r\n", BOTH, right="501 ×"
    ),
    hidden("length, and `Transfer-Encoding : chunked`", "9112 §5.1", TE.replace(b":", b" :"), "MUST get 400"),
    hidden("length, and `Transfer-Encoding` TAB `: chunked`", "9112 §5.1", TE.replace(b":", b"\t:"), "MUST get 400"),
    hidden("length, and `TRANSFER-ENCODING: CHUNKED`", "9112 §6.3", TE.upper(), BOTH, "200 ×"),
    hidden("length, and TAB before `chunked`", "9112 §6.3", TE.replace(b" ", b"\t"), BOTH, "200 ×"),
    hidden("length, and no space before `chunked`", "9112 §6.3", TE.replace(b" ", b""), BOTH, "200 ×"),
    hidden("length, and `Transfer-Encoding` VT `: chunked`", "9110 §5.6.2", TE.replace(b":", b"\x0b:"), "no token"),
    hidden("length, and an octet 80 behind the name", "9110 §5.6.2", TE.replace(b":", b"\x80:"), "no token"),
    hidden("length, and `Transfer-Encoding;chunked`", "9112 §5", TE.replace(b": ", b";"), "a field line has a colon"),
    hidden("length, and `Transfer-Encoding chunked`", "9112 §5", TE.replace(b":", b""), "a field line has a colon"),
    hidden("length, and `Transfer-Encoding` LF `: chunked`", "9112 §5", TE.replace(b":", b"\n:"), "no colon, no name"),
    hidden("length, and LF `chunked`", "9112 §5.2", TE.replace(b" ", b"\n "), "400, or unfolded and closed", "200 ×"),
    hidden("length, and CR before the name", "9112 §2.2", b"\r" + TE, "bare CR: invalid, or replaced"),
    hidden("length, and VT before `chunked`", "9112 §6.3", TE.replace(b" ", b"\x0b"), BOTH),
    hidden("length, and SP before the name", "9112 §5.2", b" " + TE, "a folded line: 400, or unfolded", "200"),
    hidden("length, and `X: a` LF Transfer-Encoding", "9112 §2.2", b"X: a\n" + TE, BOTH, "200 ×"),
    hidden(
        "length, and `X: a` CR Transfer-Encoding", "9112 §2.2", b"X: a\r" + TE, "bare CR: invalid, or replaced", "200"
    ),
    hidden("length, and NUL in the name", "9110 §5.6.2", b"Transfer\x00-Encoding: chunked\r\n", "a name is a token"),
    hidden(
        "length, and `Transfer-Encoding` CRLF `: chunked`", "9112 §5", TE.replace(b":", b"\r\n:"), "no colon, no name"
    ),
    hidden(
        "length, and chunked folded: CRLF SP `chunked`",
        "9112 §5.2",
        TE.replace(b" ", b"\r\n "),
        "MUST get 400, or be unfolded and then closed",
        "200 ×",
    ),
    Case(
        "chunked, and `Content-Length : 6`",
        "9112 §5.1",
        post(TE + b"Content-Length : 6\r\n", b"0\r\n\r\n" + SMUGGLED),
        "MUST get 400",
        "400 ×",
        REFUSED,
    ),
    Case(
        "chunked, and `Content-Length:` empty",
        "9112 §6.3",
        post(TE + b"Content-Length:\r\n", b"0\r\n\r\n" + SMUGGLED),
        BOTH,
        "400 ×",
        ("200 ×", *REFUSED),
    ),
    Case(
        "chunked, and `TE: trailers, chunked`",
        "9110 §10.1.4",
        post(TE + b"TE: trailers, chunked\r\n", FIVE),
        "TE is about the reply",
        "200",
    ),
    Case(
        "chunked, and `Connection: Transfer-Encoding`",
        "9110 §7.6.1",
        post(TE + b"Connection: Transfer-Encoding\r\n", b"0\r\n\r\n"),
        "the body is chunked all the same",
        "200",
        REFUSED,
    ),
    Case(
        "length, and `Transfer_Encoding: chunked`",
        "9110 §5.1",
        post(CL + b"Transfer_Encoding: chunked\r\n", CL_TE_BODY),
        "another field altogether: the length counts",
        "200",
        REFUSED,
    ),
    Case(
        "length, and `Content-Encoding: chunked`",
        "9110 §8.4",
        post(CL + b"Content-Encoding: chunked\r\n", CL_TE_BODY),
        "another field altogether: the length counts",
        "200",
        REFUSED,
    ),
    Case(
        "length, and `Connection: Content-Length`",
        "9110 §7.6.1",
        post(CL + b"Connection: Content-Length\r\n", CL_TE_BODY),
        "no option of a connection: the length counts",
        "200",
        REFUSED,
    ),
    Case(
        "length, and `Connection: Transfer-Encoding`",
        "9110 §7.6.1",
        post(CL + b"Connection: Transfer-Encoding\r\n" + TE, CL_TE_BODY),
        BOTH,
        "400 ×",
        ("200 ×", *REFUSED),
    ),
)
