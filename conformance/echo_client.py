"""`python -m conformance.echo_client --url …`: our WebSocket client, led by the testsuite's fuzzing server.

The server tells how many cases there are; each is one connection on which every message is sent back; at the end
the server is asked to write its reports.
"""

import argparse
import asyncio

from shared.httpcore.errors import HttpCoreError
from shared.httpcore.limits import MIB
from shared.httpcore.net.loop import run
from shared.httpcore.net.websocket import WebSocketClosed, connect_websocket

AGENT = "WeApRous"
MAX_MESSAGE_BYTES = 16 * MIB  # the largest case sends 16 MiB
CASE_TIMEOUT_S = 600.0  # the testsuite's own is 480 s at most


async def count_cases(url: str) -> int:
    """How many cases the fuzzing server has."""
    async with await connect_websocket(f"{url}/getCaseCount") as websocket:
        return int(await websocket.receive())


async def run_case(url: str, number: int) -> None:
    """One case: what comes is sent back until the connection ends, however it ends."""
    websocket = await connect_websocket(
        f"{url}/runCase?case={number}&agent={AGENT}", max_message_bytes=MAX_MESSAGE_BYTES
    )
    async with websocket:
        try:
            async with asyncio.timeout(CASE_TIMEOUT_S):
                async for message in websocket:
                    await websocket.send(message)
        except (WebSocketClosed, TimeoutError):
            pass  # the server judges how it ended


async def run_all(url: str) -> None:
    """Every case, one after another, then the reports."""
    count = await count_cases(url)
    for number in range(1, count + 1):
        try:
            await run_case(url, number)
        except (HttpCoreError, TimeoutError) as error:
            print(f"case {number} of {count}: {error}", flush=True)
    async with await connect_websocket(f"{url}/updateReports?agent={AGENT}") as websocket:
        await websocket.wait_closed()


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m conformance.echo_client", description=__doc__)
    parser.add_argument("--url", required=True, help="of the fuzzing server, as ws://127.0.0.1:9001")
    run(run_all(parser.parse_args().url))


if __name__ == "__main__":
    main()
