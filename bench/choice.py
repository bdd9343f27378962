"""What it costs to choose an upstream, by policy and by how many there are: `python -m bench.choice`.

Prints microseconds a choice, the best of several runs, beside the same pool of one upstream; a choice among 200
adds at most 10 µs to it. `--json` prints the same for machines.
"""

import argparse
import json
import random
import timeit
from collections import deque
from collections.abc import Callable
from itertools import cycle

from services.proxy.config_values import PolicyName, PoolConfig, StickyConfig
from services.proxy.templates import parse_template
from services.proxy.upstreams import Address, Annotation, Member, Pool, Upstream
from shared.httpcore.message import Request

COUNTS = (1, 3, 20, 200)
LIMIT_US = 10.0
CHOICES, RUNS = 2_000, 7


def make_pool(policy: PolicyName, count: int, weights: tuple[int, ...], *, sticky: bool = False) -> Pool:
    """A pool under way: each upstream has some requests, and has reported its load."""
    generator = random.Random(7)
    cookie = StickyConfig("route") if sticky else None
    config = PoolConfig("bench", (), policy, hash_key=parse_template("$http_x_user"), sticky=cookie)
    pool = Pool(config, lambda _: None, b"k" * 32)
    members = {Address(f"10.0.{n // 250}.{n % 250}", 80): Member(weights[n % len(weights)]) for n in range(count)}
    pool.set_members(members, 0.0)
    for upstream in pool.upstreams:
        upstream.in_flight = generator.randrange(1, 50)
        pool.annotate(upstream, Annotation(load=float(upstream.in_flight + generator.randrange(20))))
    return pool


def microseconds(pool: Pool, requests: list[Request]) -> float:
    """Of one choice and of telling the pool that a request has ended, as a forwarder does with 100 under way."""
    following = cycle(requests).__next__
    under_way: deque[Upstream] = deque()

    def choose() -> None:
        upstream = pool.choose((), following())
        assert upstream is not None
        upstream.in_flight += 1
        under_way.append(upstream)
        if len(under_way) > 100:
            ended = under_way.popleft()
            ended.in_flight -= 1
            pool.note_ended(ended, 0.0)

    choose()
    best = min(timeit.repeat(choose, number=CHOICES, repeat=RUNS))
    return best / CHOICES * 1e6


def fresh_requests() -> list[Request]:
    """Of as many users; their fields have been read already, as by the routing before."""
    requests = []
    for n in range(1_000):
        request = Request("GET", "/", 1, f"Host: a\r\nX-User: user-{n}\r\n".encode())
        request.remote_ip = f"192.0.{n // 250}.{n % 250}"
        request.headers.get("x-user")
        requests.append(request)
    return requests


def scenarios() -> dict[str, Callable[[int], Pool]]:
    """What is measured, by name."""
    made: dict[str, Callable[[int], Pool]] = {}
    for policy in PolicyName:
        made[policy.value] = lambda count, policy=policy: make_pool(policy, count, (1,))  # type: ignore[misc]
        made[f"{policy.value}, weights 1 to 5"] = lambda count, policy=policy: make_pool(  # type: ignore[misc]
            policy, count, (1, 2, 3, 4, 5)
        )
    made["round-robin, sticky"] = lambda count: make_pool(PolicyName.ROUND_ROBIN, count, (1,), sticky=True)
    return made


def main() -> int:
    """Prints the table; the exit status is 1 when a choice among 200 adds more than the limit."""
    parser = argparse.ArgumentParser(description="the cost of a choice")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    requests = fresh_requests()
    results = {
        name: {count: microseconds(make(count), requests) for count in COUNTS} for name, make in scenarios().items()
    }
    if arguments.json:
        print(json.dumps(results))
    else:
        print(f"{'µs a choice among':32}" + "".join(f"{count:>8}" for count in COUNTS))
        for name, row in results.items():
            print(f"{name:32}" + "".join(f"{row[count]:8.2f}" for count in COUNTS))
    worst = max(row[COUNTS[-1]] - row[COUNTS[0]] for row in results.values())
    print(f"among {COUNTS[-1]} rather than {COUNTS[0]}: at most {worst:.1f} µs more (limit {LIMIT_US:g})")
    return int(worst > LIMIT_US)


if __name__ == "__main__":
    raise SystemExit(main())
