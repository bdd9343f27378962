"""The replies that the proxy makes itself when something fails: who failed, a code, and the request's id.

JSON, or a page to a browser that prefers one: the operator's own (`error_pages`), else ours. Proxy-Status says the same
in the words of RFC 9209. `retries` says what failed; handlers and hooks raise HttpError.
"""

from functools import lru_cache

from services.proxy.error_pages import NO_PAGES, ErrorPage, ErrorPages, parse_error_page
from services.proxy.retries import Outcome
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.serializing import BODILESS, REASONS

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{status}} {{reason}}</title>
<h1>{{status}} {{reason}}</h1>
<p>{{message}}</p>
HINT<p>BLAME Code <code>{{code}}</code>, request <code>{{request_id}}</code>.</p>
</html>
"""
_HINTS = {"session_required": '<p><a href="/login.html">Log in</a>, then come back to this page.</p>\n'}
_BLAME = {
    "proxy": "The proxy answered this itself.",
    "upstream": "The proxy is well; the server behind it did not give a usable answer.",
}


# RFC 9209 §2.3: our codes in its words. What is not there is an answer rather than a failure on the way.
_PROXY_ERRORS = {
    "connect_failed": "connection_refused",
    "connect_timeout": "connection_timeout",
    "tls_failed": "tls_protocol_error",
    "bad_certificate": "tls_certificate_error",
    "upstream_closed": "connection_terminated",
    "send_timeout": "connection_write_timeout",
    "reply_timeout": "http_response_timeout",
    "bad_reply": "http_protocol_error",
    "no_upstream": "destination_unavailable",
    "upstream_down": "destination_unavailable",
    "internal_error": "proxy_internal_error",
    "rate_limited": "http_request_denied",
    "too_many_at_once": "http_request_denied",
}


def failure_response(
    request: Request, outcome: Outcome, who: str, pages: ErrorPages = NO_PAGES, retry_after_s: int = 1
) -> Response:
    """The reply for a failure of `who`: `proxy` or `upstream`. A 503 and a 429 ask the client to come back in
    `retry_after_s`.
    """
    headers = [("Cache-Control", "no-store")]
    if outcome.status in (429, 503):
        headers.append(("Retry-After", str(retry_after_s)))
    if (error_type := _PROXY_ERRORS.get(outcome.code)) is not None:
        headers.append(("Proxy-Status", f"weaprous; error={error_type}"))
    if request.wants_html:
        return Response.html(_render_page(request, outcome, who, pages), outcome.status, headers)
    error = {"code": outcome.code, "message": outcome.message, "source": who, "request_id": request.id}
    return Response.json({"error": error}, outcome.status, headers)


def refusal_response(request: Request, error: HttpError, pages: ErrorPages) -> Response:
    """The reply for a request that the proxy refuses, in the look of the place that it was for."""
    response = failure_response(request, Outcome(error.status, error.code, error.message), "proxy", pages)
    response.headers.extend(error.headers)
    return response


def render_error(request: Request, status: int, code: str, message: str) -> Response:
    """For `Router.set_error_page`: what was refused before it went anywhere is the proxy's own answer."""
    return failure_response(request, Outcome(status, code, message), "proxy")


def intercepted_response(request: Request, status: int, pages: ErrorPages) -> Response | None:
    """What a browser gets in place of an upstream's error, with `proxy_intercept_errors on`: the page for its status;
    None when there is none, when the reply has no body, or when the client prefers JSON: then the upstream's passes.
    """
    if status < 300 or status in BODILESS or pages.find(status) is None or not request.wants_html:
        return None
    reason = REASONS.get(status, "Error")
    return failure_response(
        request, Outcome(status, "upstream_error", f"the upstream says: {reason}"), "upstream", pages
    )


@lru_cache
def _own_page(blame: str, hint: str) -> ErrorPage:
    return parse_error_page(_PAGE.replace("BLAME", blame).replace("HINT", hint))


def _render_page(request: Request, outcome: Outcome, who: str, pages: ErrorPages) -> str:
    page = pages.find(outcome.status) or _own_page(_BLAME[who], _HINTS.get(outcome.code, ""))
    return page.render(
        {
            "status": str(outcome.status),
            "reason": REASONS.get(outcome.status, "Error"),
            "message": outcome.message,
            "source": who,
            "code": outcome.code,
            "request_id": request.id,
        }
    )
