"""A real proxy in front of real upstreams (`upstream_servers.py`)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Service, service_environment
from tests.services.proxy.shaped_site import shaped_site
from tests.services.proxy.site import CONF, Site
from tests.services.proxy.upstream_servers import Upstream

StartProxy = Callable[..., Service]


@pytest.fixture
def start_upstream() -> Iterator[Callable[..., Upstream]]:
    """`start_upstream(reply=…, name=…)` returns an `Upstream`; it is closed at the end of the test."""
    started: list[Upstream] = []

    def start(*args: Any, **kwargs: Any) -> Upstream:
        started.append(Upstream(*args, **kwargs))
        return started[-1]

    yield start
    for upstream in started:
        upstream.close()


@pytest.fixture
def start_proxy(start_service: Any, tmp_path: Path) -> StartProxy:
    """`start_proxy(text)` runs `python -m services.proxy` with this proxy.conf; `.config` is the file."""

    def start(text: str, *flags: str, **kwargs: Any) -> Service:
        path = tmp_path / "proxy.conf"
        path.write_text(text)
        service: Service = start_service("services.proxy", "--config", str(path), *flags, **kwargs)
        service.config = path  # type: ignore[attr-defined]
        return service

    return start


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("proxy")
    upstream = Upstream(name="u1")
    path = folder / "proxy.conf"
    path.write_text(CONF.format(address=upstream.address))
    proxy = Service("services.proxy", ("--config", str(path)), service_environment(), Path(folder / "log"))
    proxy.wait_healthy()
    yield Site(proxy, upstream)
    assert "Traceback" not in proxy.output, proxy.output
    proxy.kill()
    upstream.close()


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with shaped_site(tmp_path_factory.mktemp("shaped")) as site:
        yield site
