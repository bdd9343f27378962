"""The tables of flags and endpoints in README, made from the services themselves.

`python -m tests.readme_tables` writes the flags' table anew; the endpoints' has words of its own and is checked only.
"""

import asyncio
import importlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.httpcore.routing import Router
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.service_process import add_health
from shared.runtime.settings import CommonSettings, parse_settings, setting_specs
from shared.runtime.settings_help import default_text

README = Path(__file__).resolve().parent.parent / "README.md"
SERVICES = ("proxy", "backend", "tracker", "peer")
FLAGS = re.compile(r"(?<=<!-- flags -->\n).*?(?=<!-- /flags -->)", re.DOTALL)
COMMON = "each"


def service_module(service: str, room: str) -> ModuleType:
    return importlib.import_module(f"services.{service}.{room}")


# --- flags ---------------------------------------------------------------------------------------------------------


def flag_table() -> str:
    """The table as it stands in README: a service's own flags, then those that all have."""
    rows = ["| service | flag | default | what it is |", "|---|---|---|---|"]
    common = set(setting_specs(CommonSettings))
    for service in SERVICES:
        specs = setting_specs(service_module(service, "settings").Settings)
        own = [spec for name, spec in specs.items() if name not in common or spec.flag == "--ip"]
        rows += [f"| {service} | `{spec.flag}` | {default_text(spec)} | {spec.help} |" for spec in own]
    specs = setting_specs(CommonSettings)
    rows += [f"| {COMMON} | `{spec.flag}` | {default_text(spec)} | {spec.help} |" for spec in specs.values()]
    return "\n".join(rows) + "\n"


# --- endpoints -----------------------------------------------------------------------------------------------------


def endpoints_of(service: str) -> set[str]:
    """`METHOD /path` of all that the router of a running service answers; the files of the proxy's page are one."""
    with tempfile.TemporaryDirectory() as folder:
        routes = asyncio.run(_routes_of(service, Path(folder)))
    files = re.compile(r"(?<=/_proxy/page/).+")
    return {f"{method} {files.sub('{file}', path.replace(':path}', '}'))}" for method, path in routes}


async def _routes_of(service: str, folder: Path) -> list[tuple[str, str]]:
    """The service is built as at its start, but that nothing is accepted, and closed again."""
    flags = {
        "proxy": ["--tracker", "http://127.0.0.1:9"],
        "peer": ["--p2p-port", "0", "--data-dir", str(folder)],
    }
    settings: Any = parse_settings(service_module(service, "settings").Settings, flags.get(service, []), {}, "", "")
    lifecycle = Lifecycle(service, settings)
    build = service_module(service, "app").build
    secret = (b"x" * 32,) if service == "backend" else ()
    try:
        router: Router = await build(settings, *secret, lifecycle)
        if service != "proxy":
            add_health(router, lifecycle)
        return router.routes
    finally:
        await lifecycle.close(1.0)


def listed_endpoints(readme: str) -> Iterator[tuple[str, str]]:
    """Service and `METHOD /path` of every row below «Endpoints»."""
    section = readme.partition("\n## Endpoints\n")[2].partition("\n## ")[0]
    for services, endpoints in re.findall(r"^\| ([a-z, ]+) \| (`.*?`) \|", section, re.MULTILINE):
        for service in services.split(", "):
            yield from ((service, endpoint) for endpoint in re.findall(r"`([^`]+)`", endpoints))


if __name__ == "__main__":
    README.write_text(FLAGS.sub(lambda _: flag_table(), README.read_text(encoding="utf-8")), encoding="utf-8")
