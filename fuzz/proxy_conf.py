"""The text of a proxy.conf: a configuration, or mistakes that each have a place in the text."""

from pathlib import Path

from fuzz.target import Target
from services.proxy.config_directives import DIRECTIVES
from services.proxy.config_file import ConfigError, parse_config

FOLDER = Path(__file__).resolve().parent.parent / "services/proxy"


def check(data: bytes) -> None:
    """ConfigError is the only error, and what it points at exists."""
    text = data.decode("utf-8", "replace")
    try:
        config = parse_config(text)
    except ConfigError as error:
        check_mistakes(error, text.split("\n"))
    else:
        assert config.hosts, "a configuration that serves nobody"
        pools = {pool.name for pool in config.pools}
        locations = [location for host in config.hosts for location in host.locations]
        assert all(each.pool in pools or each.answer is not None for each in locations), "a stray pool"


def check_mistakes(error: ConfigError, lines: list[str]) -> None:
    """Each mistake says what is wrong, and at a place that exists."""
    assert error.mistakes, "an error without a mistake"
    for mistake in error.mistakes:
        assert mistake.message, "a mistake without words"
        assert 1 <= mistake.position.line <= len(lines), f"{mistake} is on no line"
        width = len(lines[mistake.position.line - 1]) + 1
        assert 1 <= mistake.position.column <= width, f"{mistake} is past its line"
    assert all("\n" not in line for line in error.lines()), "a mistake on two lines"


TARGET = Target(
    "proxy_conf",
    check,
    ("services.proxy",),
    [path.read_bytes() for path in sorted(FOLDER.glob("*.conf"))]
    + [
        b'host "localhost" {\n    proxy_pass http://127.0.0.1:8000;\n}\n',
        b"pool app { server 127.0.0.1:8001 weight=2; server backend:8000 resolve; policy least-connection;\n"
        b"    health_check http path=/healthz interval=1s timeout=1s rise=2 fall=3 expect=200-399; }\n"
        b'host "example.com" "*.example.com" { proxy_pass http://app; proxy_read_timeout 30s;\n'
        b"    location /api/ { proxy_pass http://u:p@127.0.0.1:9100/v1/; proxy_set_header Host $proxy_host;\n"
        b"        client_max_body_size 10m; proxy_next_upstream error timeout http_502; }\n"
        b"    location = /exact { proxy_pass http://app; } }\n",
    ],
    [name.encode() for name in DIRECTIVES]
    + [
        b'host "*" {',
        b"proxy_pass http://a:1;",
        b"location / {",
        b"pool p {",
        b"server [::1]:1",
        b"${",
        b'\\"',
        b"resolve",
    ],
)
