"""Who a request comes from: the session cookie, and nothing else, says it. Made at login, cleared at logout.

`auth=true` goes with it as a hint for scripts of the page; it is never read here. Signing is `shared/runtime/sessions`.
"""

from collections.abc import Callable

from services.backend.users import Accounts
from shared.httpcore.cookies import SetCookie, expired_cookie, serialize_set_cookie
from shared.httpcore.message import Request
from shared.runtime.sessions import issue_session, verify_session
from shared.runtime.users_file import User

SESSION_COOKIE = "session"
HINT_COOKIE = "auth"
SESSION_LIFETIME_S = 12 * 3600

HeaderPairs = list[tuple[str, str]]


class SessionGate:
    """Issues and checks sessions with one secret, which every replica shares. `clock` gives Unix seconds."""

    def __init__(self, secret: bytes, accounts: Accounts, clock: Callable[[], float]) -> None:
        self._secret = secret
        self._accounts = accounts
        self._clock = clock

    def identify(self, request: Request) -> User | None:
        """The user whose session the request carries; None without one, or when it is forged, old or void.

        A session is void when its user is gone or has another password than at login.
        """
        token = request.cookies.get(SESSION_COOKIE)
        session = verify_session(self._secret, token, self._clock()) if token else None
        user = self._accounts.find(session.user) if session is not None else None
        if session is None or user is None or user.password_mark != session.password_mark:
            return None
        return user

    def open_session(self, user: User, *, secure: bool) -> HeaderPairs:
        """The Set-Cookie fields that log the user in."""
        token = issue_session(self._secret, user.name, user.password_mark, self._clock(), lifetime_s=SESSION_LIFETIME_S)
        age_s = SESSION_LIFETIME_S
        return _set_cookies(
            SetCookie(HINT_COOKIE, "true", max_age_s=age_s, http_only=False, secure=secure),
            SetCookie(SESSION_COOKIE, token, max_age_s=age_s, secure=secure),
        )

    @staticmethod
    def close_session() -> HeaderPairs:
        """The Set-Cookie fields that make the browser forget both cookies."""
        return _set_cookies(expired_cookie(HINT_COOKIE), expired_cookie(SESSION_COOKIE))


def _set_cookies(*cookies: SetCookie) -> HeaderPairs:
    return [("Set-Cookie", serialize_set_cookie(cookie)) for cookie in cookies]
