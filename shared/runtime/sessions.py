"""Login sessions as signed values: any replica that has the secret verifies them, and none stores them.

A session ends by time, or when the user's password changes: it carries a mark of the password it was made with,
which whoever verifies compares with the user's mark now (`users_file`). The form is in `signed`.
"""

from dataclasses import dataclass

from shared.runtime.signed import open_signed, sign

SESSION_COOKIE = "session"
LIFETIME_S = 12 * 3600.0
_PURPOSE = "session"


@dataclass(frozen=True, slots=True)
class Session:
    """Who is logged in; times are Unix time in seconds."""

    user: str
    issued_at: float
    expires_at: float
    password_mark: str


def issue_session(secret: bytes, user: str, password_mark: str, now_s: float, lifetime_s: float = LIFETIME_S) -> str:
    """The value of the cookie `session`, valid for `lifetime_s` seconds; it needs no quoting in a cookie."""
    fields = {
        "user": user,
        "issued_at": round(now_s, 3),
        "expires_at": round(now_s + lifetime_s, 3),
        "password_mark": password_mark,
    }
    return sign(secret, _PURPOSE, fields)


def verify_session(secret: bytes, token: str, now_s: float) -> Session | None:
    """The session, when `issue_session` made it with this secret and it has not expired.

    The caller still compares `password_mark` with the user's.
    """
    fields = open_signed(secret, _PURPOSE, token)
    if fields is None:
        return None
    numbers = [fields.get(name) for name in ("issued_at", "expires_at")]
    texts = [fields.get(name) for name in ("user", "password_mark")]
    if not all(type(number) in (int, float) for number in numbers) or not all(type(t) is str for t in texts):
        return None
    session = Session(fields["user"], fields["issued_at"], fields["expires_at"], fields["password_mark"])
    return session if now_s < session.expires_at else None
