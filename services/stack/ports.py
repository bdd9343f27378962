"""Which ports can't be had: asked before anything starts, so that all of them are named at once."""

import socket
from collections.abc import Iterable

from services.stack.plan import Listener


def find_ports_in_use(listeners: Iterable[Listener]) -> list[tuple[Listener, str]]:
    """The listeners whose address can't be bound now, each with the reason."""
    faults = []
    for listener in listeners:
        family = socket.AF_INET6 if ":" in listener.ip else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listener.ip, listener.port))
                probe.listen(1)  # Linux tells some conflicts only now
            except OSError as error:
                faults.append((listener, error.strerror or str(error)))
    return faults
