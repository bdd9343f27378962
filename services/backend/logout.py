"""The way out: `/logout`, and the question that a link from another site leads to. Pure.

A logout is a change, so no page of another site may make it, not even by a link, a redirect or an image. A link of
this site's own, a typed address, a form and a program log out at once.
"""

from dataclasses import dataclass

from shared.httpcore.message import Request, Response
from shared.httpcore.negotiation import preferred_language
from shared.runtime.guard import is_cross_site, may_be_foreign_link

_NO_STORE = ("Cache-Control", "no-store")
_STYLES = ("/css/tokens.css", "/css/base.css", "/css/controls.css", "/css/sign-in.css")


@dataclass(frozen=True, slots=True)
class QuestionWords:
    """What the question says. They go into markup as they are."""

    page: str
    title: str
    why: str
    log_out: str
    stay: str


# The page has no script, so the browser's own choice of language holds here, not the one made in the chat.
WORDS = {
    "en": QuestionWords(
        page="Log out? · WeApRous",
        title="Log out of WeApRous?",
        why="Another site, or a link from elsewhere, led here.",
        log_out="Log out",
        stay="Stay logged in",
    ),
    "vi": QuestionWords(
        page="Đăng xuất? · WeApRous",
        title="Đăng xuất khỏi WeApRous?",
        why="Một trang khác, hoặc một liên kết ở nơi khác, đã dẫn bạn tới đây.",
        log_out="Đăng xuất",
        stay="Giữ đăng nhập",
    ),
}
LANGUAGES = tuple(WORDS)


def answer_logout(request: Request, way_out: str, expired_cookies: list[tuple[str, str]]) -> Response:
    """302 to `way_out` with both cookies cleared; to a page of another site a page that asks, and clears nothing."""
    is_foreign = is_cross_site(request) if request.method == "POST" else may_be_foreign_link(request)
    if not is_foreign:
        return Response.redirect(way_out, headers=[*expired_cookies, _NO_STORE])
    language = preferred_language(request.headers, LANGUAGES)
    fields = [_NO_STORE, ("Content-Language", language), ("Vary", "Accept-Language")]
    return Response.html(render_question(language), headers=fields)


def render_question(language: str) -> str:
    """A page with one button, which logs out by POST. `language` is one of `LANGUAGES`."""
    words = WORDS[language]
    styles = "".join(f'  <link rel="stylesheet" href="{style}">\n' for style in _STYLES)
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n  <meta charset="utf-8">\n'
        f"  <title>{words.page}</title>\n"
        '  <meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '  <meta name="color-scheme" content="light dark">\n'
        f'  <link rel="icon" href="/images/icon.svg" type="image/svg+xml">\n{styles}</head>\n'
        '<body>\n  <div class="sign-in">\n'
        '    <main class="sign-in-card">\n      <img src="/images/icon.svg" alt="" width="48" height="48">\n'
        f"      <h1>{words.title}</h1>\n"
        f'      <p class="muted">{words.why}</p>\n'
        '      <form class="sign-in-form" method="post" action="/logout">\n'
        f'        <button class="button button-primary" type="submit">{words.log_out}</button>\n      </form>\n'
        f'      <p class="sign-in-more"><a href="/">{words.stay}</a></p>\n    </main>\n  </div>\n</body>\n</html>\n'
    )
