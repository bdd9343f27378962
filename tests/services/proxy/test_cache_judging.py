"""What the cache says of a request: that it is what `intake` then does, and that asking changes nothing."""

import pytest

from services.proxy.cache_judging import judge
from services.proxy.cache_rules import Received
from services.proxy.config_file import parse_config
from services.proxy.explaining import Question
from services.proxy.features import Features
from services.proxy.intake import Intake
from services.proxy.moments import Moment
from services.proxy.reply_cache import Verdict
from shared.httpcore.headers import Headers
from shared.httpcore.message import Request

NOW = Moment(5_000.0, 1_000_000_000.0)
CONF = """
proxy_cache on; proxy_cache_bypass $cookie_fresh; proxy_no_cache $cookie_me; proxy_cache_use_stale updating=1m;
host * {
    proxy_pass http://10.0.0.1:80;
    location /behind/ { proxy_cache_background_update on; }
    location /byname/ { proxy_cache_key $uri; }
    location /strict/ { proxy_cache_use_stale off; proxy_cache_lock on; }
}
"""
FRESH, AGED = "Cache-Control: max-age=60", "Cache-Control: max-age=60\r\nAge: 70"
ME = ("Cookie", "me=1")


class Place:
    """A location's features, and the proxy's front with replies in its cache."""

    def __init__(self, prefix: str) -> None:
        config = parse_config(CONF)
        self.intake = Intake()
        self.intake.apply(config)
        self.prefix = prefix
        self.features: Features = next(
            location.features for location in config.hosts[0].locations if location.prefix == prefix
        )

    def request(self, *headers: tuple[str, str], method: str = "GET", path: str = "a") -> Request:
        return Question("shop.example", self.prefix + path, method=method, headers=headers).to_request()

    def keep(self, lines: str) -> None:
        assert self.features.cache is not None
        replies = self.intake.store.replies
        query, *_ = judge(self.request(), self.features, self.intake.store, NOW.unix_s, replies.foresee)
        head = Headers.parse(f'{lines}\r\nETag: "1"\r\n'.encode())
        planned = replies.plan(query, Received(200, head, NOW.unix_s, NOW.unix_s), self.features.cache)
        assert planned is not None
        assert replies.keep(query, planned, b"hello")


@pytest.mark.parametrize(
    ("prefix", "stored", "headers", "method", "expected"),
    [
        ("/", "", (), "GET", Verdict.MISS),
        ("/", FRESH, (), "GET", Verdict.HIT),
        ("/", FRESH, (ME,), "GET", Verdict.HIT),
        ("/", FRESH, (("Cookie", "fresh=1"),), "GET", Verdict.BYPASS),
        ("/", FRESH, (), "POST", Verdict.BYPASS),
        ("/", AGED, (), "GET", Verdict.STALE),
        ("/", "", (("Cache-Control", "only-if-cached"),), "GET", Verdict.REFUSE),
        ("/behind/", AGED, (), "GET", Verdict.UPDATING),
        ("/behind/", AGED, (ME,), "GET", Verdict.STALE),  # its fetch would not be kept
        ("/behind/", AGED, (("Cache-Control", "max-age=5"),), "GET", Verdict.STALE),
        ("/byname/", FRESH, (), "HEAD", Verdict.HIT),
        ("/strict/", AGED, (), "GET", Verdict.STALE),
    ],
)
def test_intake_does_what_is_said(
    prefix: str, stored: str, headers: tuple[tuple[str, str], ...], method: str, expected: Verdict
) -> None:
    place = Place(prefix)
    if stored:
        place.keep(stored)
    request, store = place.request(*headers, method=method), place.intake.store
    for _ in range(2):
        _, decision, renewal, leads = judge(request, place.features, store, NOW.unix_s, store.replies.foresee)
        assert decision.verdict is expected
    assert sum(place.intake.verdicts.values()) == 0
    taken = place.intake.take(request, place.features, NOW)
    assert [verdict for verdict, count in place.intake.verdicts.items() if count] == [expected]
    assert (taken.refresh is not None, bool(taken.waits_for)) == (renewal is not None, leads)
    assert taken.conditions == (decision.conditions if taken.response is None else ())


def test_who_fetches_for_himself_alone_asks_for_the_whole_reply() -> None:
    place = Place("/strict/")
    place.keep(AGED)
    store = place.intake.store

    def ask(*headers: tuple[str, str]) -> tuple[bool, bool]:
        request = place.request(*headers)
        _, decision, _, leads = judge(request, place.features, store, NOW.unix_s, store.replies.foresee)
        return bool(decision.conditions), leads

    assert ask() == (True, True)
    assert ask(ME) == (False, False)
    assert ask(("Authorization", "Basic eA==")) == (True, False)


def test_a_stale_reply_answers_those_who_come_while_another_fetches_it() -> None:
    place = Place("/")
    place.keep(AGED)
    store, request = place.intake.store, place.request()
    query, decision, _, leads = judge(request, place.features, store, NOW.unix_s, store.replies.foresee)
    assert (decision.verdict, leads) == (Verdict.STALE, True)
    assert store.fetches.lead(query.key, NOW.steady_s)
    _, decision, renewal, leads = judge(request, place.features, store, NOW.unix_s, store.replies.foresee)
    assert (decision.verdict, renewal, leads) == (Verdict.UPDATING, None, False)
