"""What a file's name says about its content: media type, whether gzip pays, whether it may be kept for ever.

A table of our own, for `mimetypes` reads files of the machine it runs on and would answer differently
elsewhere.
"""

import re
from functools import lru_cache

_UTF8 = "; charset=utf-8"

# Suffix → media type and whether it compresses. What is missing is `application/octet-stream`, and not
# compressed.
_TYPES: dict[str, tuple[str, bool]] = {
    ".html": ("text/html" + _UTF8, True),
    ".htm": ("text/html" + _UTF8, True),
    ".css": ("text/css" + _UTF8, True),
    ".js": ("text/javascript" + _UTF8, True),
    ".mjs": ("text/javascript" + _UTF8, True),
    ".json": ("application/json" + _UTF8, True),
    ".map": ("application/json" + _UTF8, True),
    ".webmanifest": ("application/manifest+json" + _UTF8, True),
    ".txt": ("text/plain" + _UTF8, True),
    ".md": ("text/markdown" + _UTF8, True),
    ".csv": ("text/csv" + _UTF8, True),
    ".xml": ("application/xml" + _UTF8, True),
    ".svg": ("image/svg+xml", True),
    ".wasm": ("application/wasm", True),
    ".ttf": ("font/ttf", True),
    ".otf": ("font/otf", True),
    ".ico": ("image/x-icon", True),
    ".woff": ("font/woff", False),
    ".woff2": ("font/woff2", False),
    ".png": ("image/png", False),
    ".jpg": ("image/jpeg", False),
    ".jpeg": ("image/jpeg", False),
    ".gif": ("image/gif", False),
    ".webp": ("image/webp", False),
    ".avif": ("image/avif", False),
    ".mp3": ("audio/mpeg", False),
    ".ogg": ("audio/ogg", False),
    ".wav": ("audio/wav", True),
    ".mp4": ("video/mp4", False),
    ".webm": ("video/webm", False),
    ".pdf": ("application/pdf", False),
    ".zip": ("application/zip", False),
    ".gz": ("application/gzip", False),
}
_COMPRESSIBLE = frozenset(
    {content_type.partition(";")[0] for content_type, is_compressed in _TYPES.values() if is_compressed}
    | {"application/x-ndjson", "application/javascript"}
)
_UNKNOWN = ("application/octet-stream", False)

# `app.3f2a91bc.js`, `app-3f2a91bc0d.css`: the name changes with the content, so the content never changes.
_FINGERPRINT = re.compile(r"[.-](?=[0-9a-f]*[0-9])[0-9a-f]{8,64}\.[0-9A-Za-z.]+$", re.ASCII)


def media_type(name: str) -> str:
    """The Content-Type for a file of this name."""
    return _TYPES.get(_suffix(name), _UNKNOWN)[0]


def is_compressible(name: str) -> bool:
    """Whether gzip makes such a file smaller."""
    return _TYPES.get(_suffix(name), _UNKNOWN)[1]


@lru_cache(maxsize=64)  # an application has a few
def is_compressible_type(content_type: str) -> bool:
    """Whether gzip makes content of this Content-Type smaller.

    Deliberate: never event streams, whose events are small and must not wait for one another.
    """
    essence = content_type.partition(";")[0].strip().lower()
    if essence.startswith("text/"):
        return essence != "text/event-stream"
    return essence.endswith(("+json", "+xml")) or essence in _COMPRESSIBLE


def cache_control(name: str) -> str:
    """`immutable` for fingerprinted names; the rest may be kept, but is asked after each time (RFC 9111 §5.2.2.4)."""
    return "public, max-age=31536000, immutable" if _FINGERPRINT.search(name) else "no-cache"


def _suffix(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""
