"""Which content coding a client takes, and which language it likes best (RFC 9110 §12.5.3, §12.5.4). Values in, values
out.
"""

import re
from functools import lru_cache

from shared.httpcore.grammar import WRITABLE_NAME
from shared.httpcore.headers import Headers

# RFC 9110 §12.4.2: weight = OWS ";" OWS "q=" qvalue; qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0")
# ] )
_WEIGHTED = re.compile(
    rf"({WRITABLE_NAME.pattern})(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{{0,3}})?|1(?:\.0{{0,3}})?))?", re.ASCII
)


def coding_weights(accept_encoding: str) -> dict[str, float]:
    """Each coding named in the field with its weight, lower case; a malformed element is skipped."""
    return _weights(accept_encoding)


def _weights(field: str) -> dict[str, float]:
    """Name → weight, in the order of the field. A name that is repeated has its first weight."""
    weights: dict[str, float] = {}
    for element in field.split(","):
        found = _WEIGHTED.fullmatch(element.strip(" \t"))
        if found is not None:
            weights.setdefault(found[1].lower(), float(found[2] or 1))
    return weights


@lru_cache(maxsize=64)  # clients say one of a few things
def accepts_gzip(accept_encoding: str | None) -> bool:
    """True when gzip is to be sent rather than the plain bytes: it is acceptable, and not less welcome than
    they.

    Deliberate: without the field anything would be acceptable (§12.5.3 rule 1), but plain bytes are safer.
    """
    if not accept_encoding:
        return False
    weights = coding_weights(accept_encoding)
    anything = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", anything))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def takes_gzip(headers: Headers) -> bool:
    """`accepts_gzip` of a request's fields, all lines of Accept-Encoding taken together."""
    values = headers.get_all("accept-encoding")
    return accepts_gzip(values[0] if len(values) == 1 else ", ".join(values))


@lru_cache(maxsize=64)  # as above
def choose_language(accept_language: str | None, available: tuple[str, ...]) -> str:
    """The one of `available` (primary subtags such as `vi`) that the client likes best; the first of them where it
    takes none: a page that is hard to read is better than none (§12.5.4 leaves it to us).

    A range for a country stands for its language too (`vi-VN` → `vi`: RFC 4647 §3.4, Lookup). Of languages that are as
    welcome as each other the one named first wins: browsers list them in that order.
    """
    weights = _weights(accept_language or "")
    welcome: dict[str, float] = {}
    for tag, weight in weights.items():
        language = tag.partition("-")[0]
        if language in available:
            welcome[language] = max(weight, welcome.get(language, 0.0))
    for language in available:
        if weights.get(language) == 0:
            welcome[language] = 0.0  # in no country
        elif not welcome.get(language):  # `vi-VN;q=0` says nothing against other Vietnamese
            welcome[language] = weights.get("*", 0.0)
    best = max(welcome, key=welcome.__getitem__)  # the first of equals
    return best if welcome[best] > 0 else available[0]


def preferred_language(headers: Headers, available: tuple[str, ...]) -> str:
    """`choose_language` by a request's fields, all lines of Accept-Language taken together."""
    return choose_language(", ".join(headers.get_all("accept-language")), available)
