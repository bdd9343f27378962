"""Fields of replies that an operator adds or takes away: `add_header`, `proxy_hide_header`, `proxy_pass_header`. Values
in, values out.

Which of several blocks' words hold for a place is `config_sites`' to say; `reply_work` and `shaping` write the fields.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.proxy.field_lines import field_pairs
from services.proxy.templates import RequestFacts, Template
from shared.httpcore.headers import HOP_BY_HOP
from shared.httpcore.message import Request, Response

if TYPE_CHECKING:
    from services.proxy.reply_heads import ReplyHead

# nginx's list: with these a field is added without `always`.
PLAIN_STATUSES = frozenset({200, 201, 204, 206, 301, 302, 303, 304, 307, 308})
# What a reply has once or not at all (RFC 9110) is replaced. Deliberate: nginx does so for ETag and Last-Modified, and
# writes all others twice.
SINGLE_FIELDS = frozenset(
    {"content-type", "date", "etag", "expires", "last-modified", "location", "retry-after", "server"}
)
# What frames the reply or concerns one connection, and the id, which our own server writes.
UNTOUCHABLE_FIELDS = HOP_BY_HOP | {"content-length", "x-request-id"}

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AddedField:
    """One `add_header`; not `is_always`: only to replies of `PLAIN_STATUSES`."""

    name: str
    value: Template
    is_always: bool = False


@dataclass(frozen=True, slots=True)
class ReplyFields:
    """What the replies of one place get and lose. `hidden` are names in lower case.

    `is_constant`: what is added is always the same. `kept_heads`: what has become of some, by their bytes, but for
    what is different each time.
    """

    added: tuple[AddedField, ...] = ()
    hidden: frozenset[str] = frozenset()
    is_constant: bool = False
    kept_heads: "dict[bytes, ReplyHead]" = field(default_factory=dict, compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.added or self.hidden)

    def additions(self, status: int, facts: RequestFacts) -> Pairs:
        """What a reply of this status gets. An empty value is not sent, but takes the place of a single field's."""
        return [
            (each.name, each.value.render(facts).strip(" \t"))
            for each in self.added
            if each.is_always or status in PLAIN_STATUSES
        ]

    def shown(self, pairs: Iterable[tuple[str, str]]) -> Pairs:
        """An upstream's fields without those that are hidden."""
        hidden = self.hidden
        return [pair for pair in pairs if pair[0].lower() not in hidden] if hidden else list(pairs)

    def shown_head(self, head: "ReplyHead") -> "ReplyHead":
        """The same of an interim reply, which gets nothing added."""
        if not self.hidden:
            return head
        return head.with_pairs(self.shown(field_pairs(head.field_lines)), has_length=True)

    def decorate(self, request: Request, response: Response) -> None:
        """A reply of the proxy's own, or one that it kept, gets what is added."""
        if not self.added:
            return
        additions = self.additions(response.status, RequestFacts(request, ""))
        if any(name.lower() == "content-type" for name, _ in additions):
            response.content_type = None
        response.headers = joined(response.headers, additions)


NO_FIELDS = ReplyFields()


def make_reply_fields(added: tuple[AddedField, ...], hidden: Iterable[str]) -> ReplyFields:
    """What the words of one place say."""
    names = frozenset(hidden)
    return ReplyFields(added, names, bool(added or names) and all(each.value.is_constant for each in added))


def joined(pairs: Iterable[tuple[str, str]], additions: Pairs) -> Pairs:
    """The fields and what is added to them, which takes the place of those in `SINGLE_FIELDS`."""
    replaced = SINGLE_FIELDS & {name.lower() for name, _ in additions}
    kept = [pair for pair in pairs if pair[0].lower() not in replaced] if replaced else list(pairs)
    return kept + [pair for pair in additions if pair[1]]
