"""What a client gets when something fails: who failed, a code, the request's id; a page only for who wants one."""

import json

import pytest

from services.proxy.error_pages import ErrorPages, parse_error_page
from services.proxy.failures import failure_response, intercepted_response, render_error
from services.proxy.retries import NO_UPSTREAM, Failure, FailureKind, Outcome, outcome_of
from shared.httpcore.message import Request, Response

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
OURS = ErrorPages({502: parse_error_page("<b>{{source}} {{code}} {{request_id}} {{message}}</b>")})
BAD = Outcome(502, "connect_failed", "nobody <there>")


def request_of(accept: str, *lines: str) -> Request:
    request = Request("GET", "/", 1, "".join(f"{line}\r\n" for line in (f"Accept: {accept}", *lines)).encode())
    request.id = "id-1"
    return request


def fields(response: Response) -> dict[str, str]:
    return dict(response.headers)


def test_a_program_gets_json_that_names_who_failed() -> None:
    for accept in ("application/json", "*/*", "application/json, text/html"):
        response = failure_response(request_of(accept), BAD, "upstream", OURS)
        assert response.status == 502
        assert json.loads(response.body) == {
            "error": {
                "code": "connect_failed", "message": "nobody <there>", "source": "upstream", "request_id": "id-1",
            }
        }  # fmt: skip


def test_a_browser_gets_our_page_or_the_operator_s() -> None:
    own = failure_response(request_of(BROWSER), BAD, "upstream").body.decode()
    assert "<h1>502 Bad Gateway</h1>" in own
    assert "nobody &lt;there&gt;" in own
    assert "the server behind it" in own
    assert "<code>id-1</code>" in own
    theirs = failure_response(request_of(BROWSER), BAD, "upstream", OURS).body.decode()
    assert theirs == "<b>upstream connect_failed id-1 nobody &lt;there&gt;</b>"
    other = failure_response(request_of(BROWSER), NO_UPSTREAM, "proxy", OURS).body.decode()
    assert "The proxy answered this itself." in other


@pytest.mark.parametrize(("status", "expected"), [(502, None), (503, "7"), (429, "7"), (404, None)])
def test_who_may_come_back_hears_when(status: int, expected: str | None) -> None:
    response = failure_response(request_of("*/*"), Outcome(status, "x", "y"), "proxy", retry_after_s=7)
    assert fields(response).get("Retry-After") == expected
    assert fields(response)["Cache-Control"] == "no-store"


def test_every_failure_of_an_upstream_has_its_word_in_proxy_status() -> None:
    said = {
        kind: fields(failure_response(request_of("*/*"), outcome_of(Failure(kind, "")), "upstream")).get("Proxy-Status")
        for kind in FailureKind
    }
    assert None not in said.values()
    assert len(set(said.values())) == len(said)
    assert said[FailureKind.REPLY_TIMED_OUT] == "weaprous; error=http_response_timeout"
    assert "Proxy-Status" not in fields(render_error(request_of("*/*"), 404, "no_location", "nothing"))


def test_an_upstream_s_error_is_replaced_for_browsers_where_there_is_a_page() -> None:
    response = intercepted_response(request_of(BROWSER), 502, OURS)
    assert response is not None
    assert (response.status, response.body) == (
        502,
        b"<b>upstream upstream_error id-1 the upstream says: Bad Gateway</b>",
    )
    assert intercepted_response(request_of("application/json"), 502, OURS) is None
    assert intercepted_response(request_of(BROWSER), 503, OURS) is None
    assert intercepted_response(request_of(BROWSER), 304, ErrorPages({304: parse_error_page("")})) is None
    assert intercepted_response(request_of(BROWSER), 200, ErrorPages({200: parse_error_page("")})) is None


VIETNAMESE = "Accept-Language: vi-VN,vi;q=0.9,en;q=0.8"


def test_a_page_of_ours_is_in_the_browser_s_language_and_says_so() -> None:
    response = failure_response(request_of(BROWSER, VIETNAMESE), BAD, "upstream")
    page = response.body.decode()
    assert '<html lang="vi">' in page
    assert "<h1>502 Máy chủ phía sau bị lỗi</h1>" in page
    assert "<p>không kết nối được tới upstream</p>" in page
    assert "Mã <code>connect_failed</code>, yêu cầu <code>id-1</code>." in page
    assert (fields(response)["Content-Language"], fields(response)["Vary"]) == ("vi", "Accept, Accept-Language")
    english = failure_response(request_of(BROWSER), BAD, "upstream")
    assert '<html lang="en">' in english.body.decode()
    assert fields(english)["Content-Language"] == "en"
    log_in = render_error(request_of(BROWSER, VIETNAMESE), 401, "session_required", "log in").body.decode()
    assert '<a href="/login.html">Đăng nhập</a>' in log_in


def test_what_has_no_vietnamese_is_marked_as_english() -> None:
    page = render_error(request_of(BROWSER, VIETNAMESE), 400, "bad_field", "field <1> has no colon").body.decode()
    assert "<h1>400 Yêu cầu không hợp lệ</h1>" in page
    assert '<p lang="en">field &lt;1&gt; has no colon</p>' in page
    returned = render_error(request_of(BROWSER, VIETNAMESE), 403, "returned", "Forbidden").body.decode()
    assert "<p>Không được phép</p>" in returned


def test_programs_and_pages_of_the_operator_s_own_are_not_translated() -> None:
    told = failure_response(request_of("application/json", VIETNAMESE), BAD, "upstream")
    assert json.loads(told.body)["error"]["message"] == "nobody <there>"
    theirs = failure_response(request_of(BROWSER, VIETNAMESE), BAD, "upstream", OURS)
    assert "Content-Language" not in fields(told) | fields(theirs)
    assert theirs.body == b"<b>upstream connect_failed id-1 nobody &lt;there&gt;</b>"
