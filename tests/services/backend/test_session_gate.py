"""Which cookies make a user, and which don't."""

from dataclasses import dataclass

import pytest

from services.backend.session_gate import SESSION_LIFETIME_S, SessionGate
from services.backend.users import Accounts, BuiltInUsers
from shared.runtime.sessions import issue_session
from tests.services.backend.requests_made import make_request

SECRET = b"s" * 64


@dataclass
class FakeClock:
    now_s: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(BuiltInUsers())


@pytest.fixture
def gate(clock: FakeClock, accounts: Accounts) -> SessionGate:
    return SessionGate(SECRET, accounts, clock)


def identify(gate: SessionGate, cookie: str) -> str | None:
    user = gate.identify(make_request(headers=(("Cookie", cookie),)))
    return user.name if user is not None else None


def log_in(gate: SessionGate, accounts: Accounts, *, secure: bool = False) -> list[str]:
    admin = accounts.find("admin")
    assert admin is not None
    return [value for name, value in gate.open_session(admin, secure=secure) if name == "Set-Cookie"]


def test_the_session_cookie_makes_the_user_until_its_time_is_over(
    gate: SessionGate, accounts: Accounts, clock: FakeClock
) -> None:
    hint, session = log_in(gate, accounts)
    cookie = session.partition(";")[0]
    assert hint.startswith("auth=true;")
    assert identify(gate, f"auth=true; {cookie}") == "admin"
    assert identify(gate, cookie) == "admin"
    clock.now_s += SESSION_LIFETIME_S - 1
    assert identify(gate, cookie) == "admin"
    clock.now_s += 1
    assert identify(gate, cookie) is None


def test_scripts_see_the_hint_but_never_the_session(gate: SessionGate, accounts: Accounts) -> None:
    hint, session = log_in(gate, accounts)
    assert "HttpOnly" not in hint
    assert "HttpOnly" in session
    assert all("SameSite=Lax" in cookie and "Path=/" in cookie for cookie in (hint, session))
    assert not any("Secure" in cookie for cookie in (hint, session))
    assert all("Secure" in cookie for cookie in log_in(gate, accounts, secure=True))


def test_forged_and_strange_cookies_make_nobody(gate: SessionGate, accounts: Accounts, clock: FakeClock) -> None:
    session = log_in(gate, accounts)[1].partition(";")[0]
    token = session.partition("=")[2]
    admin = accounts.find("admin")
    assert admin is not None
    other = issue_session(b"t" * 64, "admin", admin.password_mark, clock())
    unknown = issue_session(SECRET, "root", admin.password_mark, clock())
    old_password = issue_session(SECRET, "admin", "0" * 16, clock())
    for value in ["auth=true", "", "session=", "session=admin", f"session={token}x", f"session={token[:-1]}"]:
        assert identify(gate, value) is None
    for forged in (other, unknown, old_password, token[1:], token.upper()):
        assert identify(gate, f"auth=true; session={forged}") is None


def test_logout_makes_the_browser_forget_both(gate: SessionGate) -> None:
    cookies = [value for _, value in gate.close_session()]
    assert [cookie.partition("=")[0] for cookie in cookies] == ["auth", "session"]
    assert all("Max-Age=0" in cookie for cookie in cookies)
