"""docs/proxy-conf.md says what the table of directives says."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.proxy.config_arguments import UNSETTABLE_FIELDS
from services.proxy.config_directives import DIRECTIVES, Context
from services.proxy.config_file import parse_config
from services.proxy.config_options import Option
from services.proxy.config_pool_words import (
    ACTIVE_CHECK_DEFAULTS,
    CHECK_OPTIONS,
    EJECTION_OPTIONS,
    SERVER_OPTIONS,
    STICKY_OPTIONS,
)
from services.proxy.config_values import EjectionConfig, PolicyName, RetryCause
from services.proxy.retries import ALL_BUSY, NO_UPSTREAM, WAITED_IN_VAIN, FailureKind
from services.proxy.rewriting import OWN_FIELDS
from services.proxy.templates import VARIABLES
from tests.certificates import LocalCa

TEXT = Path("docs/proxy-conf.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its head."""
    lines = TEXT.partition(f"\n{heading}\n")[2].splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return table[2:]


def test_every_directive_is_there_with_its_places_and_its_default() -> None:
    documented = {}
    for usage, places, default in rows_of("## Every directive"):
        match = re.match(r"\[`(\w+)", usage)
        assert match is not None, usage
        documented[match[1]] = (places, default)
    expected = {
        name: (", ".join(place.value for place in Context if place in spec.contexts), spec.default)
        for name, spec in DIRECTIVES.items()
    }
    assert documented == expected


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("### `policy`", [policy.value for policy in PolicyName]),
        ("### Retries", [*(cause.value for cause in RetryCause), "off"]),
        ("### `proxy_set_header`", [name for name, _ in OWN_FIELDS]),
    ],
)
def test_a_table_lists_what_there_is(heading: str, names: list[str]) -> None:
    assert [row[0] for row in rows_of(heading)] == names


def test_the_proxy_s_own_fields_have_the_values_it_sends() -> None:
    assert [row[1] for row in rows_of("### `proxy_set_header`")] == [template.source for _, template in OWN_FIELDS]


def test_every_variable_every_code_and_every_field_that_can_t_be_set_is_named() -> None:
    for name in VARIABLES:
        assert f"`${name}`" in TEXT
    for code in [*(kind.value for kind in FailureKind), NO_UPSTREAM.code, ALL_BUSY.code, WAITED_IN_VAIN.code]:
        assert f"`{code}`" in TEXT
    for name in UNSETTABLE_FIELDS:
        assert f"`{name}`" in TEXT.lower()


def test_the_defaults_of_checks_are_the_real_ones() -> None:
    rows = {row[0].partition("=")[0]: row[-1] for row in rows_of("### `health_check`")}
    check = ACTIVE_CHECK_DEFAULTS
    low, high = check.expected[0]
    assert (rows["rise"], rows["fall"], rows["path"]) == (str(check.rise), str(check.fall), check.path)
    assert (rows["interval"], rows["timeout"]) == (f"{check.interval_s:g}s", f"{check.timeout_s:g}s")
    assert rows["expect"] == f"{low}-{high}"


EXAMPLES = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_right_and_nothing_about_it_is_odd(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool alone is completed by a host that passes to it. The certificates that examples name are there."""
    if "ca.pem" in example:
        ca = LocalCa(tmp_path)
        ca.issue("proxy.example", file="proxy.pem")
        monkeypatch.chdir(tmp_path)
    text = example if "host " in example else example + 'host "*" { proxy_pass http://app; }'
    if "://app" not in text:
        text = re.sub(r"pool app \{.*", r'\g<0>\nhost "p.example" { proxy_pass http://app; }', text)
    assert parse_config(text).warnings == ()


def test_every_word_has_an_example() -> None:
    words = set(re.findall(r"[\w]+", "\n".join(EXAMPLES)))
    assert set(DIRECTIVES) - words == set()


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        ("### `pool` and `server`", SERVER_OPTIONS),
        ("### `health_check`", CHECK_OPTIONS),
        ("### `ejection`", EJECTION_OPTIONS),
        ("### `sticky`", STICKY_OPTIONS),
    ],
)
def test_every_option_is_explained(heading: str, options: Mapping[str, Option]) -> None:
    cells = " ".join(cell for row in rows_of(heading) for cell in row[:2])
    assert {name for name in options if name not in re.findall(r"[a-z_]+", cells)} == set()


def test_the_defaults_of_ejection_are_the_real_ones() -> None:
    rows = {row[0].partition("=")[0]: row[-1] for row in rows_of("### `ejection`")}
    real = EjectionConfig()
    assert (rows["fails"], rows["requests"]) == (str(real.fails), str(real.requests))
    assert (rows["errors"], real.errors_percent) == ("never", 0)
    assert [rows[name] for name in ("window", "time", "max_time")] == [
        f"{seconds:g}s" for seconds in (real.window_s, real.time_s, real.max_time_s)
    ]
    assert rows["max_percent"] == f"{real.max_percent}%"
