"""When a connection goes on, what several requests on it get, and the requests to speak otherwise."""

from conformance.case import HOST, REFUSED, SMUGGLED, Case, get, post

HTTP_1_0 = b"GET /hello HTTP/1.0\r\n" + HOST
EXPECT = b"Expect: 100-continue\r\nContent-Length: 5\r\n"


def connection(value: bytes) -> bytes:
    """A GET with this Connection field."""
    return get(fields=b"Connection: " + value + b"\r\n")


PERSISTENCE = (
    Case("HTTP/1.1", "9112 §9.3", get(), "persistent", "200"),
    Case("HTTP/1.1, `close`", "9112 §9.6", connection(b"close"), "MUST close after the reply", "200 ×"),
    Case("HTTP/1.1, `Close`", "9110 §7.6.1", connection(b"Close"), "options ignore case", "200 ×"),
    Case("HTTP/1.1, `keep-alive, close`", "9112 §9.3", connection(b"keep-alive, close"), "close wins", "200 ×"),
    Case(
        "HTTP/1.1, `close` in a second field", "9110 §5.3", connection(b"x\r\nConnection: close"), "one list", "200 ×"
    ),
    Case("HTTP/1.0", "9112 §9.3", HTTP_1_0 + b"\r\n", "not persistent", "200 ×"),
    Case(
        "HTTP/1.0, `keep-alive`",
        "9112 §9.3",
        HTTP_1_0 + b"Connection: Keep-Alive\r\n\r\n",
        "MAY persist",
        "200",
        ("200 ×",),
    ),
    Case(
        "HTTP/1.0, `keep-alive, close`",
        "9112 §9.3",
        HTTP_1_0 + b"Connection: keep-alive, close\r\n\r\n",
        "close wins",
        "200 ×",
    ),
)

PIPELINING = (
    Case("GET, GET", "9112 §9.3.2", get() + get("/nothing"), "answered in order", "200 404"),
    Case(
        "POST with a body, GET",
        "9112 §9.3.2",
        post(b"Content-Length: 5\r\n", b"hello") + get("/nothing"),
        "answered in order",
        "200 404",
    ),
    Case("20 GETs in one segment", "9112 §9.3.2", get() * 20, "answered in order", "20·200"),
    Case(
        "GET with `close`, GET",
        "9112 §9.6",
        connection(b"close") + SMUGGLED,
        "nothing after close MUST be answered",
        "200 ×",
    ),
    Case(
        "GET, garbage",
        "9112 §9.3.2",
        get() + b"\x00garbage\r\n\r\n",
        "the first is answered",
        "200 400 ×",
        ("200 4?? ×", "200 ×"),
    ),
    Case(
        "GET, CRLF, GET",
        "9112 §2.2",
        get() + b"\r\n" + get("/nothing"),
        "at least one CRLF SHOULD be ignored",
        "200 404",
    ),
)

HEAD = (
    Case("HEAD", "9110 §9.3.2", get(method="HEAD"), "no body, the length of GET's MAY be told", "200", is_head=True),
    Case("HEAD, HEAD", "9110 §9.3.2", get(method="HEAD") * 2, "no body between", "200 200", is_head=True),
    Case("HEAD of nothing", "9110 §9.3.2", get("/nothing", method="HEAD"), "no body", "404", is_head=True),
)

EXPECTATIONS = (
    Case(
        "`100-continue`, the body after 100",
        "9110 §10.1.1",
        post(EXPECT, b""),
        "100, then the reply",
        "100 200",
        then=b"hello",
    ),
    Case(
        "`100-Continue`",
        "9110 §10.1.1",
        post(EXPECT.replace(b"100-c", b"100-C"), b""),
        "ignores case",
        "100 200",
        then=b"hello",
    ),
    Case(
        "`100-continue`, chunked",
        "9110 §10.1.1",
        post(b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", b""),
        "100, then the reply",
        "100 200",
        then=b"5\r\nhello\r\n0\r\n\r\n",
    ),
    Case(
        "`100-continue`, the body at once",
        "9110 §10.1.1",
        post(EXPECT, b"hello"),
        "100 MAY be left out",
        "200",
        ("100 200",),
    ),
    Case(
        "`100-continue`, a body that is too large",
        "9110 §10.1.1",
        post(b"Expect: 100-continue\r\nContent-Length: 9999999\r\n", b""),
        "the final status at once",
        "413 ×",
        ("413",),
    ),
    Case(
        "`100-continue` in HTTP/1.0",
        "9110 §10.1.1",
        b"POST /echo HTTP/1.0\r\n" + HOST + EXPECT + b"\r\nhello",
        "MUST be ignored",
        "200 ×",
    ),
    Case(
        "`100-continue` on GET, no body",
        "9110 §10.1.1",
        get(fields=b"Expect: 100-continue\r\n"),
        "is answered",
        "200",
        ("100 200",),
    ),
    Case(
        "`100-continue` in two fields",
        "9110 §10.1.1",
        post(b"Expect: 100-continue\r\n" + EXPECT, b"hello"),
        "one list of two equals; here: refused",
        "400 ×",
        ("200", "100 200", "400", "417", *REFUSED),
    ),
    Case(
        "`100-continue, 100-continue`",
        "9110 §10.1.1",
        post(b"Expect: 100-continue, 100-continue\r\nContent-Length: 5\r\n", b"hello"),
        "one list of two equals; here: refused",
        "417 ×",
        ("200", "100 200", "417", *REFUSED),
    ),
    Case("empty", "9110 §10.1.1", get(fields=b"Expect:\r\n"), "names nothing; here: refused", "417 ×", ("417", "200")),
    Case(
        "`100-continue` TAB",
        "9112 §5",
        post(EXPECT.replace(b"inue", b"inue\t"), b""),
        "white space is none of it",
        "100 200",
        then=b"hello",
    ),
    Case(
        "`100-continue` on GET with a body that is a request",
        "9110 §10.1.1",
        get(fields=b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED,
        "the body is no request",
        "200",
        ("100 200", "417", "417 ×", "400 ×"),
    ),
    Case(
        "`100-continue` where the reply needs no body",
        "9110 §10.1.1",
        get("/file.txt", b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(SMUGGLED), "PUT"),
        "a final status, then the body or the end",
        "405 ×",
        ("405", "100 405", "100 405 ×"),
        then=SMUGGLED,
    ),
    Case("`something`", "9110 §10.1.1", get(fields=b"Expect: something\r\n"), "MAY get 417", "417 ×", ("417", "200")),
    Case(
        "`x 100-continue`, and a request for a body",
        "9110 §10.1.1",
        post(b"Expect: x 100-continue\r\nContent-Length: %d\r\n" % len(SMUGGLED), SMUGGLED),
        "the body is no request",
        "417 ×",
        ("417", "200", "100 200"),
    ),
)

UPGRADES = (
    Case(
        "Upgrade to nothing known",
        "9110 §7.8",
        get(fields=b"Connection: upgrade\r\nUpgrade: x/1\r\n"),
        "MAY be ignored",
        "200",
    ),
    Case(
        "Upgrade to h2c",
        "9110 §7.8",
        get(
            fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
        ),
        "MAY be ignored",
        "200",
    ),
    Case(
        "Upgrade with a body",
        "9110 §7.8",
        post(b"Connection: Upgrade\r\nUpgrade: x/1\r\nContent-Length: %d\r\n" % len(SMUGGLED), SMUGGLED),
        "the body is no request",
        "200",
    ),
    Case(
        "Upgrade to h2c with a body",
        "9110 §7.8",
        post(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
            b"Content-Length: %d\r\n" % len(SMUGGLED),
            SMUGGLED,
        ),
        "MAY be ignored; the body is no request",
        "200",
    ),
    Case(
        "Upgrade in HTTP/1.0",
        "9110 §7.8",
        HTTP_1_0 + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "MUST be ignored",
        "200 ×",
    ),
    Case(
        "Upgrade that Connection does not name", "9110 §7.8", get(fields=b"Upgrade: websocket\r\n"), "is ignored", "200"
    ),
)

CASES = PERSISTENCE + PIPELINING + HEAD + EXPECTATIONS + UPGRADES
