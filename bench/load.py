"""Load: by wrk for many small requests, by one socket for large bodies. wrk runs one thread, 32 connections."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import site
from bench.machines import Machine

# What Chromium sends for a page of its own site, 16 fields.
BROWSER_HEAD: Mapping[str, str] = {
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Referer": "http://localhost/index.html",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9,vi;q=0.8",
}
BARE_HEAD: Mapping[str, str] = {}
HEADS: Mapping[str, Mapping[str, str]] = {"bare head": BARE_HEAD, "browser head": BROWSER_HEAD}

CRLF = "\r\n"
PIECE_BYTES = 256 * 1024
TIMEOUT_S = 60.0


def drive(
    url: str, duration_s: int, head: Mapping[str, str] = BARE_HEAD, connections: int = 32, script: Path | None = None
) -> int:
    """Requests that were answered with 2xx. RuntimeError when any was not: such a figure would mean nothing.

    `script` makes the requests instead, whatever the path and the head (see `fresh_requests`).
    """
    fields = [part for name, value in head.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration_s}s", *fields, url]
    if script is not None:
        command[1:1] = ["-s", str(script)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        print(f"{url}: {output}", file=sys.stderr)
        raise RuntimeError(f"{url}: not every request was answered with 2xx")
    found = re.search(r"(\d+) requests in", output)
    if found is None:
        raise RuntimeError(f"wrk said nothing of requests:\n{output}")
    return int(found[1])


def fresh_requests(head: Mapping[str, str]) -> Path:
    """A script for wrk: each request-target is a new one, of a thousand paths below /fresh/."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **head}.items())
    line = f"'GET /fresh/' .. n % 1000 .. '?n=' .. n .. {json.dumps(f' HTTP/1.1{CRLF}{fields}{CRLF}')}"
    script = site.new_folder() / "fresh.lua"
    script.write_text(f"local n = 0\nfunction request()\n    n = n + 1\n    return {line}\nend\n")
    return script


def cpu_us_per_request(
    machine: Machine,
    path: str,
    duration_s: int,
    head: Mapping[str, str] = BARE_HEAD,
    connections: int = 32,
    script: Path | None = None,
) -> float:
    """User and system microseconds of the server for one keep-alive GET."""
    before_s = machine.cpu_s()
    answered = drive(machine.url(path), duration_s, head, connections, script)
    return (machine.cpu_s() - before_s) / answered * 1e6


def cpu_s_per_gb(machine: Machine, path: str, downloads: int) -> float:
    """User and system seconds of the server for 10⁹ bytes of a large body, one connection."""
    before_s = machine.cpu_s()
    received = download(machine.port, path, downloads)
    return (machine.cpu_s() - before_s) / received * 1e9


def download(port: int, path: str, times: int) -> int:
    """The bytes of `times` bodies, one after the other on one connection. RuntimeError when one is not whole."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    piece = bytearray(PIECE_BYTES)
    total = 0
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
        for _ in range(times):
            sock.sendall(request)
            head, rest = read_head(sock)
            found = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
            if not head.startswith(b"HTTP/1.1 200") or found is None:
                raise RuntimeError(f"{path}: {head!r}")
            total += int(found[1])
            left = int(found[1]) - len(rest)
            while left:
                count = sock.recv_into(piece, min(left, PIECE_BYTES))
                if not count:
                    raise RuntimeError(f"{path}: the connection ended {left} bytes early")
                left -= count
    return total


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """A reply's head, and what came with it. ConnectionError when the other side closes before its end."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (data := sock.recv(16 * 1024)):
            raise ConnectionError(f"closed after {received!r}")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest
