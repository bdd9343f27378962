"""The operator's error pages: read once, filled in, escaped."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.error_pages import (
    MAX_PAGE_BYTES,
    PLACEHOLDERS,
    ErrorPages,
    load_error_page,
    parse_error_page,
)

VALUES = {name: f"<{name}>" for name in PLACEHOLDERS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{status}}", "&lt;status&gt;"),
        ("a {{ request_id }} b {{code}}{{reason}}", "a &lt;request_id&gt; b &lt;code&gt;&lt;reason&gt;"),
        ("{{unknown}} {status} {{status}", "{{unknown}} {status} {{status}"),
    ],
)
def test_placeholders_are_replaced_and_escaped(text: str, expected: str) -> None:
    assert parse_error_page(text).render(VALUES) == expected


@given(st.text())
def test_no_value_is_read_as_a_placeholder_or_as_html(value: str) -> None:
    page = parse_error_page("<p>{{message}}</p>")
    assert "<" not in page.render(VALUES | {"message": value})[3:-4]
    assert page.render(VALUES | {"message": "{{status}}"}) == "<p>{{status}}</p>"


def test_a_page_is_read_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("\ufeffbad {{status}}", encoding="utf-8")
    pages = ErrorPages({502: load_error_page(path)})
    path.unlink()
    found = pages.find(502)
    assert found is not None
    assert found.render(VALUES) == "bad &lt;status&gt;"
    assert pages.find(503) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can't be read"), (b"x" * (MAX_PAGE_BYTES + 1), "holds over"), (b"\xff", "is not UTF-8")],
)
def test_a_file_that_can_t_be_used_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "page.html"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_error_page(path)
    assert "page.html" in str(caught.value)


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no file"):
        load_error_page(tmp_path)
