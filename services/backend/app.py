"""Builds a backend from its parts: users, sessions, pages, and its place in the tracker's table.

Read `handlers` next for what a request does.
"""

import asyncio
import logging
import secrets
import socket
from pathlib import Path

from services.backend.allocation import give_back_large_blocks
from services.backend.content_policy import ContentPolicy
from services.backend.handlers import Backend
from services.backend.pages import Pages
from services.backend.registration import Registration, make_replica_name
from services.backend.settings import Settings
from services.backend.users import Accounts, BuiltInUsers, UserSource
from shared.httpcore.limits import behind_proxy
from shared.httpcore.net.loop import turn_end_of
from shared.httpcore.net.pool import ConnectionPool
from shared.httpcore.routing import Router
from shared.runtime.guard import Guard
from shared.runtime.keys import load_key
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.tracker_client import TrackerClient
from shared.runtime.tracker_tls import load_tracker_tls
from shared.runtime.users_file import UsersFile

FIRST_WORKER = (None, 1)  # the only process, or the first of several: one of them speaks for the replica

_log = logging.getLogger("weaprous.backend")


def load_session_secret(settings: Settings) -> bytes:
    """The key file's secret, which all replicas share; without keys one for this backend's lifetime. StartupError."""
    if settings.keys_dir is None:
        return secrets.token_bytes(32)
    return load_key(settings.keys_dir, "session")


async def build(settings: Settings, session_secret: bytes, lifecycle: Lifecycle) -> Router:
    """The backend, ready to serve. StartupError."""
    give_back_large_blocks()
    lifecycle.limits = behind_proxy(lifecycle.limits)
    name = make_replica_name(socket.gethostname(), settings.server_port)
    accounts = Accounts(_open_users(settings.users_file, lifecycle))
    backend = Backend(name, accounts, session_secret, Pages(settings.web_dir, turn_end_of(asyncio.get_running_loop())))
    lifecycle.metrics.gauge(
        "weaprous_backend_in_flight",
        "Requests and WebSockets that take time, now.",
        ask=lambda: backend.in_flight.count,
    )
    if settings.tracker is not None and lifecycle.worker in FIRST_WORKER:
        _register(settings, settings.tracker, backend, lifecycle)
    keyed = settings.keys_dir is not None
    guard = Guard(keyed, settings.cors_origin, frozenset({settings.server_ip}))
    return backend.make_router(guard, ContentPolicy(keyless=not keyed, connect_origins=settings.ui_connect))


def _open_users(path: Path | None, lifecycle: Lifecycle) -> UserSource:
    if path is not None:
        users = UsersFile(path)
        lifecycle.on_hangup(users.reload)
        return users
    _log.warning("no users file: the only login is admin with the password `password`")
    return BuiltInUsers()


def _register(settings: Settings, tracker: str, backend: Backend, lifecycle: Lifecycle) -> None:
    """The tracker knows this replica from the start of the service to its end."""
    key = load_key(settings.keys_dir, "tracker") if settings.keys_dir is not None else None
    pool = ConnectionPool(max_idle_per_origin=1, tls=load_tracker_tls(settings.tracker_ca))
    registration = Registration(
        TrackerClient(tracker, key, pool), backend.name, settings.advertise, settings.server_port, backend.in_flight
    )
    lifecycle.on_stop(pool.aclose)
    lifecycle.on_stop(registration.end)
    lifecycle.on_drain(registration.begin_drain)
    lifecycle.start_task(registration.run(), "registration")
