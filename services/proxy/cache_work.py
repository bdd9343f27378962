"""The cache's part in one exchange with an upstream: what was decided, what came, what is kept of it. No sockets.

The rules are `cache_rules`', the store is `reply_cache`, those who wait are in `collapsing`; `reply_work` calls this.
"""

from services.proxy.cache_rules import CacheSettings, Received, StoredReply, may_replace_failure
from services.proxy.collapsing import Fetches
from services.proxy.moments import Moment
from services.proxy.reply_cache import CacheQuery, Decision, ReplyCache

# RFC 5861 §4: in place of these a stale reply may be used.
FAILURES = frozenset({500, 502, 503, 504})
MAX_REFRESHES = 64  # fetches that nobody waits for, at the same time; beyond, who asks waits as ever


class CacheStore:
    """What exchanges share: the stored replies, and the fetches that others wait for.

    `gathered_bytes` are those of replies that are still coming; of them, too, there are at most `max_bytes`.
    `refreshing`: how many of the fetches have no client.
    """

    def __init__(self, replies: ReplyCache) -> None:
        self.replies = replies
        self.fetches = Fetches()
        self.gathered_bytes = 0
        self.refreshing = 0

    @property
    def may_refresh(self) -> bool:
        """Whether one more may fetch for no client."""
        return self.refreshing < MAX_REFRESHES


class CacheWork:
    """One exchange. `leads`: others may wait for what it fetches, and are told exactly once how that went."""

    def __init__(
        self, store: CacheStore, query: CacheQuery, decision: Decision, settings: CacheSettings, *, leads: bool = False
    ) -> None:
        self.query = query
        self.decision = decision
        self._store = store
        self._settings = settings
        self._must_settle = leads
        self._planned: StoredReply | None = None
        self._body = bytearray()

    @property
    def is_keeping(self) -> bool:
        """Whether the reply that is coming is to be stored."""
        return self._planned is not None

    def on_head(self, reply: Received, now: Moment) -> StoredReply | None:
        """The stored reply that answers in place of the one that has come; None: it passes, and may be stored."""
        replies, query = self._store.replies, self.query
        replies.invalidate(query, reply)
        refreshed = replies.refresh(query, self.decision, reply, self._settings)
        if refreshed is not None:
            self._settle(now, is_stored=True)
            return refreshed
        if reply.status in FAILURES and (stale := self.on_failure(now)) is not None:
            return stale
        self._planned = replies.plan(query, reply, self._settings)
        if self._planned is None:
            is_answer = reply.status < 500 and reply.status != 304
            if is_answer and query.method == "GET" and self.decision.stored is not None and query.may_be_kept:
                replies.forget(query)  # what is stored is not so any more
            self._settle(now, is_stored=False, may_be_stored=not is_answer)
        return None

    def on_data(self, data: bytes, now: Moment) -> None:
        """A part of the reply's body as it came. One that grows too large is not stored, and none when too much is on
        its way at once.
        """
        if self._planned is None:
            return
        store = self._store
        size, gathered_bytes = len(self._body) + len(data), store.gathered_bytes + len(data)
        if size > store.replies.max_reply_bytes or gathered_bytes > store.replies.max_bytes:
            self._drop()
            if size > store.replies.max_reply_bytes and self.decision.stored is not None:
                store.replies.forget(self.query)  # what is stored is not so any more
            self._settle(now, is_stored=False, may_be_stored=False)
        else:
            self._body += data
            store.gathered_bytes = gathered_bytes

    def on_end(self, now: Moment) -> None:
        """The reply came whole."""
        if self._planned is not None:
            is_stored = self._store.replies.keep(self.query, self._planned, bytes(self._body))
            self._drop()
            self._settle(now, is_stored=is_stored, may_be_stored=is_stored)

    def on_replaced(self, now: Moment) -> None:
        """The client gets a page instead, and nobody reads the reply: the next ones need not wait for each other."""
        self._drop()
        self._settle(now, is_stored=False, may_be_stored=False)

    def on_cut(self, now: Moment) -> None:
        """It broke off, or nobody wants the rest: it is not stored (RFC 9111 §3.3)."""
        self._drop()
        self._settle(now, is_stored=False)

    def on_failure(self, now: Moment) -> StoredReply | None:
        """No reply came, or one that says as much: the stale one that may stand in for it, if there is any."""
        self._settle(now, is_stored=False)
        stored = self.decision.stored
        return stored if stored is not None and may_replace_failure(stored, now.unix_s) else None

    def lead(self, now: Moment) -> bool:
        """Whether this is now the one fetch of its reply, with no client; then `end_refresh` is called once."""
        if not self._store.fetches.lead(self.query.key, now.steady_s):
            return False
        self._must_settle = True
        self._store.refreshing += 1
        return True

    def end_refresh(self, now: Moment) -> None:
        """It is over, however it ended."""
        self._store.refreshing -= 1
        self.on_cut(now)

    def _drop(self) -> None:
        self._planned = None
        self._store.gathered_bytes -= len(self._body)
        self._body.clear()

    def _settle(self, now: Moment, *, is_stored: bool, may_be_stored: bool = True) -> None:
        if self._must_settle:
            self._must_settle = False
            self._store.fetches.settle(self.query.key, now.steady_s, is_stored=is_stored, may_be_stored=may_be_stored)
