"""The HTTP surface of the backend: which path asks which room. Nothing is decided here that a room could decide."""

import asyncio
import time

from services.backend.content_policy import ContentPolicy
from services.backend.echo import MAX_MESSAGE_BYTES, describe_request, echo_messages
from services.backend.load import InFlight
from services.backend.login import MAX_LOGIN_BYTES, LoginDesk
from services.backend.logout import answer_logout
from services.backend.pages import LOGIN_PAGE, Pages
from services.backend.session_gate import SessionGate
from services.backend.users import Accounts
from shared.httpcore.compression import Compression
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from shared.httpcore.routing import Router
from shared.runtime.guard import Guard


class Backend:
    """One replica's handlers. `name` is what `/echo` gives as `served_by`."""

    def __init__(self, name: str, accounts: Accounts, session_secret: bytes, pages: Pages) -> None:
        self.in_flight = InFlight()
        self.name = name
        self._accounts = accounts
        self._gate = SessionGate(session_secret, accounts, time.time)
        self._desk = LoginDesk(accounts, self._gate, time.monotonic)
        self._pages = pages

    def make_router(self, guard: Guard, policy: ContentPolicy) -> Router:
        """Every endpoint of design §5, with its hooks."""
        router = Router()
        router.before(guard.check, steady=True)
        router.after(guard.decorate, steady=True)
        router.after(policy.decorate, steady=True)
        router.after(Compression().decorate, steady=True)
        router.set_error_page(self._pages.render_error)
        router.add("GET", "/login", self._pages.open_login)
        router.add("GET", f"/{LOGIN_PAGE}", self._pages.open_login)
        router.add("POST", "/login", self.handle_login, max_body_bytes=MAX_LOGIN_BYTES)
        router.add("GET", "/logout", self.handle_logout)
        router.add("POST", "/logout", self.handle_logout)
        router.add("GET", "/user", self.handle_user)
        router.add("*", "/echo", self.handle_echo)
        router.add("GET", "/", self.handle_index)
        router.add("GET", "/{path:path}", self.handle_file)
        return router

    async def handle_login(self, request: Request) -> Response:
        """Log in by form or JSON."""
        with self.in_flight:
            return await self._desk.handle_login(request)

    def handle_logout(self, request: Request) -> Response:
        """Forget both cookies, and go to the login page; or ask first."""
        return answer_logout(request, f"/{LOGIN_PAGE}", self._gate.close_session())

    async def handle_user(self, request: Request) -> Response:
        """Who am I, which peers are mine, and is my password still the first one?"""
        user = self._gate.identify(request)
        if user is None:
            raise HttpError(401, "login_required", "log in first: POST /login")
        is_default = self._accounts.known_default_password(user)
        if is_default is None:
            with self.in_flight:
                is_default = await asyncio.to_thread(self._accounts.find_default_password, user)
        value = {"user": user.name, "peers": list(user.peers), "default_password": is_default}
        return Response.json(value, headers=[("Cache-Control", "no-store")])

    def handle_echo(self, request: Request) -> Response:
        """The request as it came; a WebSocket when the client asks for one."""
        if request.upgrade == "websocket":
            return WebSocketUpgrade(request, self._echo_messages, max_message_bytes=MAX_MESSAGE_BYTES)
        return Response.json(describe_request(request, self.name), headers=[("Cache-Control", "no-store")])

    async def _echo_messages(self, websocket: WebSocket) -> None:
        with self.in_flight:
            await echo_messages(websocket)

    def handle_index(self, request: Request) -> Response:
        """The application, or the way to the login page."""
        return self._pages.open_index(request, self._gate.identify(request))

    def handle_file(self, request: Request) -> Response:
        """A page, style sheet, script or image."""
        return self._pages.open_file(request, request.path_params["path"], self._gate.identify)
