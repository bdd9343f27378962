"""What the methods promise (RFC 9110 §9.2), for whoever decides what may be repeated or forged."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # §9.2.1: they ask for nothing but information
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}  # §9.2.2: twice means the same as once
