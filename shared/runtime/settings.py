"""The settings of a service: one frozen dataclass, filled from flags and environment; all mistakes at once.

Owns which flag and variable belong to a field, which of them wins, and what is said about a mistake. Does not
own what a value looks like (`setting_values`), what is known of one flag (`setting_spec`) nor how `--help` looks
(`settings_help`).
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from shared.runtime.setting_spec import REQUIRED, SettingSpec, expected_value
from shared.runtime.setting_values import (
    Parser,
    parse_base_url,
    parse_choice,
    parse_cors_origin,
    parse_duration_between,
    parse_duration_s,
    parse_host,
    parse_int_between,
    parse_on_off,
    parse_origin,
    parse_path,
    parse_peer_id,
    parse_port,
)

__all__ = [
    "REQUIRED",
    "CommonSettings",
    "SettingSpec",
    "SettingsError",
    "exit_on_settings_error",
    "parse_base_url",
    "parse_choice",
    "parse_cors_origin",
    "parse_duration_between",
    "parse_duration_s",
    "parse_host",
    "parse_int_between",
    "parse_on_off",
    "parse_origin",
    "parse_path",
    "parse_peer_id",
    "parse_port",
    "parse_settings",
    "setting",
    "setting_specs",
]

T = TypeVar("T")
_METADATA_KEY = "setting"
_MAX_SHOWN_CHARS = 80


class SettingsError(Exception):
    """Flags or variables are wrong; `problems` has one line for each mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def setting(
    default: Any,
    parse: Parser,
    *,
    help: str,
    unit: str | None = None,
    **how: Any,
) -> Any:
    """A dataclass field that `parse_settings` fills. `default=REQUIRED`: it has to be given.

    `parse` turns text into the value (see `setting_values`). Also: `flag="ip"` (default: the field's name),
    `is_switch=True` (`--register` alone is on), `is_repeatable=True` (a tuple of what `parse` returns).
    """
    metadata = {_METADATA_KEY: {"parse": parse, "help": help, "unit": unit, **how}}
    if default is REQUIRED:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSettings:
    """What every service has. Its port is the service's own setting, because the default differs."""

    server_ip: str = setting("127.0.0.1", parse_host, help="address to listen on; 0.0.0.0 or :: for every one")
    log_level: str = setting(
        "info",
        parse_choice("debug", "info", "warning", "error"),
        help="events below this level are not written",
    )
    log_format: str = setting("text", parse_choice("text", "json"), help="lines for people, or one JSON object each")
    access_log: bool = setting(True, parse_on_off, help="one line for each request")
    drain_s: float = setting(
        10.0, parse_duration_between(0, 3600), help="time to end what was begun after SIGTERM", unit="s"
    )
    max_connections: int | None = setting(
        None,
        parse_int_between(1, 1_000_000),
        help="open at the same time, one more gets 503; without it as many as descriptors allow",
        unit="connections",
    )
    max_connections_per_client: int | None = setting(
        None,
        parse_int_between(1, 1_000_000),
        help="open at the same time from one address, one more gets 503; without it no such limit",
        unit="connections",
    )
    keys_dir: Path | None = setting(
        None, parse_path, help="folder of the keys tracker, p2p and session; without it the service is open"
    )
    cors_origin: str | None = setting(
        None, parse_cors_origin, help="origin whose pages may read the replies; * for every one"
    )


def setting_specs(settings_type: type) -> dict[str, SettingSpec]:
    """The field's name → how it is set; the service's own fields first, then those that all services have."""
    specs = {}
    for each in sorted(fields(settings_type), key=lambda each: each.name in CommonSettings.__annotations__):
        how = dict(each.metadata[_METADATA_KEY])
        name = how.pop("flag", each.name).replace("_", "-")
        variable = f"WEAPROUS_{name.replace('-', '_').upper()}"
        specs[each.name] = SettingSpec(f"--{name}", variable, default=each.default, **how)
    return specs


def parse_settings(
    settings_type: type[T],
    argv: Sequence[str],
    environ: Mapping[str, str],
    prog: str,
    description: str,
    check: Callable[[T], Iterable[str]] = lambda _: (),
) -> T:
    """The settings that flags and environment ask for; a flag wins over its variable, an empty one is none.

    `check` names what is wrong between several settings; it runs when each by itself is right. Raises
    SettingsError with every mistake. `--help` prints the help and raises SystemExit(0).
    """
    specs = setting_specs(settings_type)
    if any(word in ("--help", "-h") for word in argv):
        from shared.runtime.settings_help import print_help

        print_help(prog, description, specs.values())
        raise SystemExit(0)
    problems: list[str] = []
    given = _collect_flags(argv, {spec.flag: spec for spec in specs.values()}, problems)
    values = {}
    for name, spec in specs.items():
        for value in _read_value(spec, given.get(spec.flag), environ, problems):
            values[name] = value
    if not problems:
        settings = settings_type(**values)
        problems.extend(check(settings))
    if problems:
        raise SettingsError(problems)
    return settings


def exit_on_settings_error(
    settings_type: type[T],
    argv: Sequence[str],
    environ: Mapping[str, str],
    prog: str,
    description: str,
    check: Callable[[T], Iterable[str]] = lambda _: (),
) -> T:
    """As `parse_settings`, but a mistake ends the process: a line for each on stderr, exit status 2."""
    try:
        return parse_settings(settings_type, argv, environ, prog, description, check)
    except SettingsError as error:
        lines = [f"{prog}: error: {problem}" for problem in error.problems]
        print("\n".join(lines), f"\nTry '{prog} --help'.", sep="", file=sys.stderr)
        raise SystemExit(2) from None


def _collect_flags(argv: Sequence[str], specs: Mapping[str, SettingSpec], problems: list[str]) -> dict[str, list[str]]:
    """Flag → the texts it was given, in order."""
    given: dict[str, list[str]] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        flag, equals, text = word.partition("=")
        spec = specs.get(flag)
        if spec is None:
            problems.append(_unknown(flag if flag.startswith("-") else word, specs))
            if not equals and words and flag.startswith("-") and not words[0].startswith("-"):
                words.pop(0)  # most likely its value: one mistake, one line
        elif equals:
            given.setdefault(flag, []).append(text)
        elif spec.is_switch:
            given.setdefault(flag, []).append("on")
        elif words and not words[0].startswith("--"):
            given.setdefault(flag, []).append(words.pop(0))
        else:
            problems.append(f"{flag}: got no value, expected {expected_value(spec)}")
            given.setdefault(flag, [])
    return given


def _unknown(word: str, specs: Mapping[str, SettingSpec]) -> str:
    if not word.startswith("-"):
        return f"got {_shown(word)}, expected a flag (they start with --)"
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(word, specs, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{_shown(word)[1:-1]}: there is no such flag{hint}"


def _read_value(
    spec: SettingSpec, texts: list[str] | None, environ: Mapping[str, str], problems: list[str]
) -> Iterator[object]:
    """The value given, if any; the dataclass knows the default."""
    source = spec.flag
    if texts is None:
        source = spec.variable
        text = environ.get(spec.variable, "")
        if not text:
            if spec.default is REQUIRED:
                problems.append(f"{spec.flag}: got nothing, expected {expected_value(spec)}")
            return
        texts = [text]
    if not texts:
        return  # told already: a flag without its value
    # Of a flag given twice the last one wins, so that a script's flags can be overridden.
    split = [part.strip() for text in texts for part in text.split(",")]
    texts = split if spec.is_repeatable else texts[-1:]
    values = []
    for text in texts:
        try:
            values.append(spec.parse(text))
        except ValueError as error:
            problems.append(f"{source}: got {_shown(text)}, expected {error}")
    if len(values) == len(texts):
        yield tuple(values) if spec.is_repeatable else values[0]


def _shown(text: str) -> str:
    """The text in quotes, bounded, with control characters escaped."""
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…")
