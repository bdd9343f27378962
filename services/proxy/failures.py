"""The replies that the proxy makes itself when something fails: who failed, a code, and the request's id.

JSON, or a page to a browser that prefers one. `retries` says what failed; handlers and hooks raise HttpError.
"""

from html import escape

from services.proxy.retries import Outcome
from shared.httpcore.message import Request, Response
from shared.httpcore.serializing import REASONS

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {reason}</title>
<h1>{status} {reason}</h1>
<p>{message}</p>
{hint}<p>{blame} Code <code>{code}</code>, request <code>{request_id}</code>.</p>
</html>
"""
_HINTS = {"session_required": '<p><a href="/login.html">Log in</a>, then come back to this page.</p>\n'}
_BLAME = {
    "proxy": "The proxy answered this itself.",
    "upstream": "The proxy is well; the server behind it did not give a usable answer.",
}


def failure_response(request: Request, outcome: Outcome, who: str) -> Response:
    """The reply for a failure of `who`: `proxy` or `upstream`. A 503 asks the client to come back in a
    second.
    """
    headers = [("Cache-Control", "no-store")]
    if outcome.status == 503:
        headers.append(("Retry-After", "1"))
    if request.wants_html:
        return Response.html(_render_page(request, outcome, who), outcome.status, headers)
    error = {"code": outcome.code, "message": outcome.message, "source": who, "request_id": request.id}
    return Response.json({"error": error}, outcome.status, headers)


def render_error(request: Request, status: int, code: str, message: str) -> Response:
    """For `Router.set_error_page`: what was refused before it went anywhere is the proxy's own answer."""
    return failure_response(request, Outcome(status, code, message), "proxy")


def _render_page(request: Request, outcome: Outcome, who: str) -> str:
    return _PAGE.format(
        status=outcome.status,
        reason=escape(REASONS.get(outcome.status, "Error")),
        message=escape(outcome.message),
        hint=_HINTS.get(outcome.code, ""),
        blame=_BLAME[who],
        code=escape(outcome.code),
        request_id=escape(request.id),
    )
