"""What names say about content."""

import pytest

from shared.httpcore.media_types import cache_control, is_compressible, media_type


@pytest.mark.parametrize(
    ("name", "expected", "compressible"),
    [
        ("index.html", "text/html; charset=utf-8", True),
        ("css/app.CSS", "text/css; charset=utf-8", True),
        ("js/app.js", "text/javascript; charset=utf-8", True),
        ("app.js.map", "application/json; charset=utf-8", True),
        ("logo.svg", "image/svg+xml", True),
        ("photo.jpeg", "image/jpeg", False),
        ("font.woff2", "font/woff2", False),
        ("archive.tar.gz", "application/gzip", False),
        ("README", "application/octet-stream", False),
        ("strange.xyz", "application/octet-stream", False),
        (".html", "application/octet-stream", False),
    ],
)
def test_the_media_type_follows_from_the_suffix(name: str, expected: str, compressible: bool) -> None:
    assert (media_type(name), is_compressible(name)) == (expected, compressible)


@pytest.mark.parametrize(
    "name", ["app.3f2a91bc.js", "app-3f2a91bc0d1e.css", "a/b/logo.0123456789abcdef.svg", "x.12345678.js.map"]
)
def test_a_fingerprinted_name_may_be_kept_for_ever(name: str) -> None:
    assert cache_control(name) == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "name", ["index.html", "app.js", "app-feedface.js", "app.3F2A91BC.js", "app.1234567.js", "12345678", "3f2a91bc.js"]
)
def test_any_other_name_is_asked_after_each_time(name: str) -> None:
    assert cache_control(name) == "no-cache"
