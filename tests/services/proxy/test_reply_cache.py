"""The cache from the outside: ask, fetch, keep, ask again; what is found, what has gone, and how much it holds."""

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.proxy.cache_rules import CacheSettings, Received, read_traits
from services.proxy.reply_cache import (
    MAX_VARIANTS,
    OVERHEAD_BYTES,
    CacheQuery,
    Decision,
    ReplyCache,
    Verdict,
    _size_of,
    answer_from,
    cache_status,
)
from shared.httpcore.headers import Headers

T0 = 1_700_000_000.0
PLAIN = CacheSettings()
MINUTE = ("Cache-Control: max-age=60", 'ETag: "x"')


def headers(*lines: str) -> Headers:
    return Headers([(line.partition(": ")[0], line.partition(": ")[2]) for line in lines])


def query(target: str = "/a", *lines: str, method: str = "GET", body: bool = False) -> CacheQuery:
    fields = headers(*lines)
    return CacheQuery(method, "http://shop.example", target, fields, read_traits(fields), body)


def reply(*lines: str, status: int = 200, now: float = T0) -> Received:
    return Received(status, headers(*lines), now, now)


def fetch(cache: ReplyCache, asked: CacheQuery, *lines: str, body: bytes = b"hello", now: float = T0) -> bool:
    planned = cache.plan(asked, reply(*(lines or MINUTE), now=now), PLAIN)
    return planned is not None and cache.keep(asked, planned, body)


def look(cache: ReplyCache, asked: CacheQuery, now: float = T0) -> Decision:
    return cache.look_up(asked, PLAIN, now)


@pytest.fixture
def cache() -> ReplyCache:
    return ReplyCache(1_000_000, 100_000)


def test_what_was_fetched_is_found_until_it_is_stale_and_then_asked_about(cache: ReplyCache) -> None:
    asked = query()
    assert look(cache, asked).verdict is Verdict.MISS
    assert fetch(cache, asked)
    hit = look(cache, asked, T0 + 59)
    assert hit.verdict is Verdict.HIT
    assert hit.stored is not None
    assert hit.stored.body == b"hello"
    stale = look(cache, asked, T0 + 61)
    assert (stale.verdict, stale.conditions) == (Verdict.STALE, (("If-None-Match", '"x"'),))
    assert look(cache, query("/b")).verdict is Verdict.MISS


@pytest.mark.parametrize(
    "asked",
    [
        query(method="POST"),
        query(method="PUT", body=True),
        query(body=True),
        query("/a", "Range: bytes=0-1"),
        query("/a", 'If-Match: "x"'),
        query("/a", "If-Unmodified-Since: x"),
    ],
    ids=["POST", "PUT", "a GET with a body", "a part", "If-Match", "If-Unmodified-Since"],
)
def test_some_requests_go_past_the_cache_and_leave_nothing_there(cache: ReplyCache, asked: CacheQuery) -> None:
    fetch(cache, query())
    assert look(cache, asked).verdict is Verdict.BYPASS
    assert not fetch(cache, asked, body=b"what only this request was told")


def test_head_is_answered_from_what_get_left_and_leaves_nothing(cache: ReplyCache) -> None:
    head = query(method="HEAD")
    assert not fetch(cache, head)
    assert look(cache, head).verdict is Verdict.MISS
    fetch(cache, query())
    assert look(cache, head).verdict is Verdict.HIT
    assert look(cache, head, T0 + 61) == Decision(Verdict.STALE, look(cache, head, T0 + 61).stored, ())


def test_only_if_cached_is_refused_when_it_is_not(cache: ReplyCache) -> None:
    asked = query("/a", "Cache-Control: only-if-cached")
    assert look(cache, asked).verdict is Verdict.REFUSE
    fetch(cache, query())
    assert look(cache, asked).verdict is Verdict.HIT
    assert look(cache, asked, T0 + 61).verdict is Verdict.REFUSE
    deaf = CacheSettings(honours_client=False)
    assert cache.look_up(asked, deaf, T0 + 61).verdict is Verdict.STALE


def test_variants_stand_beside_each_other_and_each_is_replaced_by_its_own(cache: ReplyCache) -> None:
    german, english = query("/a", "Accept-Language: de"), query("/a", "Accept-Language: en")
    for asked, body in ((german, b"Hallo"), (english, b"Hello"), (german, b"Servus")):
        fetch(cache, asked, *MINUTE, "Vary: Accept-Language", body=body)
    assert len(cache) == 2
    found = [look(cache, asked).stored for asked in (german, english)]
    assert [each.body for each in found if each] == [b"Servus", b"Hello"]
    assert look(cache, query()).verdict is Verdict.MISS


def test_of_variants_that_match_the_latest_counts(cache: ReplyCache) -> None:
    fetch(cache, query("/a", "A: 1", "B: 1"), *MINUTE, "Vary: A", body=b"first")
    fetch(cache, query("/a", "A: 2", "B: 1"), *MINUTE, "Vary: B", body=b"second")
    stored = look(cache, query("/a", "A: 1", "B: 1")).stored
    assert stored is not None
    assert stored.body == b"second"


def test_a_304_refreshes_and_answers_with_what_is_stored(cache: ReplyCache) -> None:
    asked = query()
    fetch(cache, asked)
    decided = look(cache, asked, T0 + 61)
    answer = cache.refresh(asked, decided, reply("Cache-Control: max-age=9", status=304, now=T0 + 61), PLAIN)
    assert answer is not None
    assert answer.body == b"hello"
    assert look(cache, asked, T0 + 69).verdict is Verdict.HIT
    assert look(cache, asked, T0 + 71).verdict is Verdict.STALE
    assert len(cache) == 1


def test_a_304_that_we_did_not_ask_for_is_the_client_s(cache: ReplyCache) -> None:
    asked = query("/a", 'If-None-Match: "x"')
    assert cache.refresh(asked, look(cache, asked), reply(status=304), PLAIN) is None
    fetch(cache, asked)
    assert cache.refresh(asked, look(cache, asked, T0 + 61), reply(status=200), PLAIN) is None


@pytest.mark.parametrize("line", ["Cache-Control: no-store", "Set-Cookie: a=b", 'ETag: "other"'])
def test_a_304_that_takes_back_what_is_stored_answers_once(cache: ReplyCache, line: str) -> None:
    asked = query()
    fetch(cache, asked)
    answer = cache.refresh(asked, look(cache, asked, T0 + 61), reply(line, status=304, now=T0 + 61), PLAIN)
    assert answer is not None
    assert answer.body == b"hello"
    assert look(cache, asked, T0 + 61).verdict is Verdict.MISS
    assert cache.size == 0


def test_a_304_that_comes_after_somebody_else_fetched_anew_changes_nothing(cache: ReplyCache) -> None:
    asked = query()
    fetch(cache, asked, body=b"old")
    decided = look(cache, asked, T0 + 61)
    fetch(cache, asked, body=b"new", now=T0 + 62)
    assert cache.refresh(asked, decided, reply(status=304, now=T0 + 63), PLAIN) is not None
    stored = look(cache, asked, T0 + 63).stored
    assert stored is not None
    assert stored.body == b"new"


def test_a_new_reply_that_may_not_be_stored_leaves_the_old_until_it_is_forgotten(cache: ReplyCache) -> None:
    asked = query()
    fetch(cache, asked)
    assert cache.plan(asked, reply("Cache-Control: no-store"), PLAIN) is None
    cache.forget(asked)
    assert look(cache, asked).verdict is Verdict.MISS


def test_a_write_makes_every_variant_of_its_target_go(cache: ReplyCache) -> None:
    for language in ("de", "en"):
        fetch(cache, query("/a", f"Accept-Language: {language}"), *MINUTE, "Vary: Accept-Language")
    fetch(cache, query("/list"))
    fetch(cache, query("/other"))
    post = query(method="POST")
    assert cache.invalidate(post, reply("Location: /list", status=201)) == 3
    assert [look(cache, query(target)).verdict for target in ("/list", "/other")] == [Verdict.MISS, Verdict.HIT]
    assert cache.invalidate(query("/other"), reply()) == 0


def test_what_is_too_large_is_not_kept_and_what_it_replaces_has_gone(cache: ReplyCache) -> None:
    asked = query()
    fetch(cache, asked)
    assert not fetch(cache, asked, body=b"x" * 100_001)
    assert look(cache, asked).verdict is Verdict.MISS
    assert cache.plan(asked, reply(*MINUTE, "Content-Length: 100001"), PLAIN) is None
    assert cache.plan(asked, reply(*MINUTE, "Content-Length: 100000"), PLAIN) is not None


def test_the_one_not_used_for_longest_makes_room() -> None:
    cache = ReplyCache(3 * (OVERHEAD_BYTES + 1600), 10_000)
    for target in ("/a", "/b", "/c"):
        fetch(cache, query(target), body=b"x" * 1000)
    look(cache, query("/a"))
    fetch(cache, query("/d"), body=b"x" * 1000)
    verdicts = [look(cache, query(target)).verdict for target in ("/a", "/b", "/c", "/d")]
    assert verdicts == [Verdict.HIT, Verdict.MISS, Verdict.HIT, Verdict.HIT]


@pytest.mark.parametrize(("count", "size"), [(1, 0), (10, 20), (95, 1), (95, 60)])
def test_what_is_stored_takes_about_the_memory_that_it_is_said_to(count: int, size: int) -> None:
    cache = ReplyCache(1_000_000, 10_000)
    tracemalloc.start()
    for number in range(1000):
        lines = [f"X-{at}: {str(at + number).zfill(size)}" for at in range(count)]
        fetch(cache, query(f"/{number}"), *MINUTE, *lines, body=b"%d" % number)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1.3 * cache.size


def test_one_key_has_so_many_variants_at_most(cache: ReplyCache) -> None:
    for agent in range(MAX_VARIANTS + 5):
        fetch(cache, query("/a", f"User-Agent: {agent}"), *MINUTE, "Vary: User-Agent")
    assert len(cache) == MAX_VARIANTS
    assert look(cache, query("/a", "User-Agent: 4")).verdict is Verdict.MISS
    assert look(cache, query("/a", "User-Agent: 5")).verdict is Verdict.HIT


class AnyUse(RuleBasedStateMachine):
    """Whatever is done, the size is that of what is there, and within the bound."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ReplyCache(20_000, 5_000)
        self.now = T0

    @rule(path=st.sampled_from(["/a", "/b", "/c"]), vary=st.sampled_from(["", "A", "A, B"]),
          value=st.sampled_from("xyz"), length=st.integers(0, 6_000))  # fmt: skip
    def fetch(self, path: str, vary: str, value: str, length: int) -> None:
        lines = [*MINUTE, *([f"Vary: {vary}"] if vary else [])]
        fetch(self.cache, query(path, f"A: {value}"), *lines, body=b"x" * length, now=self.now)

    @rule(path=st.sampled_from(["/a", "/b", "/c"]), value=st.sampled_from("xyz"), passed=st.floats(0, 40))
    def ask(self, path: str, value: str, passed: float) -> None:
        self.now += passed
        asked = query(path, f"A: {value}")
        decided = look(self.cache, asked, self.now)
        if decided.verdict is Verdict.HIT:
            assert decided.stored is not None
            assert decided.stored.freshness_s(self.now) > 0
        elif decided.verdict is Verdict.STALE:
            self.cache.refresh(asked, decided, reply(status=304, now=self.now), PLAIN)
            assert look(self.cache, asked, self.now).verdict is Verdict.HIT

    @rule(path=st.sampled_from(["/a", "/b", "/c"]))
    def write(self, path: str) -> None:
        self.cache.invalidate(query(path, method="DELETE"), reply(status=204))
        assert look(self.cache, query(path, "A: x")).verdict is Verdict.MISS

    @invariant()
    def size_is_true(self) -> None:
        each = [(key, stored) for key, variants in self.cache._variants.items() for stored in variants]
        assert self.cache.size == sum(_size_of(key, stored) for key, stored in each) <= 20_000
        assert all(self.cache._variants.values())


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (('If-None-Match: "x"',), 304),
        (('If-None-Match: W/"x"',), 304),
        (("If-None-Match: *",), 304),
        (('If-None-Match: "y"',), 200),
        (('If-None-Match: "y"', "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT"), 200),
        (("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",), 304),
        (("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT",), 200),
        ((), 200),
    ],
)
def test_a_client_that_has_it_gets_a_304(cache: ReplyCache, lines: tuple[str, ...], status: int) -> None:
    fetch(
        cache, query(), 'ETag: W/"x"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Cache-Control: max-age=60",
        "Content-Type: text/plain", "Content-Location: /a.txt",
    )  # fmt: skip
    asked = query("/a", *lines)
    stored = look(cache, asked, T0 + 5).stored
    assert stored is not None
    answer = answer_from(stored, asked, T0 + 5)
    names = [name for name, _ in answer.pairs]
    assert answer.status == status
    assert ("Content-Type" in names, answer.body) == ((True, b"hello") if status == 200 else (False, b""))
    assert {"ETag", "Content-Location", "Age", "Cache-Control"} <= set(names)


def test_a_client_s_date_means_nothing_without_one_of_ours(cache: ReplyCache) -> None:
    asked = query("/a", "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT")
    fetch(cache, asked, "Cache-Control: max-age=60")
    stored = look(cache, asked).stored
    assert stored is not None
    assert answer_from(stored, asked, T0).status == 200


def test_a_stored_404_stays_one_for_who_claims_to_have_it(cache: ReplyCache) -> None:
    asked = query("/a", "If-None-Match: *")
    planned = cache.plan(asked, reply(*MINUTE, status=404), PLAIN)
    assert planned is not None
    assert answer_from(planned, asked, T0).status == 404


def test_cache_status_says_what_happened(cache: ReplyCache) -> None:
    asked = query()
    assert cache_status(look(cache, asked), T0, is_stored=True, upstream_status=200) == (
        "weaprous; fwd=uri-miss; fwd-status=200; stored"
    )
    fetch(cache, asked)
    assert cache_status(look(cache, asked, T0 + 20), T0 + 20) == "weaprous; hit; ttl=40"
    assert cache_status(look(cache, asked, T0 + 70), T0 + 70, upstream_status=304) == (
        "weaprous; fwd=stale; fwd-status=304"
    )
    assert cache_status(look(cache, query(method="POST")), T0) == "weaprous; fwd=bypass"


def test_a_key_of_one_s_own_takes_the_place_of_the_url_and_a_write_by_it_makes_it_go(cache: ReplyCache) -> None:
    mine = replace(query("/a?x=1"), own_key=" pool /a")
    assert fetch(cache, mine, "Cache-Control: max-age=60")
    assert look(cache, replace(query("/a?x=2"), own_key=" pool /a")).verdict is Verdict.HIT
    assert look(cache, query("/a?x=1")).verdict is Verdict.MISS
    write = replace(query("/a?x=3", method="POST"), own_key=" pool /a")
    assert cache.invalidate(write, reply()) == 1
    assert look(cache, mine).verdict is Verdict.MISS


def test_what_is_for_one_request_alone_is_not_planned_for(cache: ReplyCache) -> None:
    asked = replace(query(), may_be_kept=False)
    assert cache.plan(asked, reply("Cache-Control: max-age=60"), CacheSettings()) is None
