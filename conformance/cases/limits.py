"""How much is too much, and how long is too long. The time-outs are a second or two here, lest the cases take long."""

from conformance.case import REFUSED, Case, get, post

LINE = len("GET  HTTP/1.1")

CASES = (
    Case(
        "a request line of 8,000 octets", "9112 §3", get("/" + "a" * (7999 - LINE)), "8,000 SHOULD be supported", "404"
    ),
    Case(
        "a request line of 8,192 octets",
        "9112 §3",
        get("/" + "a" * (8191 - LINE)),
        "within our limit",
        "404",
        (*REFUSED, "414"),
    ),
    Case(
        "a request line of 8,193 octets",
        "9110 §15.5.15",
        get("/" + "a" * (8192 - LINE)),
        "MUST get 414",
        "414 ×",
        ("404", "414"),
    ),
    Case("a request line of 60,000 octets", "9110 §15.5.15", get("/" + "a" * 60000), "MUST get 414", "414 ×", ("414",)),
    Case(
        "100 fields",
        "9110 §5.4",
        get(fields=b"".join(b"X-%d: a\r\n" % n for n in range(99))),
        "within our limit",
        "200",
        REFUSED,
    ),
    Case(
        "101 fields",
        "6585 §5",
        get(fields=b"".join(b"X-%d: a\r\n" % n for n in range(100))),
        "431, where it is too many",
        "431 ×",
        ("200", *REFUSED),
    ),
    Case(
        "a field of 4,000 octets",
        "9110 §5.4",
        get(fields=b"X: " + b"a" * 4000 + b"\r\n"),
        "within our limit",
        "200",
        REFUSED,
    ),
    Case(
        "a field of 20,000 octets",
        "9110 §5.4",
        get(fields=b"X: " + b"a" * 20000 + b"\r\n"),
        "within our limit",
        "200",
        REFUSED,
    ),
    Case(
        "a head of 40,000 octets",
        "6585 §5",
        get(fields=b"X: " + b"a" * 40000 + b"\r\n"),
        "431, where it is too much",
        "431 ×",
        ("200", *REFUSED),
    ),
    Case(
        "a body of 1 MiB and one octet",
        "9110 §15.5.14",
        post(b"Content-Length: 1048577\r\n", b"a" * 1048577),
        "413, and it can be read",
        "413 ×",
        ("413", "200"),
    ),
    Case(
        "a chunked body of 1 MiB and one octet",
        "9110 §15.5.14",
        post(b"Transfer-Encoding: chunked\r\n", b"100000\r\n" + b"a" * 1048576 + b"\r\n1\r\na\r\n0\r\n\r\n"),
        "413, and it can be read",
        "413 ×",
        ("413", "200"),
    ),
    Case("half a head, then silence", "9110 §15.5.9", get()[:-4], "408 or nothing, and closed", "408 ×", REFUSED),
    Case(
        "half a body, then silence",
        "9110 §15.5.9",
        post(b"Content-Length: 50\r\n", b"hello"),
        "408 or nothing, and closed",
        "408 ×",
        REFUSED,
    ),
    Case(
        "half a chunked body, then silence",
        "9110 §15.5.9",
        post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhel"),
        "408 or nothing, and closed",
        "408 ×",
        REFUSED,
    ),
)
