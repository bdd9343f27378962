"""The servers that are compared, each as the command that starts it on a port. All with one worker, no access log."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

Command = Callable[[int], Sequence[str]]

NGINX_HTTP = """
daemon off; master_process off; worker_processes 1; error_log /dev/null; pid {folder}/nginx.pid;
events {{ worker_connections 12000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /hello {{ default_type text/plain; return 200 "Hello, World!"; }}
        location / {{ root {root}; }}
    }}
}}
"""


def ours(port: int, *flags: str) -> list[str]:
    """The backend as it is deployed, its router and hooks included."""
    command = [sys.executable, "-m", "services.backend", "--server-port", str(port), "--log-level", "warning"]
    return [*command, *(flags or ("--access-log", "off"))]


def granian(port: int) -> list[str]:
    """Granian: HTTP in Rust, the application by ASGI."""
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--workers", "1"]
    return [*command, "--no-access-log", "--log-level", "error", "--backlog", "1024", "bench.apps.asgi:app"]


def uvicorn(port: int) -> list[str]:
    """uvicorn with uvloop and httptools: event loop and parser in C, the application by ASGI."""
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    return [*command, "--no-access-log", "--log-level", "error", "bench.apps.asgi:app"]


def nginx(port: int, root: Path = Path("/nonexistent")) -> list[str]:
    """nginx: 13 bytes at /hello, the files of `root` elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="weaprous-bench-nginx-"))
    config = folder / "nginx.conf"
    config.write_text(NGINX_HTTP.format(folder=folder, port=port, root=root))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return [program, "-p", str(folder), "-c", str(config), "-e", "/dev/null"]
