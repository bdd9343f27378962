"""Who may use what the proxy itself serves: `/tracker`, `/peers` and `/_proxy`. Pure decisions but for the
clock.

With keys a session says who it is, as the backend issued it; without keys only this machine may. Rules on
Host and Origin are `shared/runtime/guard`'s. What is forwarded to backends is not guarded here: they guard
themselves.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from services.proxy.forwarding_fields import client_view
from shared.httpcore.errors import HttpError
from shared.httpcore.loopback import is_loopback
from shared.httpcore.message import Request, Response
from shared.runtime.guard import Guard
from shared.runtime.sessions import SESSION_COOKIE, Session, verify_session
from shared.runtime.users_file import User


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and by which session. Both are None on a keyless proxy, where everybody on this machine may do
    everything.
    """

    user: User | None = None
    session: Session | None = None

    def may_use(self, peer_id: str) -> bool:
        """Whether the peer is the visitor's."""
        return self.user is None or self.user.may_use(peer_id)


class Users(Protocol):
    """Where users are found by name."""

    def get(self, name: str) -> User | None:
        """The user of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Sessions:
    """What verifies a session: the secret, the users, and Unix time."""

    secret: bytes
    users: Users
    clock: Callable[[], float]

    def visitor_of(self, request: Request) -> Visitor | None:
        """Whose session the request carries; None without one, or when it is forged, old or void."""
        token = request.cookies.get(SESSION_COOKIE)
        session = verify_session(self.secret, token, self.clock()) if token else None
        user = self.users.get(session.user) if session is not None else None
        if session is None or user is None or not is_in_force(session, user, self.clock()):
            return None
        return Visitor(user, session)

    def still_allows(self, session: Session, peers: Iterable[str]) -> bool:
        """Whether the session is in force now, and its user still has these peers."""
        user = self.users.get(session.user)
        return user is not None and is_in_force(session, user, self.clock()) and all(map(user.may_use, peers))


def is_in_force(session: Session, user: User, now_s: float) -> bool:
    """Whether the session of this user counts: it has not expired, and the password is that of the login."""
    return now_s < session.expires_at and user.password_mark == session.password_mark


def _is_of_this_machine(request: Request) -> bool:
    """Whether the client is here, and so is the hop that speaks for it, if one does: 127.0.0.1 is another's there."""
    return is_loopback(request.remote_ip) and is_loopback(client_view(request).peer_ip)


class Access:
    """The gate of the proxy's own paths. `sessions` None: keyless."""

    def __init__(self, sessions: Sessions | None, guard: Guard) -> None:
        self._sessions = sessions
        self._guard = guard

    def check(self, request: Request) -> Visitor | Response:
        """Who asks, or the reply that ends the request. HttpError 401 or 403 for those who may not."""
        if self._sessions is None and not _is_of_this_machine(request):
            raise HttpError(403, "loopback_only", "without keys this is open on this machine only")
        if (reply := self._guard.check(request)) is not None:
            return reply
        if self._sessions is None:
            return Visitor()
        visitor = self._sessions.visitor_of(request)
        if visitor is None:
            raise HttpError(401, "session_required", "log in at /login.html first")
        return visitor

    def still_allows(self, visitor: Visitor, peers: Iterable[str]) -> bool:
        """Whether a visitor who was let in earlier may stay, and still has these peers."""
        if self._sessions is None or visitor.session is None:
            return True
        return self._sessions.still_allows(visitor.session, peers)

    def decorate(self, request: Request, response: Response) -> None:
        """Tells a browser whether the page that asked may read the reply."""
        self._guard.decorate(request, response)
