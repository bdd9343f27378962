"""The errors of this package, and nothing else. Who raises what is said at each class; read `parsing` next."""

from collections.abc import Sequence


class HttpCoreError(Exception):
    """The root of this package's errors."""


class ProtocolError(HttpCoreError):
    """Bytes from the other side break a rule of HTTP. The connection can't be used any more.

    `status` is what a server answers before it closes; `code` a stable word for programs; `message` says what was got
    and what was expected, and is safe to show to the client.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class HttpError(HttpCoreError):
    """A handler raises it to answer with an error: `{"error": {"code", "message"}}`, or a page to a browser."""

    def __init__(self, status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = tuple(headers)


class ConnectionClosed(HttpCoreError):
    """The other side closed or reset the connection before the exchange was complete."""


class ConnectFailed(HttpCoreError):
    """No connection to the other side could be made: refused, unreachable, no such name, or too slow."""
