"""One case: bytes that a client sends, and what is right to do about them. The tables are in `cases`."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

HOST = b"Host: a.example\r\n"
# What an attacker hides in a body. Nothing is at /smuggled, so a 404 shows that it was taken for a request.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

# After a status: it came from the server behind, when there is one.
BEHIND = "¹"

# Ways to refuse that are as good as 400 and the end of the connection. `?` stands for any digit.
REFUSED = ("4?? ×", "5?? ×", "— ×")
# Where the RFC asks for 400, but lets the connection go on, for the message's end is known.
REFUSED_OR_OPEN = (*REFUSED, "4??", "5??")


@dataclass(frozen=True, slots=True)
class Case:
    """`wire` is sent, then `then` after the first reply; `right` is the outcome that our rules ask for.

    An outcome is written as a cell of the document: the statuses in order, `×` when the connection is closed
    afterwards, `—` for no reply, `20·200` for twenty times 200. `also` are outcomes, as patterns, that the RFCs allow
    as well. `{etag}` and `{modified}` in `wire` become the server's own validators of /file.txt.
    """

    name: str  # what is sent, in words
    section: str  # of which RFC
    wire: bytes
    rule: str  # what is right, in words
    right: str
    also: tuple[str, ...] = ()
    then: bytes = b""
    is_head: bool = False  # the replies answer HEAD
    is_cut: bool = False  # the client ends its side after `wire`
    shows: str = ""  # a field of the last reply that belongs to the outcome
    departs: bool = False  # `right` is what we do on purpose, although a MUST or SHOULD says otherwise

    @property
    def reply_count(self) -> int:
        """How many heads, interim ones included, the right outcome has."""
        count = 0
        for word in self.right.split(" (")[0].split():
            times, dot, _ = word.partition("·")
            count += int(times) if dot else word.isdigit()
        return count

    def allows(self, outcome: str) -> bool:
        """Whether no MUST and no SHOULD of the RFCs is against the outcome; who gave it does not matter."""
        outcome = outcome.replace(BEHIND, "")
        is_ours = outcome == self.right and not self.departs
        return is_ours or any(fnmatchcase(outcome, pattern) for pattern in self.also)


def get(target: str = "/hello", fields: bytes = b"", method: str = "GET") -> bytes:
    """A whole, plain request with Host, and `fields` as complete lines."""
    return b"%b %b HTTP/1.1\r\n" % (method.encode(), target.encode()) + HOST + fields + b"\r\n"


def post(fields: bytes, body: bytes, target: str = "/echo") -> bytes:
    """A POST with a body; `fields` as complete lines say how long it is."""
    return get(target, fields, "POST") + body


def chunked(body: bytes) -> bytes:
    """A POST with `Transfer-Encoding: chunked`; `body` is the chunked body as it stands on the wire."""
    return post(b"Transfer-Encoding: chunked\r\n", body)
