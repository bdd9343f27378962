"""A site whose proxy.conf limits, caches, rewrites, compresses and replaces, and ways to ask it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.processes import Service, service_environment
from tests.services.proxy.site import Site
from tests.services.proxy.upstream_servers import Reply, Upstream

CONF = """
limit_req_zone $http_x_key zone=keys:1m rate=1r/m;
limit_req_zone $http_x_pace zone=pace:1m rate=5r/s;
error_page 502 504 sorry.html;
proxy_read_timeout 5s;
pool quick {{ server {address}; }}
host shop.example {{
    rewrite ^/old/(.*)$ /new/$1;
    rewrite ^/gone$ https://elsewhere.example/ permanent;
    proxy_pass http://quick;
    location /api/ {{ rewrite ^/api(/.*)$ $1 break; }}
}}
host "*" {{
    proxy_pass http://quick;
    location /limited/ {{ limit_req zone=keys burst=1 nodelay; }}
    location /queued/ {{ limit_req zone=pace burst=5; proxy_cache on; proxy_cache_lock on; }}
    location /paced/ {{ limit_req zone=pace burst=5; }}
    location /cached/ {{ proxy_cache on; }}
    location /guessed/ {{ proxy_cache on; proxy_cache_valid 1h; proxy_cache_stale_if_error 1h; proxy_cache_lock on; }}
    location /zipped/ {{ gzip on; }}
    location /both/ {{ gzip on; proxy_cache on; }}
    location /own/ {{ proxy_pass http://quick/theirs/; proxy_cookie_path /theirs/ /own/; }}
    location /pages/ {{ proxy_intercept_errors on; error_page 404 sorry.html; }}
    location /nowhere/ {{ proxy_pass http://127.0.0.1:1; }}
    location /closed/ {{ deny all; error_page 403 sorry.html; }}
    location /small/ {{ client_max_body_size 1k; error_page 413 sorry.html; }}
    location /traced/ {{ trace_context start; }}
    location /untraced/ {{ trace_context off; }}
}}
"""
SORRY = "<title>Sorry {{status}}</title> {{code}} {{request_id}} {{message}}"
TEXT = b"what shrinks well, " * 400
HTML = {"Accept": "text/html"}


@contextmanager
def shaped_site(folder: Path, conf: str = CONF) -> Iterator[Site]:
    """One proxy and its upstream."""
    (folder / "sorry.html").write_text(SORRY)
    upstream = Upstream(name="u1")
    path = folder / "proxy.conf"
    path.write_text(conf.format(address=upstream.address, port=upstream.port))
    proxy = Service("services.proxy", ("--config", str(path)), service_environment(), folder / "log")
    proxy.wait_healthy()
    yield Site(proxy, upstream)
    assert "Traceback" not in proxy.output, proxy.output
    proxy.kill()
    upstream.close()


def get(url: str, **fields: str) -> requests.Response:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


def counting(*fields: str, body: Callable[[int], bytes] = lambda count: b"reply %d" % count) -> Reply:
    """Each reply says which it is."""
    counter = itertools.count(1)
    return lambda talk: talk.reply(body(next(counter)), "200 OK", *fields)


def fields_at(url: str, **fields: str) -> dict[str, str]:
    return {name.lower(): value for name, value in get(url, **fields).json()["fields"]}
