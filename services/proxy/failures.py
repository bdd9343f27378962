"""The replies that the proxy makes itself when something fails: who failed, a code, and the request's id.

JSON, or a page to a browser that prefers one: the operator's own (`error_pages`), else ours, in the language that the
browser likes best (`failure_words`). Proxy-Status says the same in the words of RFC 9209. `retries` says what failed;
handlers and hooks raise HttpError.
"""

from functools import lru_cache

from services.proxy.error_pages import NO_PAGES, ErrorPage, ErrorPages, parse_error_page
from services.proxy.failure_words import LANGUAGES, WORDS
from services.proxy.retries import Outcome
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.negotiation import preferred_language
from shared.httpcore.serializing import BODILESS, REASONS

_PAGE = """<!doctype html>
<html lang="LANGUAGE">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<h1>TITLE</h1>
MESSAGE
HINT<p>BLAME FOOT</p>
</html>
"""

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
        page = pages.find(outcome.status)
        if page is None:
            # No script, and perhaps no site behind it: the browser's own choice of language holds.
            language = preferred_language(request.headers, LANGUAGES)
            headers += [("Content-Language", language), ("Vary", "Accept, Accept-Language")]
            page = _own_page(language, outcome.status, outcome.code, who)
        return Response.html(_render(page, request, outcome, who), outcome.status, headers)
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


@lru_cache(maxsize=256)
def _own_page(language: str, status: int, code: str, who: str) -> ErrorPage:
    words = WORDS[language]
    title = f"{status} {words.titles.get(status, '{{reason}}')}"
    message = words.messages.get(code)
    if message is None and code == "returned":  # by the file, without a text: its status is all that it says
        message = words.titles.get(status)
    hint = words.hints.get(code)
    parts = {
        "LANGUAGE": language,
        "TITLE": title,
        "MESSAGE": _paragraph(message, language),
        "HINT": f"<p>{hint}</p>\n" if hint is not None else "",
        "BLAME": words.blame[who],
        "FOOT": words.foot,
    }
    page = _PAGE
    for name, text in parts.items():
        page = page.replace(name, text)
    return parse_error_page(page)


def _paragraph(message: str | None, language: str) -> str:
    """The message; None: the failure's own, which is English."""
    if message is not None:
        return f"<p>{message}</p>"
    return "<p>{{message}}</p>" if language == "en" else '<p lang="en">{{message}}</p>'


def _render(page: ErrorPage, request: Request, outcome: Outcome, who: str) -> str:
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
