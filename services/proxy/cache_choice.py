"""What of a request decides about its part of the cache, where an operator says so: `proxy_cache_key`,
`proxy_cache_bypass` and `proxy_no_cache`. Values in, values out.

What a cache may do at all is `cache_rules`', what becomes of a request `intake`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.proxy.templates import RequestFacts, Template


@dataclass(frozen=True, slots=True)
class CacheChoice:
    """The words of one place. `key` None: the URL, as RFC 9111 §2 has it.

    `pool` is where the place passes to: the one cache serves all pools, and what one of them said never answers for
    another, whatever the key.
    """

    key: Template | None = None
    pool: str = ""
    bypass: tuple[Template, ...] = ()
    unkept: tuple[Template, ...] = ()

    def key_for(self, facts: RequestFacts) -> str:
        """The request's key; "" for that of its URL."""
        # The space: no URL begins like this.
        return f" {self.pool} {self.key.render(facts)}" if self.key is not None else ""

    def bypasses(self, facts: RequestFacts) -> bool:
        """Whether the request is not to be answered from the cache."""
        return first_set(self.bypass, facts) is not None

    def keeps(self, facts: RequestFacts) -> bool:
        """Whether the reply may be kept."""
        return first_set(self.unkept, facts) is None


def first_set(texts: Sequence[Template], facts: RequestFacts) -> tuple[Template, str] | None:
    """The first of them that the request gives a value, as nginx counts: neither empty nor 0; and that value."""
    for text in texts:
        if (value := text.render(facts)) not in ("", "0"):
            return text, value
    return None
