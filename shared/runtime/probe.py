"""Whether the service on this machine is well: `python -m shared.runtime.probe 8000 [/healthz]`.

Owns: one GET to the loopback address, and an exit status: 0 for a 200, 1 for anything else, 2 for a bad call.
A container engine starts it every few seconds in every container, so it imports no more than a socket needs.
Does not own: what the answer means (`lifecycle`), nor how often it is asked (HEALTHCHECK in the Dockerfile).
"""

import socket
import sys

DEFAULT_PATH = "/healthz"
TIMEOUT_S = 3.0
MAX_STATUS_LINE_BYTES = 256
USAGE = "usage: python -m shared.runtime.probe PORT [PATH]"


def find_fault(port: int, path: str = DEFAULT_PATH, timeout_s: float = TIMEOUT_S) -> str | None:
    """What is wrong with the service on that loopback port, or None when it answered 200 within the time."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            status_line = connection.makefile("rb").readline(MAX_STATUS_LINE_BYTES)
    except OSError as error:
        return f"GET {path} on port {port}: {error}"
    if status_line.split(b" ")[1:2] != [b"200"]:
        return f"GET {path} on port {port}: got {status_line.decode('latin-1').strip()!r}, expected a 200"
    return None


def main(arguments: list[str]) -> int:
    """Ask once, say what is wrong if anything is, and give back the exit status."""
    if len(arguments) not in (1, 2) or not arguments[0].isdecimal():
        print(USAGE, file=sys.stderr)
        return 2
    path = arguments[1] if len(arguments) == 2 else DEFAULT_PATH
    fault = find_fault(int(arguments[0]), path)
    if fault is not None:
        print(fault)
    return 0 if fault is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
