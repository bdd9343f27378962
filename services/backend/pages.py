"""The files of the UI and who may see them: pages want a session, what they are made of is open to all.

Owns the gate of design §5 (`/`, `/index.html`) and the look of errors. Reading files is `shared/httpcore/static`.
"""

from collections.abc import Callable
from html import escape
from pathlib import Path

from shared.httpcore.message import HTML_TYPE, Request, Response
from shared.httpcore.static import StaticFiles, call_now
from shared.runtime.errors import StartupError
from shared.runtime.users_file import User

LOGIN_PAGE = "login.html"
REFUSAL_PAGE = "Unauthorized.html"
INDEX_PAGE = "index.html"
NEEDED_FILES = (INDEX_PAGE, LOGIN_PAGE, REFUSAL_PAGE)
_PAGE_SUFFIXES = (".html", ".htm")
_OPEN_PAGES = frozenset({LOGIN_PAGE, REFUSAL_PAGE})
_STYLES = ("/css/tokens.css", "/css/base.css")

Identify = Callable[[Request], User | None]


class Pages:
    """The files below one folder, known since the start. StartupError when it can't be read, or one that it needs.

    `at_turn_end` is for `StaticFiles`.
    """

    def __init__(self, web_dir: Path, at_turn_end: Callable[[Callable[[], object]], None] = call_now) -> None:
        try:
            needed = {name: (web_dir / name).read_bytes() for name in NEEDED_FILES}
            self._files = StaticFiles(web_dir, at_turn_end=at_turn_end)
        except OSError as error:
            raise StartupError(f"--web-dir: can't read {error.filename}: {error.strerror}") from None
        self._refusal = needed[REFUSAL_PAGE]

    def open_index(self, request: Request, user: User | None) -> Response:
        """`/`: the application; without a session, to the login page."""
        if user is None:
            return Response.redirect(f"/{LOGIN_PAGE}", headers=[("Cache-Control", "no-store")])
        return self._open_private(request, INDEX_PAGE)

    def open_login(self, request: Request) -> Response:
        """The login form, for everyone."""
        return self._files.serve(request, LOGIN_PAGE)

    def open_file(self, request: Request, path: str, identify: Identify) -> Response:
        """A file by its path below the folder; a page other than the open ones wants a session.

        Only then is `identify` asked whose request it is: style sheets, scripts and images need no session.
        """
        if not path.lower().endswith(_PAGE_SUFFIXES) or path in _OPEN_PAGES:
            return self._files.serve(request, path, repeatable=True)
        if identify(request) is None:
            return self.refuse()
        return self._open_private(request, path)

    def refuse(self) -> Response:
        """401 with the page that says so."""
        return Response(401, self._refusal, HTML_TYPE, [("Cache-Control", "no-store")])

    def _open_private(self, request: Request, path: str) -> Response:
        response = self._files.serve(request, path)
        response.set_header("Cache-Control", "private, no-cache")
        return response

    def render_error(self, request: Request, status: int, code: str, message: str) -> Response | None:
        """A page for who asked for one, or sent a form; None: the JSON object. The router's error page hook."""
        del code  # a word for programs
        if not request.wants_html and not is_form(request):
            return None
        if status == 401:
            return self.refuse()
        return Response.html(render_error_page(status, message, request.id), status)


def is_form(request: Request) -> bool:
    """Whether a browser's form sent the request."""
    return (request.headers.get("content-type") or "").startswith("application/x-www-form-urlencoded")


def render_error_page(status: int, message: str, request_id: str) -> str:
    """A small page in the UI's own dress."""
    styles = "".join(f'  <link rel="stylesheet" href="{style}">\n' for style in _STYLES)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n  <meta charset="utf-8">\n'
        '  <meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"  <title>{status} · WeApRous</title>\n{styles}</head>\n<body>\n  <main>\n"
        f"    <h1>{status}</h1>\n    <p>{escape(message)}</p>\n"
        f'    <p><a href="/">Back to the start</a></p>\n'
        f"    <p><small>Request {escape(request_id)}</small></p>\n  </main>\n</body>\n</html>\n"
    )
