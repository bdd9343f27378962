"""The grammar of HTTP/1.1 as compiled regular expressions, each under the production it implements.

Every repetition is possessive (`++`, `*+`), so matching is linear on any input. Nothing here decides anything:
`parsing` and `framing` do.
"""

import re
from collections.abc import Iterable

from shared.httpcore.headers import HOP_BY_HOP

# RFC 9110 §5.6.2: token = 1*tchar
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"

# RFC 9110 §5.5: field-value, as the octets that may stand in it. obs-text (0x80-0xFF) is data, never structure.
FIELD_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"

# RFC 9112 §5: field-line = field-name ":" OWS field-value OWS, each ended by CRLF. No space before the colon, no
# obs-fold: a line that starts with white space does not match.
FIELD_LINES = rb"(?:" + TOKEN + rb":" + FIELD_VALUE + rb"\r\n)*+"

FIELD_SECTION = re.compile(FIELD_LINES)

# RFC 9112 §3: request-line = method SP request-target SP HTTP-version; the target's octets are checked further in
# `parsing`. The groups: method, target, minor version.
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]++) HTTP/1\.([01])\r\n")

# RFC 9112 §2.2: empty lines before a request line, as some clients send them after a body. All of them: how many there
# are at a time is the network's choice.
EMPTY_LINES = re.compile(rb"(?:\r\n)++")

# RFC 9112 §4: status-line = HTTP-version SP status-code SP [ reason-phrase ].
RESPONSE_HEAD = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: " + FIELD_VALUE + rb")?\r\n" + FIELD_LINES + rb"\r\n")

# The fields that decide framing, routing and the life of a connection, found in lower-cased lines in one pass. Every
# line is found by the LF before it, so the caller puts one in front of the first.
DECIDING_REQUEST_FIELDS = re.compile(
    rb"\n(host|content-length|transfer-encoding|connection|expect|upgrade|origin|x-request-id):([^\r]*)"
)


def make_field_finder(told: Iterable[str], silent: Iterable[str] = ()) -> re.Pattern[bytes]:
    """Finds the lines of these fields, whatever the case of their names: from the LF before each to its CR.

    Its one group is the line of a field `told`, None for a `silent` one. `split` thus gives in turn lines of other
    fields and what is known of the one between them.
    """
    told, silent = sorted(told), sorted(silent)
    firsts = {letter for name in (*told, *silent) for letter in (name[0].lower(), name[0].upper())}
    start = rf"\n(?=[{re.escape(''.join(sorted(firsts)))}])"
    value = r":[^\r]*+"
    quiet = f"|(?:{_any_of(silent)}){value}" if silent else ""
    return re.compile(f"{start}(?:((?:{_any_of(told)}){value}){quiet})\r".encode("latin-1"))


def _any_of(names: Iterable[str]) -> str:
    """One of these names, in any case. Those with the same first letter share a branch, and letters are sets of two,
    since `re` passes over a branch at once by its first set, but not by a letter whose case it is to ignore.
    """
    tails: dict[str, list[str]] = {}
    for name in names:
        tails.setdefault(name[0].lower(), []).append(name[1:])
    return "|".join(f"{_any_case(first)}(?:{'|'.join(map(_any_case, rest))})" for first, rest in tails.items())


def _any_case(text: str) -> str:
    return "".join(f"[{each.lower()}{each.upper()}]" if each.isalpha() else re.escape(each) for each in text)


# What a reply's head says to this hop only. The lines that decide framing are told; X-Request-Id is each server's own.
_DECIDING = {"connection", "content-length", "transfer-encoding"}
HOP_FIELD_NAMES = HOP_BY_HOP | _DECIDING | {"x-request-id"}
HOP_FIELDS = make_field_finder(_DECIDING, HOP_FIELD_NAMES - _DECIDING)

# RFC 9110 §5.6.4: quoted-string, closed within its line.
QUOTED_STRING = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'

# RFC 9112 §7.1.1: chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ). To the letter, for others
# look for the end of a quote, or of a line, elsewhere.
CHUNK_EXT = rb"(?:[ \t]*+;[ \t]*+" + TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))?)++"

# RFC 9112 §7.1: chunk = chunk-size [ chunk-ext ] CRLF. At most 15 digits, so the size fits 60 bits everywhere.
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(" + CHUNK_EXT + rb")?\r\n")

# RFC 9112 §7.1.2: trailer-section, the empty line that ends it included.
TRAILER_SECTION = re.compile(FIELD_LINES + rb"\r\n")

# RFC 9110 §8.6: Content-Length = 1*DIGIT; 18 digits are an exabyte.
CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")

# RFC 9110 §7.2, RFC 3986 §3.2.2: Host = uri-host [ ":" port ], a name, an IPv4 address or an IP literal.
# Deliberate: a name may not hold a comma, which some take for the end of the first of several.
HOST = re.compile(
    rb"(?:[A-Za-z0-9\-._~!$&'()*+;=]++|(?:%[0-9A-Fa-f]{2})++|\[[0-9A-Fa-f:.]{2,45}\]|\[v[0-9A-Fa-f]\.[!-Z^-~]++\])"
    rb"(?::[0-9]{0,5})?"
)

# RFC 3986 §2.1: "%" stands only before two hex digits. RFC 9112 §3.2: a request-target holds no fragment.
BAD_TARGET = re.compile(rb"%(?![0-9A-Fa-f]{2})|#")

# RFC 3986 §3.2: the authority is terminated by the next slash or question mark.
AUTHORITY_END = re.compile(r"[/?]")

# Octets that end a line somewhere else than CRLF does, or NUL: never legal in a head (RFC 9112 §2.2).
STRAY_OCTET = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\x00")

# What may stand in a field value or a target that we write.
WRITABLE_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*+")
WRITABLE_NAME = re.compile(TOKEN.decode("ascii"))

# A request id that came with the request is kept only when it is harmless in logs and in shell lines.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")
