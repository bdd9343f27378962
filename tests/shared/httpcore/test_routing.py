"""Which handler answers what, and the hooks around it."""

import pytest

from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import MAX_KEPT_PATH, MAX_KEPT_PATHS, Route, Router


def named(name: str) -> "Named":
    return Named(name)


class Named:
    """A handler that says which one it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, request: Request) -> Response:
        return Response.text(f"{self.name} {sorted(request.path_params.items())}")


def answer(router: Router, method: str, target: str) -> str:
    """What the router's handler says, or the status and code that ends the request."""
    request = Request(method, target, 1, b"Host: x\r\n")
    try:
        found = router.find(request)
        response = found if isinstance(found, Response) else found.handler(request)
    except HttpError as error:
        return f"{error.status} {error.code}"
    assert isinstance(response, Response)
    return response.body.decode() or str(response.status)


def make_router() -> Router:
    router = Router()
    for method, path in [
        ("GET", "/"),
        ("GET", "/peers"),
        ("POST", "/peers"),
        ("GET", "/peers/all"),
        ("GET", "/peers/{peer_id}"),
        ("GET", "/peers/{peer_id}/inbox"),
        ("*", "/any"),
        ("GET", "/files/{path:path}"),
        ("GET", "/files/index"),
    ]:
        router.add(method, path, named(f"{method} {path}"))
    return router


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/", "GET / []"),
        ("GET", "/?a=b", "GET / []"),
        ("GET", "/peers", "GET /peers []"),
        ("POST", "/peers", "POST /peers []"),
        ("HEAD", "/peers", "GET /peers []"),
        ("GET", "/peers/p1", "GET /peers/{peer_id} [('peer_id', 'p1')]"),
        ("GET", "/peers/a%20b", "GET /peers/{peer_id} [('peer_id', 'a b')]"),
        ("GET", "/peers/all", "GET /peers/all []"),
        ("GET", "/peers/p1/inbox", "GET /peers/{peer_id}/inbox [('peer_id', 'p1')]"),
        ("GET", "/peers/all/inbox", "GET /peers/{peer_id}/inbox [('peer_id', 'all')]"),
        ("DELETE", "/any", "* /any []"),
        ("GET", "/files/a/b/c.txt", "GET /files/{path:path} [('path', 'a/b/c.txt')]"),
        ("GET", "/files/", "GET /files/{path:path} [('path', '')]"),
        ("GET", "/files/index", "GET /files/index []"),
        ("GET", "/missing", "404 not_found"),
        ("GET", "/peers/", "404 not_found"),
        ("GET", "/peers/p1/", "404 not_found"),
        ("GET", "/peers/p1/outbox", "404 not_found"),
        ("GET", "//peers", "404 not_found"),
        ("GET", "/PEERS", "404 not_found"),
        ("DELETE", "/peers", "405 method_not_allowed"),
        ("POST", "/peers/p1", "405 method_not_allowed"),
        ("get", "/peers", "405 method_not_allowed"),
        ("OPTIONS", "/peers", "204"),
        ("OPTIONS", "/missing", "404 not_found"),
        ("GET", "/%ff", "400 bad_path"),
        ("GET", "/%00", "400 bad_path"),
    ],
)
def test_a_method_and_a_path_lead_to_a_handler(method: str, target: str, expected: str) -> None:
    assert answer(make_router(), method, target) == expected


def test_options_for_the_server_itself_is_answered() -> None:
    assert answer(make_router(), "OPTIONS", "*") in ("200", "204")


def test_405_and_options_say_what_is_allowed() -> None:
    router = make_router()
    with pytest.raises(HttpError) as refused:
        router.find(Request("DELETE", "/peers"))
    assert refused.value.headers == (("Allow", "GET, HEAD, OPTIONS, POST"),)
    options = router.find(Request("OPTIONS", "/peers"))
    assert isinstance(options, Response)
    assert options.headers == [("Allow", "GET, HEAD, OPTIONS, POST")]


def test_two_names_for_one_segment_are_a_mistake() -> None:
    router = Router()
    router.add("GET", "/peers/{peer_id}/inbox", named("inbox"))
    with pytest.raises(ValueError, match="this segment is called peer_id already"):
        router.add("GET", "/peers/{name}/outbox", named("outbox"))
    router.add("GET", "/peers/{peer_id}/outbox", named("outbox"))
    assert answer(router, "GET", "/peers/p1/outbox") == "outbox [('peer_id', 'p1')]"


def test_what_a_dead_end_found_is_not_kept() -> None:
    router = Router()
    router.add("GET", "/a/{x}/b", named("b"))
    router.add("GET", "/a/{rest:path}", named("rest"))
    assert answer(router, "GET", "/a/1/c") == "rest [('rest', '1/c')]"


@pytest.mark.parametrize("depth", [63, 64, 65, 5000])
def test_a_path_of_any_depth_has_its_route(depth: int) -> None:
    router = Router()
    router.set_fallback(named("fallback"))
    router.add("GET", "/_proxy/{rest:path}", named("reserved"))
    assert answer(router, "GET", "/_proxy" + "/a" * depth).startswith("reserved")
    assert answer(router, "GET", "/other" + "/a" * depth).startswith("fallback")


def test_a_path_that_comes_again_has_parameters_of_its_own() -> None:
    router = make_router()
    first, again = Request("GET", "/peers/ann"), Request("GET", "/peers/ann")
    router.find(first)
    first.path_params["name"] = first.path_params["more"] = "changed by its handler"
    router.find(again)
    assert "changed by its handler" not in again.path_params.values()
    assert [answer(router, "GET", "/peers/ann")] * 2 == [answer(router, "GET", "/peers/ann") for _ in range(2)]
    assert answer(router, "PUT", "/peers/ann").startswith("405")


def test_a_route_that_is_added_counts_for_paths_that_came_before() -> None:
    router = Router()
    router.add("GET", "/{path:path}", named("any"))
    assert answer(router, "GET", "/a/b") == "any [('path', 'a/b')]"
    router.add("GET", "/a/{name}", named("one"))
    assert answer(router, "GET", "/a/b") == "one [('name', 'b')]"


def test_paths_that_are_remembered_are_bounded_and_short() -> None:
    router = Router()
    router.add("GET", "/{path:path}", named("any"))
    for number in range(MAX_KEPT_PATHS + 10):
        assert answer(router, "GET", f"/{number}") == f"any [('path', '{number}')]"
    router.find(Request("GET", "/" + "x" * MAX_KEPT_PATH))
    assert 0 < len(router._matched) <= MAX_KEPT_PATHS
    assert max(map(len, router._matched)) <= MAX_KEPT_PATH


def test_a_second_handler_for_the_same_thing_is_a_mistake() -> None:
    router = make_router()
    with pytest.raises(ValueError, match="GET /peers has a handler already"):
        router.add("GET", "/peers", named("again"))
    with pytest.raises(ValueError, match="has a handler already"):
        router.add("GET", "/peers/{peer_id}", named("again"))


def test_decorators_register_and_leave_the_function_alone() -> None:
    router = Router()

    @router.get("/a")
    def get_a(request: Request) -> Response:
        return Response.text("a")

    @router.post("/a", max_body_bytes=5)
    async def post_a(request: Request) -> Response:
        return Response.text("b")

    found = router.find(Request("POST", "/a"))
    assert isinstance(found, Route)
    assert (found.is_async, found.max_body_bytes, found.blocking, found.stream_body) == (True, 5, False, False)
    assert found.handler is post_a
    assert get_a(Request("GET", "/a")) is not None
    assert router.has_path("/a")
    assert not router.has_path("/b")


def test_the_fallback_takes_what_no_route_takes_and_nothing_else() -> None:
    router = make_router()
    router.set_fallback(named("fallback"), stream_body=True)
    assert answer(router, "DELETE", "/missing") == "fallback []"
    assert answer(router, "GET", "/%ff") == "fallback []"
    assert answer(router, "GET", "/peers") == "GET /peers []"


def test_hooks_run_in_order_for_every_path_and_may_end_the_request() -> None:
    router, seen = make_router(), []

    def note(request: Request) -> None:
        seen.append(request.path)

    def refuse(request: Request) -> Response | None:
        return Response.text("hook") if request.path == "/secret" else None

    def fail(request: Request) -> Response | None:
        if request.path == "/wrong":
            raise HttpError(421, "misdirected_host", "not here")
        return None

    for hook in (note, refuse, fail):
        router.before(hook)
    assert answer(router, "GET", "/secret") == "hook"
    assert answer(router, "GET", "/wrong") == "421 misdirected_host"
    assert answer(router, "GET", "/missing") == "404 not_found"
    assert answer(router, "GET", "/peers") == "GET /peers []"
    assert seen == ["/secret", "/wrong", "/missing", "/peers"]


def test_after_hooks_may_add_fields() -> None:
    router, response = Router(), Response(204)
    router.after(lambda request, response: response.add_header("A", "1"))
    router.after(lambda request, response: response.set_header("A", "2"))
    router.decorate(Request("GET", "/"), response)
    assert response.headers == [("A", "2")]


def test_errors_have_the_applications_look_a_page_or_json() -> None:
    router, error = Router(), HttpError(403, "no", "<b>no</b>", [("X-Why", "because")])
    program = Request("GET", "/")
    browser = Request("GET", "/", 1, b"Accept: text/html\r\n")
    assert router.error_response(program, error).body == b'{"error":{"code":"no","message":"<b>no</b>"}}'
    page = router.error_response(browser, error)
    assert (page.status, page.get_header("x-why")) == (403, "because")
    assert b"<b>no</b>" not in page.body
    assert b"&lt;b&gt;no&lt;/b&gt;" in page.body
    router.set_error_page(lambda request, status, code, message: Response.html(f"own {status} {code}", status))
    own = router.error_response(program, error)
    assert (own.body, own.headers) == (b"own 403 no", [("X-Why", "because")])
    router.set_error_page(lambda request, status, code, message: None)
    assert router.error_response(program, error).body.startswith(b'{"error"')
