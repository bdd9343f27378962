"""One question to a process on this machine, by a plain socket: the runner carries no HTTP client."""

import json
import socket

from services.stack.plan import Listener, ProcessPlan

TIMEOUT_S = 0.5
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def ask(listener: Listener, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes] | None:
    """Status and body of a GET, or None when there is no answer in time."""
    ip = _WILDCARDS.get(listener.ip, listener.ip)
    host = f"[{ip}]" if ":" in ip else ip
    fields = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{listener.port}\r\n{fields}\r\n"
    try:
        with socket.create_connection((ip, listener.port), timeout=TIMEOUT_S) as connection:
            connection.sendall(request.encode("ascii"))
            with connection.makefile("rb") as reply:
                head, _, body = reply.read().partition(b"\r\n\r\n")
    except OSError:
        return None
    words = head.split(b" ", 2)
    return (int(words[1]), body) if len(words) == 3 and words[1].isdigit() else None


def is_healthy(plan: ProcessPlan) -> bool:
    """The process answers its health endpoint with 200."""
    answer = ask(plan.listeners[0], plan.health_path)
    return answer is not None and answer[0] == 200


def count_registered(tracker: Listener, tracker_key: str) -> int:
    """How many processes the tracker knows; 0 when it doesn't say."""
    answer = ask(tracker, "/tracker/peers", {"X-Tracker-Key": tracker_key})
    if answer is None or answer[0] != 200:
        return 0
    try:
        return int(json.loads(answer[1])["count"])
    except (ValueError, KeyError, TypeError):
        return 0
