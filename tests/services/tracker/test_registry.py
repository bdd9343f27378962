"""The table: examples of its rules, and a random life of it next to a naive model."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from services.tracker.lease import LeaseError, LeasePatch, PeerFilter, Registration
from services.tracker.registry import Cause, Registry, RegistryFull, UnknownPeer

EVERYONE = PeerFilter()


def lease(peer_id="p1", **fields):
    return Registration(**{"peer_id": peer_id, "ip": "10.0.0.1", "port": 7510, "ttl_s": 60} | fields)


@pytest.fixture
def registry():
    return Registry(capacity=3, first_revision=100)


@pytest.fixture
def changes(registry):
    seen = []
    registry.observers.append(seen.append)
    return seen


def ids(peers):
    return [peer.peer_id for peer in peers]


def test_a_registered_peer_is_listed_until_its_ttl_has_passed(registry):
    peer = registry.register(lease(ttl_s=10), "key", now=1000)
    assert (peer.registered_at, peer.last_heartbeat, peer.expires_at, peer.revision) == (1000, 1000, 1010, 101)
    assert registry.select(EVERYONE, now=1009.999) == [peer]
    assert registry.select(EVERYONE, now=1010) == []
    assert registry.totals.expirations == 1


def test_a_heartbeat_renews_the_lease_and_is_no_visible_change(registry, changes):
    registry.register(lease(ttl_s=10), "key", now=1000)
    changes.clear()
    peer = registry.heartbeat("p1", LeasePatch(), now=1008)
    assert (peer.expires_at, registry.revision, changes) == (1018, 101, [])


def test_a_heartbeat_may_change_the_ttl(registry):
    registry.register(lease(ttl_s=60), "key", now=1000)
    registry.heartbeat("p1", LeasePatch(ttl_s=5), now=1001)
    assert registry.next_expiry() == 1006
    assert registry.select(EVERYONE, now=1006) == []


def test_a_heartbeat_with_another_load_is_a_change_of_load(registry, changes):
    registry.register(lease(load=1.0), "key", now=1000)
    registry.heartbeat("p1", LeasePatch(load=1.0), now=1001)
    registry.heartbeat("p1", LeasePatch(load=2.0), now=1002)
    assert [change.cause for change in changes] == [Cause.REGISTERED, Cause.LOAD]
    assert registry.select(EVERYONE, now=1002)[0].revision == 102


def test_a_heartbeat_of_an_unknown_or_ended_peer_is_refused(registry):
    registry.register(lease(ttl_s=10), "key", now=1000)
    for peer_id, now in (("p2", 1001), ("p1", 1010)):
        with pytest.raises(UnknownPeer):
            registry.heartbeat(peer_id, LeasePatch(), now=now)


def test_registering_again_is_a_change_even_with_the_same_values(registry, changes):
    registry.register(lease(), "key", now=1000)
    registry.register(lease(), "anyone", now=1001)
    assert [(change.cause, change.revision) for change in changes] == [(Cause.REGISTERED, 101), (Cause.REGISTERED, 102)]
    (peer,) = registry.select(EVERYONE, now=1001)
    assert (peer.registered_at, peer.registered_by) == (1001, "anyone")


def test_an_update_changes_what_it_names_and_leaves_the_rest(registry, changes):
    registry.register(lease(roles=("p2p",), channels=("chat",)), "key", now=1000)
    peer = registry.update("p1", LeasePatch(channels=("chat", "news")), now=1005)
    assert (peer.roles, peer.channels, peer.registered_at, peer.last_heartbeat) == (
        ("p2p",),
        ("chat", "news"),
        1000,
        1005,
    )
    assert changes[-1].cause is Cause.UPDATED
    assert changes[-1].old.channels == ("chat",)


def test_an_update_without_news_is_no_visible_change(registry, changes):
    registry.register(lease(roles=("p2p",)), "key", now=1000)
    registry.update("p1", LeasePatch(roles=("p2p",), ip="10.0.0.1"), now=1001)
    assert len(changes) == 1


def test_the_api_port_in_meta_follows_the_port(registry):
    registry.register(lease(meta={"api_port": 7510, "p2p_port": 7010}), "key", now=1000)
    peer = registry.update("p1", LeasePatch(port=7600), now=1001)
    assert peer.meta == {"api_port": 7600, "p2p_port": 7010}


def test_an_update_whose_api_port_disagrees_with_the_port_changes_nothing(registry):
    before = registry.register(lease(), "key", now=1000)
    with pytest.raises(LeaseError, match=r"meta.api_port: got 1, expected the same as port \(7510\)"):
        registry.update("p1", LeasePatch(meta={"api_port": 1}), now=1001)
    assert registry.get("p1", now=1001) == before


def test_a_removed_peer_is_gone_and_can_not_be_removed_again(registry, changes):
    registry.register(lease(), "key", now=1000)
    registry.remove("p1", now=1001)
    assert changes[-1].cause is Cause.REMOVED
    assert registry.next_expiry() is None
    with pytest.raises(UnknownPeer):
        registry.remove("p1", now=1001)


def test_a_full_table_takes_renewals_but_no_further_peer(registry):
    for peer_id in ("a", "b", "c"):
        registry.register(lease(peer_id), "key", now=1000)
    registry.register(lease("b"), "key", now=1001)
    with pytest.raises(RegistryFull):
        registry.register(lease("d"), "key", now=1001)


def test_an_ended_lease_makes_room(registry):
    for peer_id, ttl_s in (("a", 1), ("b", 60), ("c", 60)):
        registry.register(lease(peer_id, ttl_s=ttl_s), "key", now=1000)
    registry.register(lease("d"), "key", now=1001)
    assert ids(registry.select(EVERYONE, now=1001)) == ["b", "c", "d"]


def test_peers_are_listed_by_id_from_the_one_behind_after(registry):
    for peer_id in ("c", "a", "b"):
        registry.register(lease(peer_id), "key", now=1000)
    assert ids(registry.select(EVERYONE, now=1000)) == ["a", "b", "c"]
    assert ids(registry.select(EVERYONE, now=1000, after="a", limit=1)) == ["b"]
    assert ids(registry.select(EVERYONE, now=1000, after="aa")) == ["b", "c"]
    assert ids(registry.select(EVERYONE, now=1000, after="c")) == []


def test_a_filter_wants_both_role_and_channel(registry):
    registry.register(lease("a", roles=("p2p",), channels=("chat",)), "key", now=1000)
    registry.register(lease("b", roles=("backend",), channels=("chat",)), "key", now=1000)
    assert ids(registry.select(PeerFilter(role="p2p"), now=1000)) == ["a"]
    assert ids(registry.select(PeerFilter(channel="chat"), now=1000)) == ["a", "b"]
    assert ids(registry.select(PeerFilter(role="backend", channel="news"), now=1000)) == []


def test_a_limit_counts_only_the_peers_that_match(registry):
    registry.register(lease("a", roles=("backend",)), "key", now=1000)
    registry.register(lease("b", roles=("p2p",)), "key", now=1000)
    assert ids(registry.select(PeerFilter(role="p2p"), now=1000, limit=1)) == ["b"]


def test_restored_peers_keep_their_lease_unless_it_has_ended(registry):
    old = Registry(capacity=3, first_revision=5000)
    old.register(lease("a", ttl_s=10), "key", now=1000)
    old.register(lease("b", ttl_s=100), "key", now=1000)
    kept = old.select(EVERYONE, now=1000)
    assert registry.restore(kept, now=1050) == 1
    assert registry.select(EVERYONE, now=1050) == [kept[1]]
    assert registry.revision == 5002


def test_a_clock_that_was_set_back_makes_no_restored_lease_longer(registry):
    old = Registry(capacity=3, first_revision=1)
    old.register(lease("a", ttl_s=10), "key", now=9000)
    registry.restore(old.select(EVERYONE, now=9000), now=1000)
    assert registry.next_expiry() == 1010


IDS = st.sampled_from(["a", "b", "c", "d", "e"])
LABELS = st.lists(st.sampled_from(["x", "y"]), unique=True, max_size=2).map(tuple)
TTLS = st.sampled_from([1, 2, 5, 60])
LOADS = st.sampled_from([0.0, 1.0, 2.0])


class TableLife(RuleBasedStateMachine):
    """Random calls at growing times; the model is a dictionary of id → (roles, load, ttl, ends at)."""

    CAPACITY = 4
    registered = Bundle("registered")

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.table = Registry(self.CAPACITY, first_revision=7)
        self.model = {}
        self.changes = []
        self.seen = {}
        self.table.observers.append(self.observe)

    def observe(self, change):
        """Whoever only listens to changes must know the visible table."""
        assert change.revision > (self.changes[-1].revision if self.changes else 7)
        self.changes.append(change)
        peer = change.new or change.old
        assert self.seen.get(peer.peer_id) == (change.old and change.old.revision)
        self.seen.pop(peer.peer_id, None)
        if change.new is not None:
            self.seen[peer.peer_id] = peer.revision

    def live(self):
        return {peer_id: entry for peer_id, entry in self.model.items() if entry[3] > self.now}

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 61.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(target=registered, peer_id=IDS, roles=LABELS, load=LOADS, ttl=TTLS)
    def register(self, peer_id, roles, load, ttl):
        self.model = self.live()
        if len(self.model) >= self.CAPACITY and peer_id not in self.model:
            with pytest.raises(RegistryFull):
                self.table.register(lease(peer_id, roles=roles, load=load, ttl_s=ttl), "key", self.now)
            return peer_id
        self.table.register(lease(peer_id, roles=roles, load=load, ttl_s=ttl), "key", self.now)
        self.model[peer_id] = (roles, load, ttl, self.now + ttl)
        return peer_id

    @rule(
        peer_id=registered, ttl=st.none() | TTLS, load=st.none() | LOADS, roles=st.none() | LABELS, beat=st.booleans()
    )
    def renew(self, peer_id, ttl, load, roles, beat):
        patch = LeasePatch(ttl_s=ttl, load=load, roles=None if beat else roles)
        call = self.table.heartbeat if beat else self.table.update
        if peer_id not in self.live():
            with pytest.raises(UnknownPeer):
                call(peer_id, patch, self.now)
            return
        revision = self.table.revision
        old = self.model[peer_id]
        call(peer_id, patch, self.now)
        new = (
            old[0] if patch.roles is None else patch.roles,
            old[1] if load is None else load,
            old[2] if ttl is None else ttl,
        )
        self.model[peer_id] = (*new, self.now + new[2])
        assert (self.table.revision > revision) == (old[:2] != new[:2])

    @rule(peer_id=consumes(registered))
    def remove(self, peer_id):
        if peer_id in self.live():
            self.table.remove(peer_id, self.now)
            del self.model[peer_id]
        else:
            with pytest.raises(UnknownPeer):
                self.table.remove(peer_id, self.now)

    @rule(after=IDS, limit=st.none() | st.integers(1, 3), role=st.sampled_from([None, "x", "y"]))
    def read_a_page(self, after, limit, role):
        expected = sorted(
            peer_id for peer_id, entry in self.live().items() if peer_id > after and (role is None or role in entry[0])
        )[:limit]
        assert ids(self.table.select(PeerFilter(role=role), self.now, after, limit)) == expected

    @invariant()
    def it_lists_what_the_model_holds(self):
        self.model = self.live()
        listed = {
            peer.peer_id: (peer.roles, peer.load, peer.ttl_s, peer.expires_at)
            for peer in self.table.select(EVERYONE, self.now)
        }
        assert listed == self.model
        assert set(self.seen) == set(self.model)
        assert self.table.next_expiry() == min((entry[3] for entry in self.model.values()), default=None)
        assert len(self.table) == len(self.model)


TableLife.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTableLife = TableLife.TestCase
