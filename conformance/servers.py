"""The servers that are compared, each a process on a free loopback port: this one, nginx, and HAProxy before nginx.

All are set up alike where the cases depend on it: the same paths and file, short time-outs, the rest by default.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S = 20.0
EXTRA_FOLDERS = ("/usr/sbin", "/usr/local/sbin")  # where Debian keeps servers, out of a user's PATH
FILE_CONTENT = b"abcdefghijklmnopqrstuvwxyz"
FILE_MODIFIED_UNIX_S = 1_700_000_000

# `/echo` goes to a second server of the same process: proxied, so that nginx reads and judges the body.
NGINX = """
daemon off; master_process off; worker_processes 1; error_log /dev/null; pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off; default_type text/plain;
    client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 5s; lingering_timeout 1s;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = / {{ return 200 "hello\\n"; }}
        location = /hello {{ return 200 "hello\\n"; }}
        location = /probe {{ return 200 "probe\\n"; }}
        location = /echo {{ proxy_pass http://unix:{folder}/echo.sock; }}
        location / {{ root {root}; }}
    }}
    server {{
        listen unix:{folder}/echo.sock;
        location / {{ return 200 "$request_method $request_uri $content_length\\n"; }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout http-request 700ms
    timeout http-keep-alive 5s
    timeout client 700ms
    timeout connect 1s
    timeout server 5s
frontend cases
    bind 127.0.0.1:{port}
    default_backend nginx
backend nginx
    server nginx 127.0.0.1:{nginx_port}
"""


class MissingProgram(Exception):
    """A server to compare with is not installed; the message says how to get it."""


def find_program(name: str) -> str:
    """Where the program is. MissingProgram when it is not installed."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *EXTRA_FOLDERS]))
    if found is None:
        raise MissingProgram(f"{name} is not installed; on Debian or Ubuntu: apt-get install {name}")
    return found


def program_version(name: str) -> str:
    """Its version, as `1.22.1`."""
    command = [find_program(name), "-v"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    return parse_version(said.stdout + said.stderr)


def parse_version(said: str) -> str:
    """The first number of three parts in what a program says of itself, without a distribution's suffix."""
    found = re.search(r"[0-9]+\.[0-9]+\.[0-9]+", said)
    return found[0] if found is not None else "?"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def site() -> Iterator[Path]:
    """A folder with file.txt, as every server is to serve it."""
    with tempfile.TemporaryDirectory(prefix="weaprous-conformance-") as name:
        file = Path(name, "file.txt")
        file.write_bytes(FILE_CONTENT)
        os.utime(file, (FILE_MODIFIED_UNIX_S, FILE_MODIFIED_UNIX_S))
        yield Path(name)


@contextlib.contextmanager
def running(command: Sequence[str], is_ready: Callable[[], bool]) -> Iterator["subprocess.Popen[bytes]"]:
    """The process runs and is ready; it is ended afterwards. RuntimeError with its output otherwise."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + READY_TIMEOUT_S
            while not is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(f"{command[0]} did not start:\n{output.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.02)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def weaprous(root: Path) -> Iterator[int]:
    """This server; its port."""
    port = free_port()
    command = [sys.executable, "-m", "conformance.app", "--port", str(port), "--root", str(root)]
    with running(command, lambda: accepts(port)):
        yield port


@contextlib.contextmanager
def nginx(root: Path) -> Iterator[int]:
    """nginx; its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="weaprous-conformance-nginx-") as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, root=root))
        command = [find_program("nginx"), "-p", folder, "-c", str(config), "-e", "/dev/null"]
        with running(command, lambda: accepts(port)):
            yield port


@contextlib.contextmanager
def haproxy(root: Path) -> Iterator[int]:
    """HAProxy before an nginx of its own; its port."""
    with nginx(root) as nginx_port, tempfile.TemporaryDirectory(prefix="weaprous-conformance-haproxy-") as folder:
        port = free_port()
        config = Path(folder, "haproxy.cfg")
        config.write_text(HAPROXY.format(port=port, nginx_port=nginx_port))
        with running([find_program("haproxy"), "-db", "-f", str(config)], lambda: accepts(port)):
            yield port
