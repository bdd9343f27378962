"""What the rooms of this peer refuse, in the words of HTTP: statuses and error codes, each decided once."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.peer.group_writer import StorageError
from services.peer.live import TooManyBrowsersError
from services.peer.messages import MessageError
from services.peer.outbox import OutboxFullError
from services.peer.remembered import IdConflictError
from shared.httpcore.errors import HttpError

_RETRY_LATER = (("Retry-After", "5"),)


@contextmanager
def errors_as_replies() -> Iterator[None]:
    """Raises HttpError in place of the rooms' own errors."""
    try:
        yield
    except MessageError as error:
        raise HttpError(error.status, error.code, str(error)) from None
    except IdConflictError as error:
        raise HttpError(409, "id_conflict", str(error)) from None
    except OutboxFullError as error:
        raise HttpError(503, "outbox_full", str(error), _RETRY_LATER) from None
    except TooManyBrowsersError as error:
        raise HttpError(503, "too_many_websockets", str(error), _RETRY_LATER) from None
    except StorageError as error:
        status = 507 if error.is_full else 503
        raise HttpError(status, "storage_failed", f"nothing was stored: {error}") from None
