"""A service as far as a supervisor can tell: `python -m tests.services.stack.fake_service PORT [HABIT]`.

Habits: `stubborn` ignores SIGTERM, `slow` takes its time to end, `unfit` ends at once with status 2, `chatty` says a
last word without a newline, `needs:PORT` ends with status 2 when nobody listens there, `introspective` tells what it
has of its parent, `parent` has a child that ignores SIGTERM, and tells its pid.
"""

import os
import signal
import socket
import subprocess
import sys
import time

REPLY = b"HTTP/1.0 200 OK\r\n\r\nok"


def refuse_to_end(*_: object) -> None:
    print("no", flush=True)


def end_slowly(*_: object) -> None:
    time.sleep(0.5)
    print("drained", flush=True)
    sys.exit(0)


def end(*_: object) -> None:
    sys.exit(0)


def can_connect(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def introspect() -> None:
    with os.scandir("/proc/self/fd") as entries:
        fds = [entry.name for entry in entries if os.readlink(entry.path) != f"/proc/{os.getpid()}/fd"]
    settings = [name for name in os.environ if name.startswith("WEAPROUS_")]
    with open("/proc/self/comm") as comm:
        name = comm.read().strip()
    print(f"fds {' '.join(sorted(fds))}, settings {settings}, name {name}, arguments {len(sys.argv) - 1}")


def main(port: int, habit: str) -> int:
    if habit == "unfit":
        print("error: --port: this service can't start")
        return 2
    if habit.startswith("needs:") and not can_connect(int(habit.partition(":")[2])):
        return 2
    signal.signal(signal.SIGTERM, {"stubborn": refuse_to_end, "slow": end_slowly}.get(habit, end))
    if habit == "parent":
        sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
        print("child", subprocess.Popen([sys.executable, "-c", sleeper]).pid, flush=True)
    if habit == "introspective":
        introspect()
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("pid", os.getpid(), "group", os.getpgid(0), flush=True)
        if habit == "chatty":
            print("last words", end="", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(REPLY)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
