"""`python -m conformance.app`: the smallest application on this stack that the cases can be sent to.

`/hello` answers GET, `/echo` reads a body and says how long it was, `/file.txt` is a static file, `/probe` is what the
runner asks afterwards to see whether the connection goes on. nginx is set up to answer the same (see `servers`).
"""

import argparse
from pathlib import Path

from conformance.serving import serve_until_stopped
from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Response
from shared.httpcore.net.loop import run
from shared.httpcore.routing import Router
from shared.httpcore.static import StaticFiles

# As the services run it, but for the time-outs, which would only make the cases slow.
LIMITS = Limits(head_timeout_s=2.0, body_timeout_s=2.0)


def build_router(root: Path) -> Router:
    """The routes of the module's docstring, with the files of `root`."""
    files = StaticFiles(root)
    router = Router()
    router.add("GET", "/hello", lambda _: Response.text("hello\n"))
    router.add("GET", "/", lambda _: Response.text("hello\n"))
    router.add("GET", "/probe", lambda _: Response.text("probe\n"))
    router.add("*", "/echo", _handle_echo)
    router.add("GET", "/file.txt", lambda request: files.serve(request, "file.txt"))
    return router


def _handle_echo(request: Request) -> Response:
    return Response.text(f"{request.method} {request.target} {len(request.body)}\n")


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m conformance.app", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default 0: a free one)")
    parser.add_argument("--root", type=Path, required=True, help="the folder that holds file.txt")
    arguments = parser.parse_args()
    run(serve_until_stopped(build_router(arguments.root), arguments.port, LIMITS))


if __name__ == "__main__":
    main()
