"""The operator's error pages: read once, filled in, escaped."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.error_pages import (
    MAX_PAGE_BYTES,
    PLACEHOLDERS,
    ErrorPageConfig,
    load_error_pages,
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


def test_pages_are_read_from_the_folder_and_the_last_line_wins(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("bad {{status}}", encoding="utf-8")
    (tmp_path / "gone.html").write_text("\ufeffgone", encoding="utf-8")
    configs = [
        ErrorPageConfig(frozenset({502, 503}), "bad.html"),
        ErrorPageConfig(frozenset({503}), str(tmp_path / "gone.html")),
    ]
    pages = load_error_pages(configs, tmp_path)
    (tmp_path / "bad.html").unlink()
    found = {status: pages.find(status) for status in (502, 503, 504)}
    assert {status: page.render(VALUES) if page else None for status, page in found.items()} == {
        502: "bad &lt;status&gt;",
        503: "gone",
        504: None,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can't be read"), (b"x" * (MAX_PAGE_BYTES + 1), "holds over"), (b"\xff", "is not UTF-8")],
)
def test_a_file_that_can_t_be_used_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "page.html").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_error_pages([ErrorPageConfig(frozenset({502}), "page.html")], tmp_path)
    assert "page.html" in str(caught.value)


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        load_error_pages([ErrorPageConfig(frozenset({502}), ".")], tmp_path)
