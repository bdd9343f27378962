"""Pages of the operator's own for errors: `error_page 502 503 /path/file.html;`. Read once, when the configuration is
loaded, and kept.

A page may name the failure: `{{status}}`, `{{reason}}`, `{{message}}`, `{{source}}`, `{{code}}` and `{{request_id}}`
are replaced, escaped for HTML. Programs that prefer JSON never get a page (see `failures`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

MAX_PAGE_BYTES = 256 * 1024
PLACEHOLDERS = ("status", "reason", "message", "source", "code", "request_id")
_PLACEHOLDER = re.compile(rf"\{{\{{[ \t]*({'|'.join(PLACEHOLDERS)})[ \t]*\}}\}}")


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """A page's text, cut at its placeholders: text, name, text, name, …, text."""

    parts: tuple[str, ...]

    def render(self, values: Mapping[str, str]) -> str:
        """The page with the values, which are escaped, in their places."""
        if len(self.parts) == 1:
            return self.parts[0]
        return "".join([escape(values[part]) if at % 2 else part for at, part in enumerate(self.parts)])


def parse_error_page(text: str) -> ErrorPage:
    """The page with its placeholders found; what else stands in braces is text."""
    return ErrorPage(tuple(_PLACEHOLDER.split(text)))


@dataclass(frozen=True, slots=True)
class ErrorPages:
    """The pages of one place by status."""

    by_status: Mapping[int, ErrorPage]

    def find(self, status: int) -> ErrorPage | None:
        """The page for the status, if there is one."""
        return self.by_status.get(status)


NO_PAGES = ErrorPages({})


def load_error_page(path: Path) -> ErrorPage:
    """The page in the file. ValueError names one that can't be read, is too large or is not UTF-8."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError(f"{path} is no file")
        with path.open("rb") as file:
            content = file.read(MAX_PAGE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    if len(content) > MAX_PAGE_BYTES:
        raise ValueError(f"{path} holds over {MAX_PAGE_BYTES} bytes, expected no more for an error page")
    try:
        return parse_error_page(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
