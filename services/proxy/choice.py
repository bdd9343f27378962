"""The choice of an upstream of one pool: who may be chosen, whom a cookie binds to, who is full. Pure.

The candidates are kept until something changes, so that asking costs nothing. Which of them it is, is the
policy's to say; what changes them is `upstreams`'.
"""

import copy
from collections.abc import Collection, Iterable, Mapping

from services.proxy.config_values import PoolConfig
from services.proxy.policies import Policy, make_policy
from services.proxy.sticky import Stickiness
from services.proxy.upstream_states import Address, State, Upstream, best_of, is_refuge, with_room
from shared.httpcore.message import Request


class Choice:
    """Chooses among `upstreams`, which its pool fills. After each change there the pool says `forget`."""

    def __init__(self, upstreams: Mapping[Address, Upstream], config: PoolConfig, sticky_key: bytes) -> None:
        self.policy: Policy = make_policy(config)
        self._upstreams = upstreams
        self._sticky_key = sticky_key
        self._config = config
        self._sticky: Stickiness | None = None
        self._candidates: tuple[Upstream, ...] | None = None
        self.configure(config)

    def configure(self, config: PoolConfig) -> None:
        """Another configuration: a policy that stays remembers what it knows."""
        if (config.policy, config.hash_key) != (self._config.policy, self._config.hash_key):
            self.policy = make_policy(config)
        sticky = config.sticky
        self._sticky = None if sticky is None else Stickiness(sticky, config.name, self._sticky_key)
        self._config = config
        self.forget()

    def forget(self) -> None:
        """The candidates are others now."""
        self._candidates = None

    def candidates(self) -> tuple[Upstream, ...]:
        """Those who may be chosen, the same tuple as long as nothing changes."""
        if self._candidates is None:
            self._candidates = best_of(self._upstreams.values())
            if self._sticky is not None:
                self._sticky.take(self._candidates)
        return self._candidates

    def candidates_without(self, tried: Collection[Upstream]) -> tuple[Upstream, ...]:
        """Those who may be chosen when some have failed this request already."""
        return best_of(self._without(tried))

    def choose(self, tried: Collection[Upstream], request: Request | None) -> Upstream | None:
        """See `Pool.choose`."""
        candidates = self.candidates_without(tried) if tried else self.candidates()
        if not candidates:
            return None
        chosen = self._sticky.find(request) if self._sticky is not None and request is not None else None
        if len(candidates) == 1:
            chosen = candidates[0]  # the only one, whatever the policy
        if chosen is None or chosen in tried or chosen.is_full:
            chosen = self.policy.choose(candidates, request)
            if chosen.is_full:
                room = with_room(self._without(tried))
                if not room:
                    return None
                chosen = _least_busy(room)
        if chosen.state is State.TRIAL:
            chosen.is_on_trial = True
            self.forget()
        return chosen

    def foresee(self, request: Request) -> tuple[Upstream, str] | None:
        """See `Pool.foresee`. The policy that looks ahead is a copy, so that asking takes nobody's turn."""
        candidates = self.candidates()
        if not candidates:
            return None
        bound = self._sticky.find(request) if self._sticky is not None else None
        if bound is not None and not bound.is_full:
            return bound, "its cookie stands for it"
        policy = copy.copy(self.policy)
        chosen = policy.choose(candidates, request)
        if not chosen.is_full:
            return chosen, policy.reason
        room = with_room(self._upstreams.values())
        return (_least_busy(room), "the least busy that is not full") if room else None

    def has_room(self, tried: Collection[Upstream] = ()) -> bool:
        """Whether one of the candidates is not full."""
        return bool(with_room(self._without(tried)))

    def has_refuge(self, tried: Collection[Upstream]) -> bool:
        """See `Pool.has_refuge`."""
        return any(is_refuge(upstream) for upstream in with_room(self._without(tried)))

    def _without(self, tried: Collection[Upstream]) -> list[Upstream]:
        return [upstream for upstream in self._upstreams.values() if upstream not in tried]

    def sticky_cookie(self, request: Request, upstream: Upstream) -> tuple[str, str] | None:
        """See `Pool.sticky_cookie`."""
        if self._sticky is None:
            return None
        self.candidates()
        return self._sticky.cookie(request, upstream)


def _least_busy(upstreams: Iterable[Upstream]) -> Upstream:
    return min(upstreams, key=lambda upstream: upstream.in_flight / upstream.share)
