"""Conditional requests (RFC 9110 §13): does the client have it already, may it change it. Values in, values
out.
"""

import re
from dataclasses import dataclass
from enum import Enum

from shared.httpcore.dates import parse_http_date
from shared.httpcore.headers import Headers

# RFC 9110 §8.8.3: entity-tag = [ weak ] opaque-tag; opaque-tag = DQUOTE *etagc DQUOTE
_ENTITY_TAG = re.compile(r'(W/)?("[!#-~\x80-\xff]*+")')
# §5.6.1: a list, whose empty elements are ignored
_ENTITY_TAG_LIST = re.compile(rf"[ \t,]*+(?:{_ENTITY_TAG.pattern}[ \t]*+(?:,[ \t,]*+|$))++")


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a resource from another: a strong entity tag, quotes included, and when it changed."""

    etag: str
    modified_unix_s: int


class Verdict(Enum):
    """What a request's preconditions say of its method."""

    PROCEED = 200
    NOT_MODIFIED = 304
    PRECONDITION_FAILED = 412


def evaluate_preconditions(method: str, headers: Headers, validators: Validators) -> Verdict:
    """The verdict on a request for an existing resource, in the order of RFC 9110 §13.2.2. If-Range is apart."""
    is_safe = method in ("GET", "HEAD")
    if (tags := _field(headers, "if-match")) is not None:  # step 1
        if not _matches(tags, validators.etag, weakly=False):
            return Verdict.PRECONDITION_FAILED
    elif _was_modified_since(headers, "if-unmodified-since", validators) is True:  # step 2
        return Verdict.PRECONDITION_FAILED
    if (tags := _field(headers, "if-none-match")) is not None:  # step 3
        if _matches(tags, validators.etag, weakly=True):
            return Verdict.NOT_MODIFIED if is_safe else Verdict.PRECONDITION_FAILED
    elif is_safe and _was_modified_since(headers, "if-modified-since", validators) is False:  # step 4
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def is_range_current(headers: Headers, validators: Validators) -> bool:
    """True when a Range may be honoured: no If-Range, or one that names exactly this state (§13.1.5)."""
    condition = _field(headers, "if-range")
    if condition is None:
        return True
    tag = _ENTITY_TAG.fullmatch(condition)
    if tag is not None:  # compared strongly: a weak tag never matches
        return tag[1] is None and tag[2] == validators.etag
    # §13.1.5: a date must be the exact one. It must also be strong (§8.8.2.2); ours never is, for a file may
    # change twice within a second, so a date never lets a range through.
    return False


def _field(headers: Headers, name: str) -> str | None:
    """The field's lines as one list (§5.3); None when there are none."""
    values = headers.get_all(name)
    return ", ".join(values) if values else None


def _matches(tags: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of entity tags, or `*`, names `etag`, compared as §8.8.3.2 says. Malformed lists name nothing."""
    if tags.strip(" \t") == "*":
        return True
    if _ENTITY_TAG_LIST.fullmatch(tags) is None:
        return False
    return any(tag == etag and (weakly or not weak) for weak, tag in _ENTITY_TAG.findall(tags))


def _was_modified_since(headers: Headers, name: str, validators: Validators) -> bool | None:
    """None when the field is absent, repeated or no date, which is to be ignored (§13.1.3, §13.1.4)."""
    values = headers.get_all(name)
    since = parse_http_date(values[0]) if len(values) == 1 else None
    return None if since is None else validators.modified_unix_s > since
