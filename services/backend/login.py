"""The way in: `POST /login` by form or JSON, from the body to the reply.

Owns what a login request may hold, where the client is sent afterwards, and how many passwords are checked at a time.
Who is right is `users`' business, how often someone may try `throttle`'s, the cookies `session_gate`'s.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from services.backend.session_gate import SessionGate
from services.backend.throttle import LoginThrottle
from services.backend.users import MAX_NAME_CHARS, MAX_PASSWORD_CHARS, Accounts
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.runtime.guard import is_cross_site
from shared.runtime.users_file import User

MAX_LOGIN_BYTES = 16 * 1024
CHECKS_AT_A_TIME = 2  # each holds a thread and 16 MiB for a tenth of a second or more
MAX_WAITING_CHECKS = 50
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

_log = logging.getLogger("weaprous.backend.login")


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What the client wants: to be that user, and to go to `next_path` then (a path of this site)."""

    name: str
    password: str
    next_path: str
    is_form: bool


class LoginDesk:
    """Answers `POST /login`. `clock` is monotonic, in seconds."""

    def __init__(self, accounts: Accounts, gate: SessionGate, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._gate = gate
        self._clock = clock
        self._throttle = LoginThrottle()
        self._checks = asyncio.Semaphore(CHECKS_AT_A_TIME)
        self._waiting = 0

    async def handle_login(self, request: Request) -> Response:
        """302 or 200 with both cookies; 401 when name or password are wrong, 429 after too many of those."""
        if is_cross_site(request):
            raise HttpError(403, "cross_site", "a login must come from this site's own pages")
        login = read_login(request)
        address = find_client_address(request)
        self._admit(address, login.name)
        user = await self._verify(login)
        if user is None:
            _log.warning("login refused", extra={"user": login.name, "remote": address})
            raise HttpError(401, "bad_credentials", "the user name or the password is wrong")
        self._throttle.forgive(address, login.name)
        cookies = self._gate.open_session(user, secure=is_secure(request))
        if login.is_form:
            return Response.redirect(login.next_path, headers=[*cookies, ("Cache-Control", "no-store")])
        return Response.json({"user": user.name}, headers=[*cookies, ("Cache-Control", "no-store")])

    def _admit(self, address: str, name: str) -> None:
        wait_s = self._throttle.admit(address, name, self._clock())
        if wait_s > 0.0:
            seconds = max(1, math.ceil(wait_s))
            message = f"too many wrong logins; try again in {seconds} s"
            raise HttpError(429, "too_many_attempts", message, [("Retry-After", str(seconds))])

    async def _verify(self, login: LoginRequest) -> User | None:
        """The password is checked in a thread, a few at a time, for each costs memory and a core."""
        if self._waiting >= MAX_WAITING_CHECKS:
            raise HttpError(503, "busy", "too many logins at a time", [("Retry-After", "2")])
        self._waiting += 1
        try:
            async with self._checks:
                return await asyncio.to_thread(self._accounts.verify, login.name, login.password)
        finally:
            self._waiting -= 1


def read_login(request: Request) -> LoginRequest:
    """What the body asks for; HttpError 400 or 415 when it is no login request."""
    media_type = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if media_type == _JSON:
        fields = request.json_object()
        login = LoginRequest(
            _text(fields.get("username"), "username"),
            _text(fields.get("password"), "password"),
            "/",
            is_form=False,
        )
    elif media_type == _FORM:
        form = request.form()
        next_path = local_path(form.get("next", "/"))
        login = LoginRequest(form.get("username", ""), form.get("password", ""), next_path, is_form=True)
    else:
        got = media_type or "no Content-Type"
        raise HttpError(415, "unsupported_media_type", f"got {got[:80]}, expected {_JSON} or {_FORM}")
    if len(login.name) > MAX_NAME_CHARS or len(login.password) > MAX_PASSWORD_CHARS:
        limits = f"{MAX_NAME_CHARS} and {MAX_PASSWORD_CHARS} characters"
        raise HttpError(400, "too_long", f"the user name or the password is too long: at most {limits}")
    return login


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        got = "nothing" if value is None else type(value).__name__
        raise HttpError(400, "bad_field", f"{field}: got {got}, expected a string")
    return value


def local_path(text: str) -> str:
    """The path when it is one of this site, else `/`. Browsers read // and /\\ as another site's address."""
    is_plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    return text if is_plain and text.startswith("/") and not text.startswith("//") else "/"


def is_secure(request: Request) -> bool:
    """Whether the browser came by TLS, to us or to the proxy before us. Who forges that field harms only himself."""
    forwarded = request.headers.get("x-forwarded-proto") or ""
    return request.scheme == "https" or forwarded.strip().lower() == "https"


def find_client_address(request: Request) -> str:
    """Where the login comes from. A proxy on this machine or network is believed about its client's address."""
    remote = request.remote_ip
    forwarded = request.headers.get_all("x-forwarded-for")
    if forwarded and _is_near(remote):
        client = forwarded[-1].rsplit(",", 1)[-1].strip()
        return client if _is_address(client) else remote
    return remote


def _is_near(address: str) -> bool:
    return _is_address(address) and ip_address(address).is_private


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
