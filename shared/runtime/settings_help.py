"""How `--help` looks: each flag with meaning, default, unit and variable. Imported only when asked for."""

import shutil
import sys
import textwrap
from collections.abc import Iterable

from shared.runtime.setting_spec import REQUIRED, SettingSpec, expected_value

_INDENT = " " * 6


def print_help(prog: str, description: str, specs: Iterable[SettingSpec]) -> None:
    """The help is on standard output afterwards, as wide as the terminal allows, 110 columns at most."""
    width = min(shutil.get_terminal_size().columns, 110)
    text = render_help(prog, description, specs, width)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), end="")


def render_help(prog: str, description: str, specs: Iterable[SettingSpec], width: int = 100) -> str:
    """The help as text, lines at most `width` columns where words allow."""
    lines = [f"usage: {prog} [--flag VALUE …]", "", *textwrap.wrap(description, width), ""]
    for spec in specs:
        lines.append(f"  {spec.flag}{_placeholder(spec)}")
        lines += _wrap(f"{spec.help} ({_default(spec)}; {spec.variable})", width)
    lines += ["  --help", *_wrap("print this", width), ""]
    lines += textwrap.wrap(
        "Each flag has the environment variable named beside it; a flag wins. A mistake: exit status 2.",
        width,
    )
    return "\n".join(lines) + "\n"


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _placeholder(spec: SettingSpec) -> str:
    if spec.is_switch:
        return ""
    expected = expected_value(spec)
    if " | " in expected:
        return f" {expected.replace(' ', '')}"
    return " SECONDS" if spec.unit == "s" else f" {spec.flag.rsplit('-', 1)[-1].upper()}"


def _default(spec: SettingSpec) -> str:
    return "required" if spec.default is REQUIRED else f"default {default_text(spec)}"


def default_text(spec: SettingSpec) -> str:
    """The default as people read it, with its unit."""
    value = spec.default
    if isinstance(value, bool):
        shown = "on" if value else "off"
    elif isinstance(value, float):
        shown = f"{value:g}"
    elif isinstance(value, tuple):
        shown = ",".join(map(str, value)) or "none"
    else:
        shown = "none" if value is None else str(value)
    return f"{shown}{' ' + spec.unit if spec.unit and value is not None else ''}"
