"""The HTTP surface of the proxy: its own paths, and for all others the rules of `proxy.conf`.

Thin: a request becomes a destination (`gateway`, `mesh`) and is forwarded, as it is or as `intake` has it, or is
answered from `admin` and `live`. Who may use the proxy's own paths is `access`'s to say.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from services.proxy.access import Access, Visitor
from services.proxy.answers import own_answer
from services.proxy.decorating import DecoratingForwarding
from services.proxy.destination import Destination
from services.proxy.failures import refusal_response
from services.proxy.forward import Forwarder, Forwarding
from services.proxy.gateway import Gateway, Place
from services.proxy.intake import Intake
from services.proxy.mesh import Mesh
from services.proxy.moments import now
from services.proxy.refreshing import begin_refresh
from services.proxy.reply_fields import ReplyFields
from services.proxy.revocation import Oversight, Revocation
from services.proxy.rewritten_routes import Redirect
from services.proxy.routing import BadPathError, NoRoute, SlashRedirect, upstream_target
from services.proxy.shaping import ShapedForwarding
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import RouteOptions, Router

FORWARDING: RouteOptions = {"stream_body": True}

VisitorHandler = Callable[[Request, Visitor], Response]
VisitorAction = Callable[[Request, Visitor], Awaitable[Response]]
Handler = Callable[[Request], Response]
FindDestination = Callable[[Request, Visitor, Oversight], tuple[Destination, str]]


class SiteHandler:
    """Everything that `proxy.conf` has a rule for."""

    def __init__(self, gateway: Gateway, forwarder: Forwarder, intake: Intake) -> None:
        self._gateway = gateway
        self._forwarder = forwarder
        self._intake = intake

    def add_to(self, router: Router) -> None:
        """The router forwards what it has no route for."""
        router.set_fallback(self.handle, **FORWARDING)

    def handle(self, request: Request) -> Response:
        """The upstream's reply; 421 for an unknown host, 404 where no location takes the path."""
        try:
            found = self._gateway.find(request)
        except BadPathError as error:
            raise HttpError(400, "bad_path", str(error)) from None
        if type(found) is Place:
            destination, route, needs_look, target = found
            if target is None:
                target = request.target
                if route.location.uri is not None:
                    target = upstream_target(target, request.query, route)
            try:
                if needs_look:
                    return self._look(request, found, target)
                assert destination is not None
                return Forwarding(self._forwarder, request, destination, target)
            except HttpError as error:
                features = route.location.features
                return _decorated(request, refusal_response(request, error, features.pages), features.reply_fields)
        if isinstance(found, Redirect):
            return _decorated(request, Response.redirect(found.location, found.status), found.fields)
        if isinstance(found, SlashRedirect):
            query = f"?{request.query}" if request.query else ""
            return _decorated(request, Response.redirect(found.location + query, 301), found.fields)
        assert isinstance(found, NoRoute)
        raise _no_route(request, found)

    def _look(self, request: Request, place: Place, target: str) -> Response:
        """What the place says before anything is forwarded: who may come, how often, and whether it is known here."""
        features = place.route.location.features
        if (answer := own_answer(request, place.route.location)) is not None:
            return _decorated(request, answer, features.reply_fields)
        assert place.destination is not None
        if features.only_decorates:
            return DecoratingForwarding(self._forwarder, request, place.destination, target)
        taken = self._intake.take(request, features, now())
        if taken.response is not None and not taken.delay_s:
            features.reply_fields.decorate(request, taken.response)
            if taken.refresh is not None:
                begin_refresh(self._forwarder, request, place.destination, target, taken.refresh)
            return taken.response
        if taken.is_plain:
            return Forwarding(self._forwarder, request, place.destination, target)
        return ShapedForwarding(self._forwarder, request, place.destination, target, self._intake, taken)


def _decorated(request: Request, response: Response, fields: ReplyFields) -> Response:
    fields.decorate(request, response)
    return response


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
            response = self._oversee(visitor, ()).limit(handle(request, visitor))
            self._access.decorate(request, response)
            return response

        self._router.add("GET", path, handle_page)

    def add_action(self, path: str, act: VisitorAction) -> None:
        """`act` answers POST on `path` for visitors who may, when no page of another origin made the request."""

        async def handle_action(request: Request) -> Response:
            visitor = self._access.check(request)
            response = visitor if isinstance(visitor, Response) else await act(request, visitor)
            self._access.decorate(request, response)
            return response

        self._router.add("POST", path, handle_action)

    def reserve(self, path: str) -> None:
        """Nothing at or below `path` is forwarded, also where there is nothing."""

        def handle_nothing(request: Request) -> Response:
            raise HttpError(404, "not_found", f"there is nothing at {request.raw_path[:200]}")

        if not self._router.has_path(path):
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

    def _forwarding(self, find_destination: FindDestination, forwarder: Forwarder) -> Handler:
        def handle_mesh(request: Request) -> Response:
            visitor = self._access.check(request)
            if isinstance(visitor, Response):
                self._access.decorate(request, visitor)
                return visitor
            oversight = self._oversee(visitor, _peers_at_stake(request, visitor))
            destination, target = find_destination(request, visitor, oversight)
            return Forwarding(forwarder, request, destination, target)

        return handle_mesh

    def _oversee(self, visitor: Visitor, peers: Iterable[str]) -> Oversight:
        """What outlasts its head ends when the visitor's session does, or one of these peers is no longer his."""
        may_stay = partial(self._access.still_allows, visitor, peers)
        return Oversight(self._revocation, may_stay, self._access.decorate)


def _peers_at_stake(request: Request, visitor: Visitor) -> tuple[str, ...]:
    """The peer in the path; for the tracker, all that the visitor's proof spoke for."""
    peer_id = request.path_params.get("peer_id")
    if peer_id is not None:
        return (peer_id,)
    return visitor.user.peers if visitor.user is not None else ()
