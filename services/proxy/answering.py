"""What the client gets of one request: an upstream's reply, cut where that was cut, a tunnel, or a reply of our own.

The part of a `Forwarding` that begins when the final head has come. Bodies on their way are `relay`'s; what a request
does at an upstream before is `attempt`'s, and which upstream that is, `forward`'s.
"""

import logging
import math
from time import monotonic

from services.proxy.attempt import Attempt
from services.proxy.destination import Destination
from services.proxy.field_lines import field_pairs
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.relay import Collecting, Passing, Relay, Splicing, take_pipe
from services.proxy.reply_heads import PASSED_HEAD, REQUEST_ID_START, ReplyHead
from services.proxy.reply_rewriting import rewrite_reply_fields
from services.proxy.retries import Failure, FailureKind
from services.proxy.revocation import Oversight
from services.proxy.rewriting import wants_tunnel
from services.proxy.stages import CHOOSING, OVER, REPLYING, TUNNELLING
from services.proxy.templates import RequestFacts
from services.proxy.tunnel import HANDOVER_TIMEOUT_S, TunnelUpgrade
from shared.httpcore.framing import LengthDecoder, response_body_decoder
from shared.httpcore.message import Response
from shared.httpcore.serializing import BODILESS, serialize_field, serialize_fields

_log = logging.getLogger("weaprous.proxy.forward")


class Answering(Attempt):
    """One request, from the head of the reply to its end."""

    __slots__ = ("_destination", "_is_head_out", "_metrics", "_relay", "_reply")

    # `Forwarding` sets these, as it does `Attempt`'s.
    _destination: Destination
    _metrics: ProxyMetrics
    _relay: Relay | None
    _reply: ReplyHead
    _is_head_out: bool

    def _on_head(self, head: ReplyHead, data: bytes) -> None:
        self._note_reply(head)
        self._pass_reply(head, data)

    def _note_reply(self, head: ReplyHead) -> None:
        self.stage = REPLYING
        self._reply = head
        upstream, pool, now = self.upstream, self.pool, monotonic()
        self._metrics.count_reply(upstream, head.status, now - self.began_at, now)
        pool.note_reply(upstream, head.status, now)

    def _pass_reply(self, head: ReplyHead, data: bytes) -> None:
        """The reply begins with `data`, head included."""
        is_head = self.request.method == "HEAD"
        if head.is_sized and not is_head:
            assert head.content_length is not None
            end = head.size + head.content_length
            if len(data) >= end:
                self.send_whole(data[head.size : end], is_clean=len(data) == end)
                return
        elif head.status == 101:
            self._switch(head, data[head.size :])
            return
        elif is_head or head.status in BODILESS:
            self.send_whole(b"", is_clean=len(data) == head.size)
            return
        self.expect_more()
        relay = self._relay = self._choose_relay(head)
        relay.begin(data[head.size :])

    def _choose_relay(self, head: ReplyHead) -> Relay:
        length = head.content_length
        if length is not None and length <= Collecting.MAX_BYTES:
            return Collecting(self, length)
        if length is not None and self._destination.oversight is None and (pipe := take_pipe(self, length)) is not None:
            return Splicing(self, length, pipe)
        return Passing(self, response_body_decoder(self.request.method, head.status, head.is_chunked, length))

    def pass_rest(self, left: int, sent_bytes: int) -> None:
        """The rest of a body that could not be spliced is copied."""
        self._stop_relay()
        self._relay = Passing(self, LengthDecoder(left), sent_bytes)

    def send_whole(self, body: bytes, *, is_clean: bool) -> None:
        """The reply is complete: head and body go out in one call. `is_clean`: nothing came after it."""
        client, request, head = self.client, self.request, self._reply
        is_endless = head.content_length is None and head.status not in BODILESS  # such a head answers a HEAD
        output = self.reply_head(is_endless=is_endless) + body
        self._relay = None
        self._free(reuse=is_clean and head.keep_alive)
        self.stage = OVER
        client.output.write(output)
        client.finish(request, head.status, len(body), monotonic())
        self._table.soon(client.advance)

    def reply_head(self, *, is_endless: bool) -> bytes:
        """The head for the client. `is_endless`: its body has no length, so it is chunked, or ends by closing."""
        client, request, head = self.client, self.request, self._reply
        is_chunked = is_endless and request.version_minor == 1
        connection = client.connection_field(request, ends_by_closing=is_endless and not is_chunked)
        self._is_head_out = True
        oversight = self._destination.oversight
        is_decorated = oversight is not None or client.server.router.alters_replies
        is_renamed = (head.redirects or head.sets_cookie) and self._is_renamed(head)
        is_changed = is_decorated or is_renamed or self.pool.config.sticky is not None
        if head.has_date and not (is_changed or is_chunked or connection):
            return PASSED_HEAD % (head.passed, request.id.encode("ascii"))
        lines = self._lines_for_client(head)
        if is_decorated:
            lines = self._decorated(head, lines, oversight)
        if not head.has_date:
            lines += b"Date: %b\r\n" % client.server.http_date(monotonic()).encode("ascii")
        if is_chunked:
            lines += b"Transfer-Encoding: chunked\r\n"
        return b"%b%b%b%b%b\r\n\r\n" % (head.start, lines, connection, REQUEST_ID_START, request.id.encode("ascii"))

    def _is_renamed(self, head: ReplyHead) -> bool:
        rules = self._destination.features.reply_rules
        return bool(head.redirects and rules.redirects) or (head.sets_cookie and rules.change_cookies)

    def _lines_for_client(self, head: ReplyHead) -> bytes:
        """The upstream's field lines, renamed where they name it, and the cookie that binds the client to it."""
        rules, lines = self._destination.features.reply_rules, head.field_lines
        if self._is_renamed(head):
            facts = RequestFacts(self.request, self.upstream.name)
            lines = serialize_fields(rewrite_reply_fields(field_pairs(lines), rules, facts)).encode("latin-1")
        if self.pool.config.sticky is not None and (cookie := self.pool.sticky_cookie(self.request, self.upstream)):
            lines += serialize_field(*cookie).encode("latin-1")
        return lines

    def _decorated(self, head: ReplyHead, lines: bytes, oversight: Oversight | None) -> bytes:
        """The field lines as the hooks leave them, which know nothing of lines."""
        response = Response(head.status, b"", None, field_pairs(lines))
        if oversight is not None:
            oversight.decorate(self.request, response)
        self.client.server.router.decorate(self.request, response)
        return serialize_fields(response.headers).encode("latin-1")

    def _take_body(self, data: bytes) -> None:
        oversight = self._destination.oversight
        if oversight is not None and not oversight.may_stay():
            self._cut("the session is over")
        elif self._relay is not None:
            self._relay.on_data(data)

    def _on_body_end(self, detail: str, *, is_orderly: bool) -> None:
        if self.stage is TUNNELLING:  # the client has not taken its 101
            self.client.abort()
        elif self._relay is not None:
            self._relay.on_end(detail, is_orderly=is_orderly)

    def end_reply(self, sent_bytes: int, *, reuse: bool) -> None:
        """The relay has written the whole reply."""
        client = self.client
        self._stop_relay()
        self._free(reuse=reuse and self._reply.keep_alive)
        self.stage = OVER
        client.finish(self.request, self._reply.status, sent_bytes, monotonic())
        client.advance()

    def cut_reply(self, detail: str, sent_bytes: int = 0, *, is_broken: bool = False) -> None:
        """The upstream broke off, or broke the rules (`is_broken`), inside the body. The client sees its reply cut as
        well, if it has any of it; else it gets a proper 502 or 504.
        """
        self._stop_relay()
        if not self._is_head_out:
            kind = FailureKind.REPLY_TIMED_OUT if self.has_timed_out else FailureKind.CLOSED
            kind = FailureKind.BAD_REPLY if is_broken else kind
            self._fail(Failure(kind, f"cut short inside the reply: {detail}", has_reply_begun=True))
            return
        self.pool.note_broken(self.upstream, monotonic(), f"a reply was cut short: {detail}", self.began_at)
        extra = {"upstream": self.upstream.name, "reason": detail, "request_id": self.request.id}
        _log.warning("a reply was cut short", extra=extra)
        self._cut(detail, sent_bytes)

    def _cut(self, detail: str, sent_bytes: int = 0) -> None:
        self._stop_relay()
        self._free(reuse=False)
        self.stage = OVER
        self.client.cut_off(self.request, self._reply.status, sent_bytes)

    def _stop_relay(self) -> None:
        if self._relay is not None:
            self._relay.stop()
            self._relay = None

    # --- tunnels -----------------------------------------------------------------------------------------------

    def _switch(self, head: ReplyHead, early: bytes) -> None:
        """RFC 9110 §15.2.2: a 101 answers a request that asked for it, and names what was asked for."""
        if not wants_tunnel(self.request) or not head.switches_to_tunnel:
            detail = "got a 101 that nobody asked for"
            self._fail(Failure(FailureKind.BAD_REPLY, detail, has_reply_begun=True))
            return
        connection, self.connection = self.connection, None
        assert connection is not None
        self.stage = TUNNELLING
        self.deadline = monotonic() + HANDOVER_TIMEOUT_S
        pairs = [pair for pair in field_pairs(self._lines_for_client(head)) if pair[0].lower() != "date"]
        upgrade: Response = TunnelUpgrade(pairs, self, connection.release_socket(), early)
        oversight = self._destination.oversight
        if oversight is not None:
            upgrade = oversight.limit(upgrade)
        self._answer(upgrade)

    def on_tunnel_begun(self) -> None:
        """See TunnelOwner: it may be silent for hours."""
        self.deadline = math.inf

    def on_tunnel_ended(self) -> None:
        """See TunnelOwner."""
        self._free(reuse=False)
        self.stage = OVER

    # --- replies of our own ------------------------------------------------------------------------------------

    def _answer(self, response: Response) -> None:
        oversight = self._destination.oversight
        if oversight is not None:
            oversight.decorate(self.request, response)
        if self.stage is CHOOSING:
            self.stage = OVER
        self.client.reply(self.request, response)
        self._table.soon(self.client.advance)  # it may be at work with what came before, or after

    def _crash(self) -> None:
        self._stop_relay()
        response = self.client.internal_error(self.request, "forwarding")
        if self.stage is OVER:
            return
        if self._is_head_out:
            self._cut("something went wrong here")
        else:
            self._free(reuse=False)
            self._answer(response)
