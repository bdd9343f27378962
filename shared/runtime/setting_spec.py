"""What is known of one setting: its flag, variable, default, unit and help. Values only.

`settings` makes these from the fields of a dataclass and reads values by them; `settings_help` shows them.
"""

from dataclasses import MISSING, dataclass
from typing import Any

from shared.runtime.setting_values import Parser

REQUIRED: Any = MISSING  # as a default: the setting has to be given


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """How one field is set: `flag` with its dashes, `variable` in the environment, and its help."""

    flag: str
    variable: str
    parse: Parser
    help: str
    default: object
    unit: str | None = None
    is_switch: bool = False  # the flag alone means on
    is_repeatable: bool = False  # the value is a tuple; commas separate, too


def expected_value(spec: SettingSpec) -> str:
    """What a value looks like, in the words its parser has for an empty one."""
    try:
        spec.parse("")
    except ValueError as error:
        return str(error)
    return "a value"
