"""Requests as values, for tests of rooms that take them."""

from shared.httpcore.message import Request


def make_request(
    method: str = "GET",
    target: str = "/",
    *,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    remote_ip: str = "127.0.0.1",
) -> Request:
    """A request as the connection would hand it over: head parsed, body collected."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    request = Request(method, target, 1, lines)
    request.host = next((value.lower() for name, value in headers if name.lower() == "host"), "")
    request.body = body
    request.remote_ip = remote_ip
    request.id = "test-1"
    return request
