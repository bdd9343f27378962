"""Which files may be seen without a session, and what errors look like."""

from pathlib import Path

import pytest

from services.backend.pages import Pages, render_error_page
from shared.httpcore.errors import HttpError
from shared.httpcore.message import RepeatableResponse, Request, Response
from shared.runtime.errors import StartupError
from shared.runtime.users_file import User
from tests.services.backend.requests_made import make_request

ADMIN = User("admin", "scrypt$…", ("*",))
FILES = {
    "index.html": "the application",
    "login.html": "the form",
    "Unauthorized.html": "not without a session",
    "about.html": "inside",
    "css/a.css": "a {}",
    "js/main.js": "let a;",
    "images/icon.svg": "<svg/>",
}


def nobody(_: Request) -> None:
    """Who a request without a session comes from."""


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Pages(tmp_path)


@pytest.mark.parametrize("path", ["css/a.css", "js/main.js", "images/icon.svg", "login.html", "Unauthorized.html"])
def test_what_pages_are_made_of_is_open(pages: Pages, path: str) -> None:
    response = pages.open_file(make_request(target=f"/{path}"), path, nobody)
    assert (response.status, response.body.decode()) == (200, FILES[path])


@pytest.mark.parametrize("path", ["css/a.css", "js/main.js", "images/icon.svg", "login.html"])
def test_nobody_is_asked_for_a_session_where_none_is_needed(pages: Pages, path: str) -> None:
    def identify(_: Request) -> User | None:
        raise AssertionError("verifying a session costs more than the file")

    assert pages.open_file(make_request(target=f"/{path}"), path, identify).status == 200


def test_only_what_everybody_may_see_is_repeated_without_asking_who_it_is_for(pages: Pages) -> None:
    assert isinstance(pages.open_file(make_request(target="/css/a.css"), "css/a.css", nobody), RepeatableResponse)
    replies = [
        pages.open_file(make_request(target="/index.html"), "index.html", lambda _: ADMIN),
        pages.open_file(make_request(target="/index.html"), "index.html", nobody),
        pages.open_index(make_request(), ADMIN),
    ]
    assert [type(reply) for reply in replies] == [Response] * 3


@pytest.mark.parametrize("name", ["index.html", "login.html", "Unauthorized.html"])
def test_a_page_that_is_needed_and_missing_is_named(pages: Pages, tmp_path: Path, name: str) -> None:
    del pages  # made the files
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(StartupError) as refused:
        Pages(tmp_path)
    assert str(refused.value) == f"--web-dir: can't read {tmp_path / name}: Is a directory"


@pytest.mark.parametrize("path", ["index.html", "about.html", "nothing.html", "INDEX.HTML", "a/b.htm"])
def test_every_other_page_wants_a_session_whether_it_is_there_or_not(pages: Pages, path: str) -> None:
    response = pages.open_file(make_request(target=f"/{path}"), path, nobody)
    assert (response.status, response.body.decode()) == (401, "not without a session")


def test_the_root_sends_to_the_form_without_a_session_and_is_the_application_with_one(pages: Pages) -> None:
    request = make_request()
    refused = pages.open_index(request, None)
    assert (refused.status, refused.get_header("Location")) == (302, "/login.html")
    assert refused.get_header("Cache-Control") == "no-store"
    opened = pages.open_index(request, ADMIN)
    assert (opened.status, opened.body) == (200, b"the application")
    assert opened.get_header("Cache-Control") == "private, no-cache"


@pytest.mark.parametrize(
    "path", ["../secret", "js/../../secret", "", "/etc/passwd", ".env", "js", "css/a.css/", "a\x00b"]
)
def test_no_path_leads_anywhere_else(pages: Pages, path: str) -> None:
    with pytest.raises(HttpError) as caught:
        pages.open_file(make_request(), path, lambda _: ADMIN)
    assert caught.value.status == 404


def test_an_error_is_a_page_for_browsers_and_forms_and_json_for_programs(pages: Pages) -> None:
    browser = make_request(headers=(("Accept", "text/html,*/*;q=0.8"),))
    form = make_request("POST", headers=(("Content-Type", "application/x-www-form-urlencoded"),))
    program = make_request(headers=(("Accept", "*/*"),))
    for request in (browser, form):
        page = pages.render_error(request, 401, "bad_credentials", "wrong")
        assert page is not None
        assert (page.status, page.body) == (401, b"not without a session")
        other = pages.render_error(request, 404, "not_found", "there is nothing here")
        assert other is not None
        assert b"there is nothing here" in other.body
    assert pages.render_error(program, 404, "not_found", "there is nothing here") is None


def test_an_error_page_escapes_what_the_client_sent() -> None:
    page = render_error_page(404, "<script>alert(1)</script>", '"><b>')
    assert "<script>" not in page
    assert "<b>" not in page
