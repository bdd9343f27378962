"""One keyless backend for all tests of this folder, and an administrator who has logged in there."""

from collections.abc import Iterator

import pytest
import requests

from tests.processes import Service, service_environment


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A keyless backend with the built-in login."""
    service = Service("services.backend", [], service_environment(), tmp_path_factory.mktemp("backend") / "output.log")
    try:
        service.wait_healthy()
        yield service
    finally:
        service.kill()


@pytest.fixture
def admin(backend: Service) -> requests.Session:
    session = requests.Session()
    assert session.post(f"{backend.url}/login", json={"username": "admin", "password": "password"}).status_code == 200
    return session
