"""Requests for places that do no more than add fields to replies, or take some away: the quick way for the commonest.

What is added and taken is `reply_fields`'. Places that limit, cache or compress as well go by `shaping`.
"""

from services.proxy.field_lines import field_pairs
from services.proxy.forward import Forwarding
from services.proxy.reply_fields import ReplyFields, joined
from services.proxy.reply_heads import MAX_KEPT_BYTES, ReplyHead
from services.proxy.reply_rewriting import rewrite_reply_fields
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Response

MAX_KEPT_HEADS = 16  # of one place


class DecoratingForwarding(Forwarding):
    """A request whose reply gets other fields."""

    __slots__ = ()

    def _pass_reply(self, head: ReplyHead, data: bytes) -> None:
        self._reply = self._changed(head)
        super()._pass_reply(self._reply, data)

    def _pass_interim(self, head: ReplyHead) -> None:
        super()._pass_interim(self._destination.features.reply_fields.shown_head(head))

    def _changed(self, head: ReplyHead) -> ReplyHead:
        """Upstreams say the same head again and again, so what is the same each time is made once."""
        features, facts = self._destination.features, RequestFacts(self.request, self.upstream.name)
        fields = features.reply_fields
        additions = [] if fields.is_constant or head.status == 101 else fields.additions(head.status, facts)
        if head.redirects or head.sets_cookie:
            pairs = rewrite_reply_fields(field_pairs(head.field_lines), features.reply_rules, facts)
            changed = _without_hidden(head, pairs, fields, facts)
        elif (known := fields.kept_heads.get(head.wire)) is not None:
            changed = known
        else:
            changed = _without_hidden(head, field_pairs(head.field_lines), fields, facts)
            _keep(fields.kept_heads, head, changed)
        return changed.with_more(additions) if additions else changed

    def _answer(self, response: Response) -> None:
        self._destination.features.reply_fields.decorate(self.request, response)
        super()._answer(response)


def _without_hidden(
    head: ReplyHead, pairs: list[tuple[str, str]], fields: ReplyFields, facts: RequestFacts
) -> ReplyHead:
    """The head without what goes; with what comes, where that is always the same. A 101's is added by `_answer`."""
    additions = fields.additions(head.status, facts) if head.status != 101 else []
    kept = joined(fields.shown(pairs), additions if fields.is_constant else [(name, "") for name, _ in additions])
    return head.with_pairs(kept, has_length=head.content_length is not None)


def _keep(kept: dict[bytes, ReplyHead], head: ReplyHead, changed: ReplyHead) -> None:
    if head.size <= MAX_KEPT_BYTES:
        if len(kept) >= MAX_KEPT_HEADS:
            kept.clear()
        kept[head.wire] = changed
