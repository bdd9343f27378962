"""Which member a key belongs to."""

import subprocess
import sys
from dataclasses import dataclass

from services.proxy.hash_ring import Ring


@dataclass(frozen=True)
class Named:
    name: str
    weight: int = 1


MEMBERS = tuple(Named(f"10.0.0.{n}:80", n % 3 + 1) for n in range(5))
SCRIPT = """
from tests.services.proxy.test_hash_ring import MEMBERS
from services.proxy.hash_ring import Ring
ring = Ring(3)
print([MEMBERS.index(ring.find(b"key %d" % n, MEMBERS)) for n in range(40)])
"""


def test_every_process_finds_the_same_so_that_several_proxies_agree() -> None:
    ring: Ring[Named] = Ring(3)
    here = [MEMBERS.index(ring.find(b"key %d" % n, MEMBERS)) for n in range(40)]
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == str(here)
    assert set(here) == set(range(5))


def test_the_order_in_which_members_came_makes_no_difference() -> None:
    one, other = Ring[Named](3), Ring[Named](3)
    for n in range(1, 5):
        one.find(b"x", MEMBERS[:n])
    for n in range(40):
        key = b"key %d" % n
        assert one.find(key, MEMBERS) is other.find(key, tuple(reversed(MEMBERS)))


def test_even_where_one_is_far_heavier_every_key_has_an_owner() -> None:
    light = (Named("a", 1),)
    assert {Ring[Named](1_000_000).find(b"key %d" % n, light) for n in range(200)} == set(light)
