"""Which resource is meant: the forms of the request-target, and the Host field."""

from conformance.case import HOST, REFUSED, REFUSED_OR_OPEN, Case, get

NO_SUCH = ("404", "400", "400 ×")


def with_host(value: bytes, target: bytes = b"/hello") -> bytes:
    """A GET with one Host field of this value."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, value)


def bad_host(name: str, value: bytes) -> Case:
    """A Host whose value is none: a server MUST answer 400."""
    return Case(name, "9112 §3.2", with_host(value), "an invalid Host MUST get 400", "400 ×", ("400",))


TARGETS = (
    Case("target with é as UTF-8 octets", "9112 §3.2", get("/é"), "ASCII only: 400 SHOULD", "400 ×", REFUSED_OR_OPEN),
    Case("target with octet 01", "9112 §3.2", get("/hello\x01"), "no control characters: 400 SHOULD", "400 ×", REFUSED),
    Case("target with NUL", "9112 §3.2", get("/hello\x00"), "no control characters: 400 SHOULD", "400 ×", REFUSED),
    Case("target with DEL", "9112 §3.2", get("/hello\x7f"), "no control characters: 400 SHOULD", "400 ×", REFUSED),
    Case("`/hello#part`", "9112 §3.2.1", get("/hello#part"), "a target has no fragment: 400 SHOULD", "400 ×", REFUSED),
    Case("`/%zz`", "3986 §2.1", get("/%zz"), "`%` and two hex digits: 400 SHOULD", "400 ×", REFUSED_OR_OPEN),
    Case("`/%00`", "3986 §7.3", get("/%00"), "a path with NUL names nothing", "400", NO_SUCH),
    Case("`/../../etc/passwd`", "3986 §5.2.4", get("/../../etc/passwd"), "never leads out", "404", NO_SUCH),
    Case(
        "`/%2e%2e/%2e%2e/etc/passwd`",
        "3986 §5.2.4",
        get("/%2e%2e/%2e%2e/etc/passwd"),
        "never leads out",
        "404",
        NO_SUCH,
    ),
    Case(
        "`http://a.example/hello`, the same Host",
        "9112 §3.2.2",
        with_host(b"a.example", b"http://a.example/hello"),
        "MUST be accepted",
        "200",
    ),
    Case(
        "`http://A.Example:80/hello`, Host `a.example`",
        "9112 §3.2.2",
        with_host(b"a.example", b"http://A.Example:80/hello"),
        "MUST be accepted: the same authority",
        "200",
    ),
    Case(
        "`http://a.example`, no path",
        "9112 §3.2.2",
        with_host(b"a.example", b"http://a.example"),
        "MUST be accepted: the path is `/`",
        "200",
    ),
    Case(
        "`http://a.example?x=1`, no path",
        "9112 §3.2.2",
        with_host(b"a.example", b"http://a.example?x=1"),
        "MUST be accepted: the path is `/`",
        "200",
    ),
    Case(
        "`http://b.example/hello`, Host `a.example`",
        "9112 §3.2.2",
        with_host(b"a.example", b"http://b.example/hello"),
        "the target MUST win; here: two hosts are refused",
        "400 ×",
        ("200",),
        departs=True,
    ),
    Case(
        "`http://a.example/hello`, no Host",
        "9112 §3.2",
        b"GET http://a.example/hello HTTP/1.1\r\n\r\n",
        "1.1 without Host MUST get 400",
        "400 ×",
        ("400",),
    ),
    Case(
        "`http://u:p@a.example/hello`",
        "9110 §4.2.4",
        with_host(b"a.example", b"http://u:p@a.example/hello"),
        "user information SHOULD be an error",
        "400 ×",
        REFUSED_OR_OPEN,
    ),
    Case(
        "`http:///hello`",
        "9110 §4.2.1",
        with_host(b"a.example", b"http:///hello"),
        "an empty host MUST be refused",
        "400 ×",
        REFUSED_OR_OPEN,
    ),
    Case(
        "`ftp://a.example/hello`",
        "9112 §3.2",
        with_host(b"a.example", b"ftp://a.example/hello"),
        "no http URL, no proxy: refused",
        "400 ×",
        REFUSED_OR_OPEN,
    ),
    Case("GET `a.example:80`", "9112 §3.2.3", get("a.example:80"), "for CONNECT only: 400 SHOULD", "400 ×", REFUSED),
    Case("GET `*`", "9112 §3.2.4", get("*"), "for OPTIONS only: 400 SHOULD", "400 ×", REFUSED_OR_OPEN),
    Case("GET `hello`", "9112 §3.2.1", get("hello"), "a path begins with `/`: 400 SHOULD", "400 ×", REFUSED),
    Case(
        "OPTIONS `*`", "9110 §9.3.7", get("*", method="OPTIONS"), "about the server: 2xx", "204", ("2??", "405", "501")
    ),
    Case(
        "CONNECT `a.example:443`",
        "9110 §9.3.6",
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "no tunnels here: refused",
        "501 ×",
        REFUSED_OR_OPEN,
    ),
)

HOSTS = (
    Case("no Host, HTTP/1.1", "9112 §3.2", b"GET /hello HTTP/1.1\r\n\r\n", "MUST get 400", "400 ×", ("400",)),
    Case("no Host, HTTP/1.0", "9112 §3.2", b"GET /hello HTTP/1.0\r\n\r\n", "is answered", "200 ×"),
    Case(
        "Host twice, the same",
        "9112 §3.2",
        get(fields=HOST),
        "more than one MUST get 400",
        "400 ×",
        ("400",),
    ),
    Case(
        "Host twice, different",
        "9112 §3.2",
        get(fields=b"Host: b.example\r\n"),
        "more than one MUST get 400",
        "400 ×",
        ("400",),
    ),
    Case(
        "Host in two spellings, different",
        "9112 §3.2",
        get(fields=b"hOST: b.example\r\n"),
        "more than one MUST get 400",
        "400 ×",
        ("400",),
    ),
    Case(
        "`Host:` empty",
        "9110 §4.2.1",
        with_host(b""),
        "an http URL has a host; here: refused",
        "400 ×",
        ("200", "400"),
    ),
    Case(
        "`Host:` TAB `a.example` TAB", "9112 §5", with_host(b"\ta.example\t"), "white space around is none of it", "200"
    ),
    Case("Host `a_b.example`", "3986 §3.2.2", with_host(b"a_b.example"), "legal in a URL", "200"),
    Case("Host `[::1]:80`", "3986 §3.2.2", with_host(b"[::1]:80"), "legal", "200"),
    Case("Host `a.example:`", "3986 §3.2.3", with_host(b"a.example:"), "a port may be empty", "200"),
    bad_host("Host `a b`", b"a b"),
    bad_host("Host `a.example, b.example`", b"a.example, b.example"),
    bad_host("Host `a.example/hello`", b"a.example/hello"),
    bad_host("Host `u@a.example`", b"u@a.example"),
    bad_host("Host `http://a.example`", b"http://a.example"),
    bad_host("Host `a.example:x`", b"a.example:x"),
    bad_host("Host `a.example:80:80`", b"a.example:80:80"),
    bad_host("Host `[::1`", b"[::1"),
    bad_host("Host `[::g]`", b"[::g]"),
    bad_host("Host `a?b`", b"a?b"),
    bad_host("Host with é as UTF-8 octets", "é.example".encode()),
    bad_host("Host with NUL", b"a.example\x00"),
    bad_host("Host with TAB inside", b"a.example\tb"),
)

CASES = TARGETS + HOSTS
