"""The servers that are compared, each as the command that starts it on a port. One worker, no access log, unless said.

Settings are each program's own defaults, but for what would end an idle connection or a long run of requests.
"""

import shutil
import sys
from pathlib import Path

from bench import site

# Single process, so that its CPU time and memory are one figure.
_NGINX = """
daemon off; master_process off; worker_processes 1; error_log /dev/null; pid {folder}/nginx.pid;
events {{ worker_connections 12000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {locations}
    }}
}}
"""
# Below /fresh/ no two replies have the same head, as with most applications.
_SERVE = """
location = /hello {{ default_type text/plain; return 200 "Hello, World!"; }}
location /fresh/ {{
    default_type text/plain; add_header X-Request-Id $request_id; add_header ETag '"$request_id"';
    add_header Cache-Control "private, no-cache"; return 200 "Hello, World!";
}}
location / {{ root {root}; }}
"""
# The whole body stays in memory: writing it to a temporary file, the default, would count against nginx.
_PASS = """location / {
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_max_temp_file_size 0;
}"""
_UPSTREAM = "upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000000; }}"
_HAPROXY = """
global
    nbthread 1
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend in
    bind 127.0.0.1:{port}
    default_backend origin
backend origin
    server origin 127.0.0.1:{origin}
"""


def ours(
    port: int, *, access_log: str = "off", log_level: str = "warning", workers: int = 1, web_dir: Path | None = None
) -> list[str]:
    """The backend as it is deployed, its router and hooks included."""
    command = [sys.executable, "-m", "services.backend", "--server-port", str(port), "--log-level", log_level]
    if web_dir is not None:
        command += ["--web-dir", str(web_dir)]
    return [*command, "--access-log", access_log, "--workers", str(workers)]


def our_proxy(port: int, origin: int) -> list[str]:
    """The proxy with the smallest configuration there is."""
    config = site.new_folder() / "proxy.conf"
    config.write_text(f'host "*" {{\n    proxy_pass http://127.0.0.1:{origin};\n}}\n')
    command = [sys.executable, "-m", "services.proxy", "--server-port", str(port), "--config", str(config)]
    return [*command, "--log-level", "warning", "--access-log", "off"]


def granian(port: int, backlog: int = 1024) -> list[str]:
    """Granian: HTTP in Rust, the application by ASGI. It accepts as many connections as its backlog."""
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--workers", "1"]
    return [*command, "--no-access-log", "--log-level", "error", "--backlog", str(backlog), "bench.apps.asgi:app"]


def uvicorn(port: int) -> list[str]:
    """uvicorn with uvloop and httptools: event loop and parser in C, the application by ASGI."""
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    return [*command, "--timeout-keep-alive", "600", "--no-access-log", "--log-level", "error", "bench.apps.asgi:app"]


def nginx(port: int, root: Path = Path("/nonexistent")) -> list[str]:
    """nginx: 13 bytes at /hello and below /fresh/, the files of `root` elsewhere."""
    return _start_nginx(port, "", _SERVE.format(root=root))


def nginx_proxy(port: int, origin: int) -> list[str]:
    """nginx as a reverse proxy that keeps connections to the origin."""
    return _start_nginx(port, _UPSTREAM.format(origin=origin), _PASS)


def _start_nginx(port: int, upstream: str, locations: str) -> list[str]:
    folder = site.new_folder()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream, locations=locations))
    return [find_program("nginx"), "-p", str(folder), "-c", str(config), "-e", "/dev/null"]


def haproxy(port: int, origin: int) -> list[str]:
    """HAProxy with one thread, reusing connections to the origin."""
    config = site.new_folder() / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, origin=origin))
    return [find_program("haproxy"), "-db", "-f", str(config)]


def app(name: str, port: int, *arguments: str) -> list[str]:
    """A small server of our own from bench/apps."""
    return [sys.executable, "-m", f"bench.apps.{name}", str(port), *arguments]


def find_program(name: str) -> str:
    """Where the program is: also in /usr/sbin, which is on root's PATH only."""
    return shutil.which(name) or f"/usr/sbin/{name}"
