"""The fuzz targets without the fuzzer: what they begin with, and what they found once, must pass."""

import importlib
import random

import pytest

from fuzz.__main__ import TARGETS
from fuzz.target import Target, random_parts, take_choices

# Input by target. Each made its target fail once; the comment says of what.
FINDS: tuple[tuple[str, bytes], ...] = (
    # Two faults in one message: which of them is named depends on how it is cut, so only the code is compared.
    ("websocket_frames", b"\x80\xceA\x05\xcaH\xcd\xc9\xc9\x80\nW\xc8\x98%GI\xaa\x92\x00\x00"),
)


def target(name: str) -> Target:
    found = importlib.import_module(f"fuzz.{name}").TARGET
    assert isinstance(found, Target)
    return found


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_to_begin_with_are_no_finds(name: str) -> None:
    for seed in target(name).seeds:
        target(name).check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_the_name_of_its_module_and_inputs_that_fit_its_limit(name: str) -> None:
    assert target(name).name == name
    assert target(name).seeds
    assert max(len(seed) for seed in target(name).seeds) <= target(name).max_bytes


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_thousand_octets_of_noise_are_no_find(name: str) -> None:
    noise = random.Random(name)
    for _ in range(50):
        target(name).check(noise.randbytes(noise.randrange(80)))


@pytest.mark.parametrize(("name", "data"), FINDS)
def test_what_was_found_once_is_mended(name: str, data: bytes) -> None:
    target(name).check(data)


def test_parts_are_the_data_cut_up() -> None:
    for number in range(200):
        choices, data = take_choices(number.to_bytes(2, "big") + b"0123456789")
        assert b"".join(random_parts(data, choices)) == b"0123456789"
