"""Whether an address is this machine's own."""


def is_loopback(ip: str) -> bool:
    """Whether only this machine reaches the address."""
    return ip == "::1" or ip.startswith(("127.", "::ffff:127."))
