"""A JSON object with an HMAC: `v1.<base64url JSON>.<hex HMAC-SHA256>`. The form that proofs and sessions share.

Owns the form and the comparison in constant time. What the fields mean is the matter of `proofs` and `sessions`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

VERSION = "v1"
MAX_CHARS = 8 * 1024


def sign(key: bytes, purpose: str, fields: Mapping[str, object]) -> str:
    """The fields as text that `open_signed` accepts with the same key and purpose; letters, digits, `-_.` only."""
    payload = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    text = f"{VERSION}.{base64.urlsafe_b64encode(payload).decode('ascii').rstrip('=')}"
    return f"{text}.{_mac(key, purpose, text)}"


def open_signed(key: bytes, purpose: str, text: str) -> dict[str, Any] | None:
    """The fields, or None when the text was not made by `sign` with this key and purpose."""
    if len(text) > MAX_CHARS:
        return None
    signed, _, mac = text.rpartition(".")
    # Bytes, because compare_digest refuses text that is not ASCII.
    if not hmac.compare_digest(_mac(key, purpose, signed).encode(), mac.encode("utf-8", "replace")):
        return None
    version, _, payload = signed.partition(".")
    if version != VERSION:
        return None
    try:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _mac(key: bytes, purpose: str, text: str) -> str:
    # The purpose keeps a session from passing as a proof where somebody uses one key for both.
    message = f"weaprous {purpose}\n{text}".encode("utf-8", "replace")
    return hmac.new(key, message, hashlib.sha256).hexdigest()
