"""Which processes make the stack: pure, from settings to values. `supervisor` runs them, `keyring` makes their files.

Owns names, ports and flags of every process, the proxy's configuration and the block of text that greets the user.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.stack.settings import (
    FIRST_BACKEND_PORT,
    PEER_API_PORT,
    PEER_TCP_PORT,
    PROXY_PORT,
    TRACKER_PORT,
    StackSettings,
)

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Listener:
    """One port that a process listens on, and what for, in words for the user."""

    ip: str
    port: int
    what: str


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process of the stack. Its first listener is its HTTP port, where `health_path` is asked.

    Processes of a stage start when all those of earlier stages are healthy.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    listeners: tuple[Listener, ...]
    stage: int
    health_path: str = "/healthz"


def plan_processes(settings: StackSettings) -> tuple[ProcessPlan, ...]:
    """Every process of the stack in the order of starting: tracker, backends and peers, proxy."""
    return tuple(_plan(settings))


def _plan(settings: StackSettings) -> Iterator[ProcessPlan]:
    yield _tracker(settings)
    for number in range(1, settings.backends + 1):
        yield _backend(settings, number)
    for number in range(1, settings.peers + 1):
        yield _peer(settings, number)
    yield _proxy(settings)


def tracker_port(settings: StackSettings) -> int:
    """The tracker's port on this machine."""
    return TRACKER_PORT + settings.port_offset


def _tracker(settings: StackSettings) -> ProcessPlan:
    port = tracker_port(settings)
    table = ("--snapshot", str(settings.var_dir / "tracker.jsonl"))  # else a killed tracker forgets for a while
    flags = ("--server-port", str(port), *table, *_common_flags(settings))
    return ProcessPlan("tracker", "services.tracker", flags, (Listener(LOOPBACK, port, "tracker"),), stage=0)


def _backend(settings: StackSettings, number: int) -> ProcessPlan:
    name = f"backend{number}"
    port = FIRST_BACKEND_PORT + number - 1 + settings.port_offset
    users = ("--users-file", str(settings.var_dir / "users.json"))
    flags = ("--server-port", str(port), *users, *_tracker_flag(settings), *_common_flags(settings))
    return ProcessPlan(name, "services.backend", flags, (Listener(LOOPBACK, port, name),), stage=1)


def _peer(settings: StackSettings, number: int) -> ProcessPlan:
    name = f"p{number}"
    api_port = PEER_API_PORT + number + settings.port_offset
    tcp_port = PEER_TCP_PORT + number + settings.port_offset
    own = ("--peer-id", name, "--api-port", str(api_port), "--p2p-port", str(tcp_port), "--register")
    data = ("--data-dir", str(settings.var_dir))
    listeners = (Listener(LOOPBACK, api_port, f"{name}'s API"), Listener(LOOPBACK, tcp_port, f"{name}'s TCP"))
    flags = (*own, *data, *_tracker_flag(settings), *_common_flags(settings))
    return ProcessPlan(name, "services.peer", flags, listeners, stage=1)


def _proxy(settings: StackSettings) -> ProcessPlan:
    port = PROXY_PORT + settings.port_offset
    own = ("--server-ip", settings.server_ip, "--server-port", str(port))
    files = ("--config", str(settings.var_dir / "proxy.conf"), "--users-file", str(settings.var_dir / "users.json"))
    flags = (*own, *files, *_tracker_flag(settings), *_common_flags(settings))
    listeners = (Listener(settings.server_ip, port, "proxy"),)
    return ProcessPlan("proxy", "services.proxy", flags, listeners, stage=2, health_path="/_proxy/healthz")


def _tracker_flag(settings: StackSettings) -> tuple[str, str]:
    return ("--tracker", f"http://{LOOPBACK}:{tracker_port(settings)}")


def _common_flags(settings: StackSettings) -> tuple[str, ...]:
    return (
        "--keys-dir",
        str(settings.var_dir / "keys"),
        "--log-level",
        settings.log_level,
        "--log-format",
        settings.log_format,
        "--access-log",
        "on" if settings.access_log else "off",
        "--drain-s",
        f"{settings.drain_s:g}",
    )


def render_proxy_conf(settings: StackSettings) -> str:
    """The proxy's configuration: every backend in one pool, taken in turn, watched by a health check."""
    ports = range(FIRST_BACKEND_PORT, FIRST_BACKEND_PORT + settings.backends)
    servers = "".join(f"    server {LOOPBACK}:{port + settings.port_offset};\n" for port in ports)
    return (
        "# Written by `python -m services` at each start; what you change here is lost.\n"
        "pool backends {\n"
        f"{servers}"
        "    policy round-robin;\n"
        "    health_check http path=/healthz interval=1s;\n"
        "}\n"
        f'host "{"localhost" if settings.is_local else "*"}" {{\n'
        "    proxy_pass http://backends;\n"
        "    location = /healthz { return 404; }  # a backend's own figures are for this machine alone\n"
        "    location = /metrics { return 404; }\n"
        "}\n"
    )


def render_greeting(settings: StackSettings, is_first_password: bool) -> str:
    """The framed block that says where to go; README and `make up` show the same."""
    login = "admin / password" if is_first_password else "as admin, or as a user of users.json"
    lines = [
        f"WeApRous is running: {_count(settings.backends, 'backend')}, {_count(settings.peers, 'peer')}.",
        "",
        f"Open      http://localhost:{PROXY_PORT + settings.port_offset}",
        f"Log in    {login}",
        f"Tracker   http://localhost:{tracker_port(settings)}",
        "Stop      Ctrl-C",
    ]
    width = max(map(len, lines))
    edge = "+" + "-" * (width + 4) + "+"
    return "\n".join([edge, *(f"|  {line.ljust(width)}  |" for line in lines), edge])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
