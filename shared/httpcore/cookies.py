"""Cookies as values: the Cookie field read, a Set-Cookie field written (RFC 6265).

What a cookie means, and whether it is to be believed, is the application's business.
"""

import re
from dataclasses import dataclass
from typing import Literal

from shared.httpcore.grammar import WRITABLE_NAME

MAX_COOKIES = 100  # a browser keeps 50 a site

# RFC 6265 §4.1.1: cookie-octet = %x21 / %x23-2B / %x2D-3A / %x3C-5B / %x5D-7E, perhaps in double quotes
COOKIE_VALUE = re.compile(r'[!#-+\--:<-\[\]-~]*+|"[!#-+\--:<-\[\]-~]*+"')

# RFC 6265 §4.1.1: path-value = any CHAR except CTLs or ";"
PATH_VALUE = re.compile(r"/[ -:<-~]*+")

# What a client may send: wider than what we write, for other programs set cookies on the same host too.
_RECEIVED_VALUE = re.compile(r"[\t -:<-~\x80-\xff]*+")


def parse_cookie_header(value: str) -> dict[str, str]:
    """The cookies of a Cookie field by name; an empty field gives none.

    RFC 6265 §5.4: a browser puts the cookie with the longest path first, so the first of a name wins. A pair
    without "=", with a name that is no token or with control characters in its value is skipped, and so is
    what comes after 100 cookies. Values are left as they are: no unquoting, no percent-decoding.
    """
    cookies: dict[str, str] = {}
    for pair in value.split(";", MAX_COOKIES)[:MAX_COOKIES]:
        name, equals, text = pair.partition("=")
        name, text = name.strip(" \t"), text.strip(" \t")
        if equals and WRITABLE_NAME.fullmatch(name) and _RECEIVED_VALUE.fullmatch(text):
            cookies.setdefault(name, text)
    return cookies


@dataclass(frozen=True, slots=True)
class SetCookie:
    """A cookie for the client to keep. The defaults are the careful ones; `secure` is for sites under TLS.

    `max_age_s` None: until the browser ends; 0: forget it now.
    """

    name: str
    value: str
    max_age_s: int | None = None
    path: str = "/"
    http_only: bool = True
    same_site: Literal["Strict", "Lax", "None"] = "Lax"
    secure: bool = False


def expired_cookie(name: str, path: str = "/") -> SetCookie:
    """What makes the client forget the cookie of that name and path."""
    return SetCookie(name, "", max_age_s=0, path=path)


def serialize_set_cookie(cookie: SetCookie) -> str:
    """The value of a Set-Cookie field. ValueError for what would break out of its place or what browsers refuse."""
    _check(cookie)
    parts = [f"{cookie.name}={cookie.value}", f"Path={cookie.path}"]
    if cookie.max_age_s is not None:
        parts.append(f"Max-Age={cookie.max_age_s}")
    if cookie.http_only:
        parts.append("HttpOnly")
    if cookie.secure:
        parts.append("Secure")
    parts.append(f"SameSite={cookie.same_site}")
    return "; ".join(parts)


def _check(cookie: SetCookie) -> None:
    if WRITABLE_NAME.fullmatch(cookie.name) is None:
        raise ValueError(f"got the cookie name {cookie.name!r}, expected a token")
    if COOKIE_VALUE.fullmatch(cookie.value) is None:
        raise ValueError(f"the value of cookie {cookie.name!r} holds an octet that RFC 6265 §4.1.1 does not allow")
    if PATH_VALUE.fullmatch(cookie.path) is None:
        raise ValueError(f"got the cookie path {cookie.path!r}, expected one that starts with / and has no ;")
    if cookie.max_age_s is not None and cookie.max_age_s < 0:
        raise ValueError(f"got max_age_s {cookie.max_age_s}, expected 0 or more")
    if cookie.same_site == "None" and not cookie.secure:
        raise ValueError("a cookie with SameSite=None must be secure, or browsers refuse it")
