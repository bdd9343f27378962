"""Which content coding a client takes (RFC 9110 §12.5.3). Values in, values out."""

import re
from functools import lru_cache

from shared.httpcore.grammar import WRITABLE_NAME
from shared.httpcore.headers import Headers

# RFC 9110 §12.4.2: weight = OWS ";" OWS "q=" qvalue; qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0")
# ] )
_CODING = re.compile(
    rf"({WRITABLE_NAME.pattern})(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{{0,3}})?|1(?:\.0{{0,3}})?))?", re.ASCII
)


def coding_weights(accept_encoding: str) -> dict[str, float]:
    """Each coding named in the field with its weight, lower case; a malformed element is skipped."""
    weights: dict[str, float] = {}
    for element in accept_encoding.split(","):
        found = _CODING.fullmatch(element.strip(" \t"))
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
