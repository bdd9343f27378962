"""These tests run in the event loop that the services run in."""

import asyncio

import pytest

from shared.httpcore.net.loop import new_event_loop


@pytest.fixture(autouse=True)
def the_loop_of_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asyncio.run` makes our own loop."""
    monkeypatch.setattr(asyncio.events, "new_event_loop", new_event_loop)
