"""Which handler answers which method and path, and the hooks around it. No socket, no clock.

`net/connection` asks a router twice: `find` when a head is there, so that what the route says about the body is known
before the body is read, and `decorate` before a reply is sent.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict, Unpack
from urllib.parse import unquote

from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response

MAX_KEPT_PATHS = 2048  # of those that match a pattern, and of those that match none
MAX_KEPT_PATH = 256  # characters

PlainHandler = Callable[[Request], Response]
AsyncHandler = Callable[[Request], Awaitable[Response]]
Handler = PlainHandler | AsyncHandler
BeforeHook = Callable[[Request], Response | None]
AfterHook = Callable[[Request, Response], None]
ErrorPage = Callable[[Request, int, str, str], Response | None]


class RouteOptions(TypedDict, total=False):
    """What a route may say about itself; the defaults are in `Route`."""

    blocking: bool
    stream_body: bool
    max_body_bytes: int | None
    abandonable: bool


@dataclass(frozen=True, slots=True)
class Route:
    """One handler and how it wants to be called."""

    handler: Handler
    name: str
    is_async: bool
    blocking: bool = False  # a plain handler that waits: it runs in a thread
    stream_body: bool = False  # the handler reads the body itself, by `request.stream()`
    max_body_bytes: int | None = None  # None: the server's limit for collected bodies
    abandonable: bool = False  # an async handler that is cancelled when the client ends its side


def _make_route(handler: Handler, options: RouteOptions) -> Route:
    name = getattr(handler, "__qualname__", type(handler).__name__)
    is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)
    return Route(handler, name, is_async, **options)


class _Node:
    """One segment of the paths that were registered: by its text, or by a parameter's name."""

    __slots__ = ("by_text", "methods", "parameter", "parameter_name", "rest_methods", "rest_name")

    def __init__(self) -> None:
        self.by_text: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.parameter_name = ""
        self.methods: dict[str, Route] = {}
        self.rest_methods: dict[str, Route] = {}
        self.rest_name = ""


class Router:
    """Routes, hooks and the look of errors of one application. Built at start, only read afterwards."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, str]] = []  # method and path of each, as added
        self._exact: dict[str, dict[str, Route]] = {}
        self._tree = _Node()
        self._before: list[BeforeHook] = []
        self._after: list[AfterHook] = []
        self._strange: set[str] = set()  # paths that no route matches
        self._matched: dict[str, tuple[dict[str, Route], dict[str, str]]] = {}  # those of a pattern, with parameters
        self.alters_replies = False  # whether there are after hooks, to whom each reply must be shown
        self.is_steady = True  # whether all hooks decide by method, target and fields alone
        self._fallback: Route | None = None
        self._error_page: ErrorPage | None = None

    def add(self, method: str, path: str, handler: Handler, **options: Unpack[RouteOptions]) -> None:
        """`handler` answers `method` ("*": any) on `path`; `{name}` is one segment, `{name:path}` all that follow."""
        route = _make_route(handler, options)
        methods = self._node_methods(path) if "{" in path else self._exact.setdefault(path, {})
        if method in methods:
            raise ValueError(f"{method} {path} has a handler already")
        methods[method] = route
        self._strange.clear()
        self._matched.clear()
        self.routes.append((method, path))

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        """Decorator: the function answers GET, and HEAD, on `path`."""
        return self._decorator("GET", path, options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        """Decorator: the function answers POST on `path`."""
        return self._decorator("POST", path, options)

    def _decorator(self, method: str, path: str, options: RouteOptions) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.add(method, path, handler, **options)
            return handler

        return register

    def before(self, hook: BeforeHook, *, steady: bool = False) -> None:
        """`hook` runs when a head was read, before the body, for unknown paths too; its Response ends the request.

        `steady`: method, target and fields alone decide what it does, so that a reply may be repeated without it.
        """
        self._before.append(hook)
        self.is_steady = self.is_steady and steady

    def after(self, hook: AfterHook, *, steady: bool = False) -> None:
        """`hook` sees every reply before it is sent, error replies included, and may add fields. `steady`: as above."""
        self._after.append(hook)
        self.alters_replies = True
        self.is_steady = self.is_steady and steady

    def set_fallback(self, handler: Handler, **options: Unpack[RouteOptions]) -> None:
        """`handler` answers what no route matches, instead of 404; also paths that are no text."""
        self._fallback = _make_route(handler, options)

    def set_error_page(self, render: ErrorPage) -> None:
        """`render(request, status, code, message)` makes the error replies; None leaves one to the default."""
        self._error_page = render

    def has_path(self, path: str) -> bool:
        """Whether a route was registered for exactly this path."""
        return path in self._exact

    def find(self, request: Request) -> Route | Response:
        """The route for the request, or the reply that ends it here. May raise HttpError."""
        for hook in self._before:
            if (reply := hook(request)) is not None:
                return reply
        raw_path = request.raw_path
        if raw_path in self._strange:
            assert self._fallback is not None
            return self._fallback
        methods = self._exact.get(raw_path) or self._recall(request) or self._match(request)
        if methods is None and request.target == "*":  # RFC 9110 §9.3.7: about the server itself
            return Response(204)
        if methods is None:
            if self._fallback is None:
                raise HttpError(404, "not_found", f"there is nothing at {raw_path[:200]}")
            self._remember_strange(raw_path)
            return self._fallback
        method = request.method
        route = methods.get(method) or methods.get("*") or (methods.get("GET") if method == "HEAD" else None)
        return route or _refuse_method(request, methods)

    def decorate(self, request: Request, response: Response) -> None:
        """The after hooks, in order."""
        for hook in self._after:
            hook(request, response)

    def error_response(self, request: Request, error: HttpError) -> Response:
        """The reply for an error: the application's own page, else a plain page to a browser, else JSON."""
        page = self._error_page(request, error.status, error.code, error.message) if self._error_page else None
        if page is None and request.wants_html:
            page = Response.html(_plain_page(error), error.status)
        if page is None:
            return Response.error(error.status, error.code, error.message, error.headers)
        page.headers.extend(error.headers)
        return page

    def _node_methods(self, path: str) -> dict[str, Route]:
        node = self._tree
        for segment in path.split("/")[1:]:
            if not segment.startswith("{"):
                node = node.by_text.setdefault(segment, _Node())
            elif segment.endswith(":path}"):
                node.rest_name = segment[1:-6]
                return node.rest_methods
            else:
                if node.parameter and node.parameter_name != segment[1:-1]:
                    raise ValueError(f"{path}: this segment is called {node.parameter_name} already")
                node.parameter, node.parameter_name = node.parameter or _Node(), segment[1:-1]
                node = node.parameter
        return node.methods

    def _remember_strange(self, raw_path: str) -> None:
        """Where nearly all is the fallback's, as in a proxy, the paths of late are not looked for again."""
        if len(raw_path) <= MAX_KEPT_PATH:
            if len(self._strange) >= MAX_KEPT_PATHS:
                self._strange.clear()
            self._strange.add(raw_path)

    def _recall(self, request: Request) -> dict[str, Route] | None:
        """What `_match` found for this path before: clients ask for the same files again and again."""
        found = self._matched.get(request.raw_path)
        if found is None:
            return None
        request.path_params.update(found[1])
        return found[0]

    def _remember_matched(self, raw_path: str, methods: dict[str, Route], params: dict[str, str]) -> None:
        if len(raw_path) <= MAX_KEPT_PATH:
            if len(self._matched) >= MAX_KEPT_PATHS:
                self._matched.clear()
            self._matched[raw_path] = methods, dict(params)

    def _match(self, request: Request) -> dict[str, Route] | None:
        try:
            path = request.path
        except HttpError:
            if self._fallback is None:
                raise
            # The fallback may take it as it is, but no path gets round a route by octets that are no text.
            path = unquote(request.raw_path, errors="replace")
        if path != request.raw_path and path in self._exact:
            return self._exact[path]
        methods = _walk(self._tree, path.split("/")[1:], 0, request.path_params)
        if methods is not None:
            self._remember_matched(request.raw_path, methods, request.path_params)
        return methods


def _walk(node: _Node, segments: list[str], at: int, found: dict[str, str]) -> dict[str, Route] | None:
    """Depth first: text before parameter before rest, so the more exact path wins. As deep as the routes, at most."""
    if at == len(segments):
        return node.methods or None
    segment = segments[at]
    if (child := node.by_text.get(segment)) and (methods := _walk(child, segments, at + 1, found)):
        return methods
    if node.parameter and segment and (methods := _walk(node.parameter, segments, at + 1, found)):
        found[node.parameter_name] = segment
        return methods
    if node.rest_methods:
        found[node.rest_name] = "/".join(segments[at:])
        return node.rest_methods
    return None


def _refuse_method(request: Request, methods: dict[str, Route]) -> Response:
    """OPTIONS is answered for every path; any other method gets 405 with Allow (RFC 9110 §15.5.6)."""
    allowed = set(methods) | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    allow = ("Allow", ", ".join(sorted(allowed)))
    if request.method == "OPTIONS":
        return Response(204, headers=[allow])
    raise HttpError(405, "method_not_allowed", f"{request.method} is not allowed here; {allow[1]} is", [allow])


def _plain_page(error: HttpError) -> str:
    message = error.message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{error.status}</title>'
        f"<h1>{error.status}</h1><p>{message}</p></html>\n"
    )
