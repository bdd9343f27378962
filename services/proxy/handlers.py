"""The HTTP surface of the proxy: its own paths, and for all others the rules of `proxy.conf`.

Thin: a request becomes a destination (`gateway`, `mesh`) and is forwarded, or is answered from `admin` and
`live`. Who may use the proxy's own paths is `access`'s to say.
"""

from collections.abc import Awaitable, Callable, Iterable

from services.proxy.access import Access, Visitor
from services.proxy.answers import own_answer
from services.proxy.forward import Destination, Forwarder
from services.proxy.gateway import Gateway
from services.proxy.mesh import Mesh
from services.proxy.revocation import Revocation
from services.proxy.routing import BadPathError, NoRoute, SlashRedirect
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import RouteOptions, Router

FORWARDING: RouteOptions = {"stream_body": True, "abandonable": True}

VisitorHandler = Callable[[Request, Visitor], Response]
Handler = Callable[[Request], Awaitable[Response]]


class SiteHandler:
    """Everything that `proxy.conf` has a rule for."""

    def __init__(self, gateway: Gateway, forwarder: Forwarder) -> None:
        self._gateway = gateway
        self._forwarder = forwarder

    def add_to(self, router: Router) -> None:
        """The router forwards what it has no route for."""
        router.set_fallback(self.handle, **FORWARDING)

    async def handle(self, request: Request) -> Response:
        """The upstream's reply; 421 for an unknown host, 404 where no location takes the path."""
        if request.target == "*":  # OPTIONS * asks about this server (RFC 9110 §9.3.7)
            return Response(204)
        try:
            decision = self._gateway.table.find(request.host, request.raw_path)
        except BadPathError as error:
            raise HttpError(400, "bad_path", str(error)) from None
        if isinstance(decision, SlashRedirect):
            query = f"?{request.query}" if request.query else ""
            return Response.redirect(decision.location + query, 301)
        if isinstance(decision, NoRoute):
            raise _no_route(request, decision)
        if (answer := own_answer(request, decision.location)) is not None:
            return answer
        return await self._forwarder.forward(request, self._gateway.destination(request, decision))


def _no_route(request: Request, decision: NoRoute) -> HttpError:
    if decision.is_host_known:
        return HttpError(404, "no_location", "no location of this host takes the path")
    return HttpError(421, "misdirected_host", f"this proxy has no rule for the host {request.host[:100]!r}")


class OwnPaths:
    """Adds the proxy's own paths to a router, each behind the gate."""

    def __init__(self, router: Router, access: Access) -> None:
        self._router = router
        self._access = access
        self._revocation = Revocation()

    def add_page(self, path: str, handle: VisitorHandler) -> None:
        """`handle` answers GET on `path` for visitors who may."""

        def handle_page(request: Request) -> Response:
            visitor = self._access.check(request)
            if isinstance(visitor, Response):
                return visitor
            response = self._limit(handle(request, visitor), visitor, ())
            self._access.decorate(request, response)
            return response

        self._router.add("GET", path, handle_page)

    def reserve(self, path: str) -> None:
        """Nothing at or below `path` is forwarded, also where there is nothing."""

        def handle_nothing(request: Request) -> Response:
            raise HttpError(404, "not_found", f"there is nothing at {request.raw_path[:200]}")

        self._router.add("*", path, handle_nothing)
        self._router.add("*", path + "/{rest:path}", handle_nothing)

    def add_mesh(self, mesh: Mesh, forwarder: Forwarder) -> None:
        """Everything below /tracker and /peers is forwarded for visitors who may."""
        to_tracker = self._forwarding(mesh.to_tracker, forwarder)
        to_peer = self._forwarding(mesh.to_peer, forwarder)
        for path in ("/tracker", "/tracker/{rest:path}"):
            self._router.add("*", path, to_tracker, **FORWARDING)
        for path in ("/peers", "/peers/{peer_id}", "/peers/{peer_id}/{rest:path}"):
            self._router.add("*", path, to_peer, **FORWARDING)

    def _forwarding(self, find_destination: Callable[[Request, Visitor], Destination], forwarder: Forwarder) -> Handler:
        async def handle_mesh(request: Request) -> Response:
            visitor = self._access.check(request)
            if isinstance(visitor, Response):
                response = visitor
            else:
                response = await forwarder.forward(request, find_destination(request, visitor))
                response = self._limit(response, visitor, _peers_at_stake(request, visitor))
            self._access.decorate(request, response)
            return response

        return handle_mesh

    def _limit(self, response: Response, visitor: Visitor, peers: Iterable[str]) -> Response:
        """What outlasts its head ends when the visitor's session does, or one of these peers is no longer his."""
        return self._revocation.limit(response, lambda: self._access.still_allows(visitor, peers))


def _peers_at_stake(request: Request, visitor: Visitor) -> tuple[str, ...]:
    """The peer in the path; for the tracker, all that the visitor's proof spoke for."""
    peer_id = request.path_params.get("peer_id")
    if peer_id is not None:
        return (peer_id,)
    return visitor.user.peers if visitor.user is not None else ()
