"""What the tables show, in sentences. Each stands on cells, and is left out of the document when they say otherwise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

PREFACE = """\
# How HTTP is read: WeApRous, nginx, HAProxy

The same bytes, sent to this server, to nginx and to HAProxy, and what each does about them. Written by
`make conformance-matrix` (`python -m conformance.matrix`): edit the cases in `conformance/cases/`, not this page. A
test (`tests/conformance/test_matrix.py`) sends all of them to this server and holds its column true.
"""

# A subject's title, and its short name here.
LINE, HOST, FIELDS = "Request line and version", "Request-target and Host", "Field lines"
LENGTH, CODING, CHUNKS = "Content-Length", "Transfer-Encoding, and both", "Chunks and trailers"
PERSISTENCE, LIMITS = "Persistence, pipelining, Expect, Upgrade", "Limits and time-outs"
FILES = "Methods, ranges and conditions on a file"
WEAPROUS, NGINX, HAPROXY = "WeApRous", "nginx", "HAProxy"


@dataclass(frozen=True, slots=True)
class Sentence:
    """`evidence`: server, subject, name of the case, and a pattern that the outcome must match."""

    text: str
    evidence: tuple[tuple[str, str, str, str], ...]

    def is_true(self, outcomes: Mapping[str, Mapping[tuple[str, str], str]]) -> bool:
        """Whether every cell is as the sentence says."""
        return all(
            fnmatchcase(outcomes[server].get((subject, name), ""), pattern)
            for server, subject, name, pattern in self.evidence
        )


SENTENCES: tuple[Sentence, ...] = (
    Sentence(
        "**Two lengths in one message** (CL.TE, TE.CL, TE.TE): nobody is fooled. WeApRous and nginx refuse; "
        "HAProxy takes the chunks, drops the length and closes after the reply, as RFC 9112 §6.3 allows.",
        (
            (WEAPROUS, CODING, "CL.TE: both fields, length over all", "400 ×"),
            (NGINX, CODING, "CL.TE: both fields, length over all", "400 ×"),
            (HAPROXY, CODING, "CL.TE: both fields, length over all", "200 ×"),
            (HAPROXY, CODING, "TE.CL: both fields, length of the first line", "200 ×"),
        ),
    ),
    Sentence(
        "**Line ends.** WeApRous takes CRLF only. nginx and HAProxy take a lone LF, which the RFC allows in a "
        "head, and also within the chunked coding, where it does not: after a size, after the data, inside an "
        "extension (TERM.EXT). That difference between two hops is what the attacks of 2025 live on.",
        (
            (WEAPROUS, LINE, "every line ended by LF", "400 ×"),
            (NGINX, LINE, "every line ended by LF", "200"),
            (HAPROXY, LINE, "every line ended by LF", "200"),
            (NGINX, CHUNKS, "size `5` ended by LF", "200 404"),
            (HAPROXY, CHUNKS, "data ended by LF", "200 404"),
            (HAPROXY, CHUNKS, "TERM.EXT: LF in an extension, `5;` LF `xx`", "200 404"),
        ),
    ),
    Sentence(
        "**Chunk sizes and extensions.** White space after the size, a NUL in an extension and a quote that is not "
        "closed there pass nginx and HAProxy. WeApRous takes what the grammar has, and skips it.",
        (
            (WEAPROUS, CHUNKS, "a quote that is not closed", "400 ×"),
            (NGINX, CHUNKS, "a quote that is not closed", "200 404"),
            (HAPROXY, CHUNKS, "a quote that is not closed", "200 404"),
            (WEAPROUS, CHUNKS, 'extension `;a="b;c"`', "200"),
            (NGINX, CHUNKS, "size with TAB after", "200 404"),
            (HAPROXY, CHUNKS, "size with TAB after", "200 404"),
            (NGINX, CHUNKS, "NUL in an extension", "200 404"),
            (HAPROXY, CHUNKS, "NUL in an extension", "200 404"),
            (WEAPROUS, CHUNKS, "NUL in an extension", "400 ×"),
        ),
    ),
    Sentence(
        "**Host.** What is no host at all (`u@a.example`, `a?b`, `a.example:x`) MUST get 400; nginx and HAProxy "
        "answer it, and HAProxy takes two equal Host fields for one.",
        (
            (NGINX, HOST, "Host `u@a.example`", "200"),
            (HAPROXY, HOST, "Host `u@a.example`", "200"),
            (NGINX, HOST, "Host `a?b`", "200"),
            (HAPROXY, HOST, "Host twice, the same", "200"),
            (WEAPROUS, HOST, "Host `a?b`", "400 ×"),
        ),
    ),
    Sentence(
        "**Broken field lines.** nginx skips a line without a colon or with a name that is no token, and answers "
        "the request; it hardly looks at trailers. HAProxy refuses both.",
        (
            (NGINX, FIELDS, "`X`, no colon", "200"),
            (NGINX, FIELDS, "`X(Y): a`", "200"),
            (NGINX, CHUNKS, "trailer without colon", "200 404"),
            (HAPROXY, FIELDS, "`X`, no colon", "400 ×"),
            (HAPROXY, CHUNKS, "trailer without colon", "400 ×"),
        ),
    ),
    Sentence(
        "**Folded lines and lists of equal lengths.** HAProxy mends both before it passes them on; WeApRous and "
        "nginx refuse.",
        (
            (HAPROXY, FIELDS, "a folded line (obs-fold)", "200"),
            (NGINX, FIELDS, "a folded line (obs-fold)", "400 ×"),
            (HAPROXY, LENGTH, "`5, 5`", "200 404"),
            (NGINX, LENGTH, "`5, 5`", "400 ×"),
        ),
    ),
    Sentence(
        "**Versions.** nginx still answers HTTP/0.9 and takes `HTTP/1.10`; HAProxy answers `HTTP/2.0` on the "
        "request line, and speaks HTTP/2 when it sees its preface. WeApRous speaks 1.0 and 1.1; it refuses even "
        "1.2, which nobody sends.",
        (
            (NGINX, LINE, "no version (HTTP/0.9)", "no HTTP/1 ×"),
            (NGINX, LINE, "`HTTP/1.10`", "200"),
            (HAPROXY, LINE, "`HTTP/2.0`", "200"),
            (HAPROXY, LINE, "the preface of HTTP/2", "no HTTP/1 ×"),
            (WEAPROUS, LINE, "`HTTP/1.2`", "505 ×"),
        ),
    ),
    Sentence(
        "**Where nginx is the stricter one.** It takes no TAB for white space around Host, Content-Length and "
        "Transfer-Encoding, where RFC 9110 §5.6.3 has it as good as a space.",
        (
            (NGINX, HOST, "`Host:` TAB `a.example` TAB", "400 ×"),
            (NGINX, LENGTH, "`5` with TABs around", "400 ×"),
            (NGINX, CODING, "TAB `chunked` TAB", "501 ×"),
        ),
    ),
    Sentence(
        "**Stricter than the RFCs ask, on purpose.** WeApRous refuses an absolute target that disagrees with Host,"
        " equal Content-Lengths, an empty element beside `chunked`, folded lines, control characters in values, "
        "sizes and lengths with more digits than any number needs, and expectations other than 100-continue: each "
        "lets two readers of one message differ, and no client of today sends one.",
        (
            (WEAPROUS, HOST, "`http://b.example/hello`, Host `a.example`", "400 ×"),
            (WEAPROUS, LENGTH, "twice, `5` and `5`", "400 ×"),
            (WEAPROUS, CODING, "`chunked,`", "501 ×"),
            (WEAPROUS, FIELDS, "octet 01 in a value", "400 ×"),
            (WEAPROUS, CHUNKS, "size of 16 zeros and `5`", "400 ×"),
            (WEAPROUS, PERSISTENCE, "`something`", "417 ×"),
        ),
    ),
    Sentence(
        "**What a client is told.** WeApRous names the limit that was passed (414, 431, 408, 405 with Allow). "
        "nginx says 400 for a head that is too large, leaves Allow out, and closes on an unfinished request "
        "without a word.",
        (
            (WEAPROUS, LIMITS, "a head of 40,000 octets", "431 ×"),
            (NGINX, LIMITS, "a head of 40,000 octets", "400 ×"),
            (WEAPROUS, LIMITS, "half a body, then silence", "408 ×"),
            (NGINX, LIMITS, "half a body, then silence", "— ×"),
            (WEAPROUS, FILES, "DELETE", "405 (GET, HEAD, OPTIONS)"),
            (NGINX, FILES, "DELETE", "405"),
        ),
    ),
    Sentence(
        "**Files.** The three agree on conditions and single ranges. Several ranges get everything from WeApRous "
        "and a multipart body from nginx; nginx also honours a Range on HEAD, which is for GET only.",
        (
            (WEAPROUS, FILES, "Range `bytes=0-1,4-5`", "200"),
            (NGINX, FILES, "Range `bytes=0-1,4-5`", "206"),
            (NGINX, FILES, "HEAD with Range", "206 *"),
            (WEAPROUS, FILES, "If-None-Match, the tag", "304"),
            (NGINX, FILES, "If-None-Match, the tag", "304"),
        ),
    ),
)


def true_sentences(outcomes: Mapping[str, Mapping[tuple[str, str], str]]) -> Iterable[str]:
    """The sentences that these outcomes bear out."""
    return [sentence.text for sentence in SENTENCES if sentence.is_true(outcomes)]


def dropped_sentences(outcomes: Mapping[str, Mapping[tuple[str, str], str]]) -> Iterable[str]:
    """The others."""
    return [sentence.text for sentence in SENTENCES if not sentence.is_true(outcomes)]
