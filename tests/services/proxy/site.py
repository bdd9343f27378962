"""A real proxy before one real upstream, and ways to ask it."""

import socket
from pathlib import Path

import requests

from tests.processes import Service
from tests.services.proxy.upstream_servers import Reply, Upstream

CONF = """
proxy_read_timeout 10s;
host "*" {{
    proxy_pass http://{address};
    location /hasty/ {{ proxy_read_timeout 300ms; }}
    location /pushy/ {{ proxy_send_timeout 300ms; }}
    location /small/ {{ client_max_body_size 1k; }}
    location /under/ {{ proxy_pass http://{address}/base/; }}
    location /secret/ {{ proxy_pass http://user:pa%20ss@{address}; }}
    location /set/ {{
        proxy_set_header Host $proxy_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Id "id=$request_id";
        proxy_set_header Accept-Encoding "";
    }}
    location /nowhere/ {{ proxy_pass http://127.0.0.1:1; }}
}}
"""


class Site:
    """The proxy, its one upstream, and ways to ask."""

    def __init__(self, proxy: Service, upstream: Upstream) -> None:
        self.proxy, self.upstream, self.url = proxy, upstream, proxy.url
        self.count = 0

    def on(self, reply: Reply, path: str = "") -> str:
        """The URL of a path that the upstream answers like this."""
        self.count += 1
        path = f"{path or '/'}{self.count}"
        self.upstream.by_path[path] = reply
        return self.url + path

    def talk(self, *parts: bytes, until_end: bool = True) -> bytes:
        """What comes back on a raw connection."""
        with socket.create_connection(("127.0.0.1", self.proxy.port), timeout=10) as sock:
            for part in parts:
                sock.sendall(part)
            return b"".join(iter(lambda: sock.recv(65536), b"")) if until_end else sock.recv(65536)

    def in_flight(self) -> int:
        return int(requests.get(self.url + "/_proxy/status", timeout=10).json()["in_flight"])


def peak_memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")
