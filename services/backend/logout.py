"""The way out: `/logout`, and the question that a link from another site leads to. Pure.

A logout is a change, so no page of another site may make it, not even by a link, a redirect or an image. A link of
this site's own, a typed address, a form and a program log out at once.
"""

from shared.httpcore.message import Request, Response
from shared.runtime.guard import is_cross_site, may_be_foreign_link

_NO_STORE = ("Cache-Control", "no-store")
_STYLES = ("/css/tokens.css", "/css/base.css", "/css/controls.css", "/css/sign-in.css")


def answer_logout(request: Request, way_out: str, expired_cookies: list[tuple[str, str]]) -> Response:
    """302 to `way_out` with both cookies cleared; to a page of another site a page that asks, and clears nothing."""
    is_foreign = is_cross_site(request) if request.method == "POST" else may_be_foreign_link(request)
    if is_foreign:
        return Response.html(render_question(), headers=[_NO_STORE])
    return Response.redirect(way_out, headers=[*expired_cookies, _NO_STORE])


def render_question() -> str:
    """A page with one button, which logs out by POST."""
    styles = "".join(f'  <link rel="stylesheet" href="{style}">\n' for style in _STYLES)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n  <meta charset="utf-8">\n  <title>Log out? · WeApRous</title>\n'
        '  <meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '  <meta name="color-scheme" content="light dark">\n'
        f'  <link rel="icon" href="/images/icon.svg" type="image/svg+xml">\n{styles}</head>\n'
        '<body>\n  <div class="sign-in">\n'
        '    <main class="sign-in-card">\n      <h1>Log out of WeApRous?</h1>\n'
        '      <p class="muted">Another site, or a link from elsewhere, led here.</p>\n'
        '      <form class="sign-in-form" method="post" action="/logout">\n'
        '        <button class="button button-primary" type="submit">Log out</button>\n      </form>\n'
        '      <p><a href="/">Stay logged in</a></p>\n    </main>\n  </div>\n</body>\n</html>\n'
    )
