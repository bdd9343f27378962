"""Passwords as scrypt hashes (RFC 7914). Pure, and slow on purpose: call it in a thread. Users are in `users_file`.

A hash reads `scrypt$16384$8$5$<base64 salt>$<base64 hash>`: n, r and p stand in it, so that they can be raised one day.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re

# OWASP's password storage cheat sheet: n=2^14, r=8, p=5 costs what n=2^17, p=1 costs, in 16 MiB instead of 128.
COST_N = 2**14
COST_R = 8
COST_P = 5
SALT_BYTES = 16
HASH_BYTES = 32
MAX_MEMORY_BYTES = 256 * 1024 * 1024

_HASH = re.compile(r"scrypt\$([0-9]{1,8})\$([0-9]{1,3})\$([0-9]{1,3})\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)")
# What a wrong user name is checked against, so that it takes as long as a wrong password.
DECOY_HASH = f"scrypt${COST_N}${COST_R}${COST_P}${'A' * 22}==${'A' * 43}="


def hash_password(text: str) -> str:
    """The hash with a salt of its own: two hashes of one password differ."""
    salt = os.urandom(SALT_BYTES)
    digest = _scrypt(text, salt, (COST_N, COST_R, COST_P), HASH_BYTES)
    return f"scrypt${COST_N}${COST_R}${COST_P}${_encode(salt)}${_encode(digest)}"


def verify_password(text: str, password_hash: str) -> bool:
    """Whether the hash was made from this password; False for what is no hash."""
    parts = _parse_hash(password_hash)
    if parts is None:
        return False
    costs, salt, expected = parts
    return hmac.compare_digest(_scrypt(text, salt, costs, len(expected)), expected)


def is_password_hash(text: str) -> bool:
    """Whether `verify_password` can check against this text."""
    return _parse_hash(text) is not None


def _parse_hash(text: str) -> tuple[tuple[int, int, int], bytes, bytes] | None:
    match = _HASH.fullmatch(text)
    if match is None:
        return None
    n, r, p = (int(match[i]) for i in (1, 2, 3))
    # RFC 7914 §2: n is a power of two above 1. The bounds keep a strange file from taking all memory and time.
    if n < 2 or n & (n - 1) or r < 1 or not 1 <= p <= 64 or 128 * r * n > MAX_MEMORY_BYTES:
        return None
    try:
        salt, digest = base64.b64decode(match[4], validate=True), base64.b64decode(match[5], validate=True)
    except binascii.Error:
        return None
    return ((n, r, p), salt, digest) if len(salt) >= 8 and 16 <= len(digest) <= 64 else None


def _scrypt(text: str, salt: bytes, costs: tuple[int, int, int], length: int) -> bytes:
    n, r, p = costs
    memory = 128 * r * (n + p + 2) + 4096  # OpenSSL's default bound of 32 MiB is too low from n = 2^15 on
    # surrogatepass: JSON can carry lone surrogates, and a strange password is no reason to fail.
    return hashlib.scrypt(text.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=length)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
