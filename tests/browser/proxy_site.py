"""A running proxy with upstreams, for the tests of its page. The fixture is in `conftest.py`."""

from pathlib import Path
from typing import Any

from tests.processes import Service
from tests.services.proxy.upstream_servers import Upstream

READY = "html[data-ready=proxy]"


class Site:
    """A keyless proxy with two upstreams in a pool that is checked, and one more."""

    def __init__(self, start_service: Any, folder: Path) -> None:
        self.upstreams = [Upstream(name=name) for name in "abc"]
        a, b, c = (upstream.address for upstream in self.upstreams)
        self.text = (
            f"pool app {{ server {a}; server {b}; health_check http path=/ interval=200ms fall=1 rise=1; }}\n"
            f"host shop.example {{ proxy_pass http://app; location /api/ {{ proxy_pass http://{c}/v1/; }} }}\n"
            'host "*" { proxy_pass http://app; location /files/ { proxy_cache on; proxy_cache_valid 1h; '
            "limit_req zone=all burst=5 nodelay; } }\n"
            "limit_req_zone $remote_addr zone=all:1m rate=10r/s;\n"
        )
        self.config = folder / "proxy.conf"
        self.config.write_text(self.text)
        self.proxy: Service = start_service("services.proxy", "--config", str(self.config))

    def close(self) -> None:
        for upstream in self.upstreams:
            upstream.close()
