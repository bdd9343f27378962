"""A service for the tests of `lifecycle` and `workers`: a few routes, and every callback says that it was called."""

import asyncio
import os
import sys
import time
from dataclasses import dataclass

from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from shared.httpcore.routing import Router
from shared.runtime.errors import StartupError
from shared.runtime.keys import load_key
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.service_process import run_service
from shared.runtime.settings import (
    CommonSettings,
    exit_on_settings_error,
    parse_duration_s,
    parse_int_between,
    parse_on_off,
    parse_port,
    setting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CommonSettings):
    """The tiny service's."""

    server_port: int = setting(0, parse_port, help="TCP port to listen on")
    workers: int = setting(1, parse_int_between(1, 8), help="processes")
    fail_start: bool = setting(False, parse_on_off, help="build raises StartupError", is_switch=True)
    crash_start: bool = setting(False, parse_on_off, help="build raises something else", is_switch=True)
    build_s: float = setting(0.0, parse_duration_s, help="how long build takes", unit="s")


async def build(lifecycle: Lifecycle) -> Router:
    """The routes that the tests ask."""
    settings = lifecycle.settings
    assert isinstance(settings, Settings)

    async def say(word: str) -> None:
        print(f"said {word}", flush=True)

    lifecycle.on_stop(lambda: say("stop first registered"))
    lifecycle.on_stop(lambda: say("stop last registered"))
    lifecycle.on_drain(lambda: say("drain"))
    if settings.keys_dir is not None:
        load_key(settings.keys_dir, "tracker")
    if settings.fail_start:
        raise StartupError("the cupboard is bare")
    if settings.crash_start:
        raise RuntimeError("a mistake in build")
    print("said building", flush=True)
    await asyncio.sleep(settings.build_s)

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            print("said task ended", flush=True)

    async def fail() -> None:
        raise RuntimeError("the task's own mistake")

    lifecycle.start_task(work(), "work")
    lifecycle.start_task(fail(), "fail")
    router = Router()

    @router.get("/pid")
    def handle_pid(_request: Request) -> Response:
        return Response.json({"pid": os.getpid(), "worker": lifecycle.worker})

    @router.get("/until-drain")
    async def handle_until_drain(_request: Request) -> Response:
        await lifecycle.draining.wait()
        return Response.text("drained")

    @router.get("/never")
    async def handle_never(_request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    @router.get("/hold")
    def handle_hold(request: Request) -> Response:
        """Holds the event loop, which nobody should."""
        time.sleep(float(request.query_param("s", "0.1") or 0))
        return Response.text("held")

    @router.get("/thread", blocking=True)
    def handle_thread(_request: Request) -> Response:
        time.sleep(60)
        return Response()

    @router.get("/stream")
    async def handle_stream(_request: Request) -> Response:
        async def chunks():
            yield b"first\n"
            await lifecycle.draining.wait()
            yield b"last\n"

        return StreamingResponse(200, chunks(), "text/plain")

    @router.get("/ws")
    def handle_ws(request: Request) -> Response:
        async def echo(websocket: WebSocket) -> None:
            async for message in websocket:
                await websocket.send(message)

        return WebSocketUpgrade(request, echo)

    @router.get("/stop")
    def handle_stop(_request: Request) -> Response:
        lifecycle.stop(3)
        return Response()

    return router


def main() -> int:
    """The exit status."""
    settings = exit_on_settings_error(Settings, sys.argv[1:], os.environ, "tiny", "A service for tests.")
    return run_service(
        "tiny", settings, build, ip=settings.server_ip, port=settings.server_port, workers=settings.workers
    )


if __name__ == "__main__":
    sys.exit(main())
