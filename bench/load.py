"""Load by wrk: one thread, 32 connections, a bare head or what a browser sends. How many requests were answered."""

import re
import subprocess
import sys
from collections.abc import Mapping

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


def drive(url: str, duration_s: float, head: Mapping[str, str] = BARE_HEAD, connections: int = 32) -> int:
    """Requests that were answered with 2xx. RuntimeError when any was not: such a figure would mean nothing."""
    fields = [part for name, value in head.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration_s:g}s", *fields, url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        print(f"{url}: {output}", file=sys.stderr)
        raise RuntimeError(f"{url}: not every request was answered with 2xx")
    found = re.search(r"(\d+) requests in", output)
    if found is None:
        raise RuntimeError(f"wrk said nothing of requests:\n{output}")
    return int(found[1])
