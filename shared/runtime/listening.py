"""Listening on an address, or saying in one line why not; and how open that leaves a service without keys."""

import errno
import resource
import socket
import sys
from collections.abc import Iterable

from shared.httpcore.loopback import is_loopback
from shared.httpcore.net.server import bind_listener
from shared.runtime.errors import StartupError

WANTED_OPEN_FILES = 65_536


def listen_or_explain(ip: str, port: int) -> socket.socket:
    """The listener; StartupError with the port and the address when it can't be had."""
    return _bind_or_explain(ip, port, is_shared=False)


def listen_for_workers(ip: str, port: int, count: int) -> list[socket.socket]:
    """A listener for each of so many processes, all on one port; one for all where the system does not spread evenly.

    From one listener, whoever wakes first takes a whole burst; with one each, Linux spreads connections by their hash.
    StartupError as above: other processes don't share the port.
    """
    if count == 1 or sys.platform != "linux":
        return [listen_or_explain(ip, port)]
    if port != 0:  # a shared one would join another service of this user that shares it, and get half of its clients
        listen_or_explain(ip, port).close()
    listeners = [_bind_or_explain(ip, port, is_shared=True)]
    try:
        while len(listeners) < count:
            listeners.append(_bind_or_explain(ip, listeners[0].getsockname()[1], is_shared=True))
    except StartupError:
        close_all(listeners)
        raise
    return listeners


def close_all(listeners: Iterable[socket.socket]) -> None:
    """This process listens on none of them any more."""
    for listener in listeners:
        listener.close()


def _bind_or_explain(ip: str, port: int, *, is_shared: bool) -> socket.socket:
    try:
        return bind_listener(ip, port, is_shared=is_shared)
    except OSError as error:
        raise StartupError(explain_bind_error(error, ip, port)) from None
    except UnicodeError:
        raise StartupError(f"{ip!r} is no name of an address") from None


def explain_bind_error(error: OSError, ip: str, port: int) -> str:
    """What went wrong, in words that name port and address."""
    if isinstance(error, socket.gaierror):
        return f"no address is known for {ip!r}"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {ip} is already in use"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{ip} is no address of this machine, so port {port} can't be opened on it"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} on {ip} may not be opened by this user; ports below 1024 need a privilege"
    return f"port {port} on {ip} can't be opened: {error.strerror or error}"


def raise_file_limit() -> None:
    """As many connections may be open as the system allows without asking, up to 65,536; each takes a descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        pass  # macOS allows less than it says


def describe_openness(name: str, listener: socket.socket) -> str:
    """The warning of a service without keys."""
    ip, port = listener.getsockname()[:2]
    if is_loopback(ip):
        return f"no --keys-dir: this {name} is open to every program and every user of this machine"
    return (
        f"NO --keys-dir, AND NOT ONLY ON LOOPBACK: whoever reaches port {port} of {ip} can use this {name};"
        " give it keys, or --server-ip 127.0.0.1"
    )


def show_address(listener: socket.socket) -> str:
    """`127.0.0.1:9000` or `[::1]:9000`, with the port that the system chose."""
    ip, port = listener.getsockname()[:2]
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
