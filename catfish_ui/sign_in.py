"""The sign-in page and the page of one's account: plain forms, so that no password passes through Streamlit.

A form is taken only from a page of this server (Origin, Sec-Fetch-Site and a SameSite cookie say so), and leads
on to addresses of this server only. Pages bring no script, and nothing may frame or keep them.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from string import Template
from urllib.parse import parse_qsl, quote, urlsplit

import streamlit
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit import config
from streamlit.errors import StreamlitAuthError

from catfish_core.errors import AccessError, CatfishError, ConfigError, SignedOut
from catfish_core.lab import accounts, sessions, settings, signing
from catfish_core.lab.access import User
from catfish_core.lab.desk import Desk
from catfish_core.workspace import Workspace
from catfish_ui import oidc
from catfish_ui.identity import ACCOUNT, MEANS, SIGN_IN

SIGN_OUT, PASSWORD, EVERYWHERE = "/catfish/sign-out", f"{ACCOUNT}/password", f"{ACCOUNT}/everywhere"
PROVIDER, STYLE, LOGO = f"{SIGN_IN}/provider", "/catfish/sign-in.css", "/catfish/logo.svg"
ICON = "/catfish/icon.svg"
OPEN = (SIGN_IN, PROVIDER, STYLE, LOGO, ICON)  # what somebody gets who is not signed in
NEXT = "catfish_next"  # cookie: the page asked for, while somebody is away at a provider
LONGEST = 10_000  # bytes of a form
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_ASSETS = Path(__file__).parent / "assets"
_FRAME = Template((_ASSETS / "sign_in.html").read_text(encoding="utf-8"))


# What is asked of every request


def host_is_ours(request: Request) -> bool:
    """Whether the browser asked for a host this server is meant to be."""
    allowed = config.get_option("server.allowedHosts")
    return not allowed or request.url.hostname in allowed


def address(request: Request) -> str:
    """The network address somebody comes from; behind a proxy, what that says (FORWARDED_ALLOW_IPS)."""
    return request.client.host if request.client else ""


def ours(request: Request) -> bool:
    """Whether a form was sent by a page of this server."""
    said = request.headers.get("sec-fetch-site")
    if said is not None:
        return said == "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host")


def onward(wanted: str) -> str:
    """`wanted` if it is a page of this server, else the first page."""
    plain = wanted.isprintable() and not set(wanted) & set("\\ ") and len(wanted) < 2000
    if not plain or not wanted.startswith("/") or wanted.startswith(("//", "/catfish/", "/auth/", "/oauth2callback")):
        return "/"
    parts = urlsplit(wanted)
    return "/" if parts.scheme or parts.netloc else wanted


# The pages


def page(request: Request, error: CatfishError | None = None, status: int = 200, name: str = "") -> Response:
    """The sign-in page, with what went wrong."""
    workspace, wanted = Workspace.default(), onward(request.query_params.get("next", "/"))
    lab = settings.read(workspace)
    here = [account for account in accounts.listing(workspace) if account.local]
    parts = [_box(error)] if error else []
    parts += [_provider_link(provider, wanted) for provider in oidc.providers()]
    if here:
        parts.append(_form(SIGN_IN, [
            f'<input type="hidden" name="next" value="{html.escape(wanted)}">',
            _field("name", "Name", "text", "username", name),
            _field("password", "Password", "password", "current-password"),
        ], "Sign in"))  # fmt: skip
    elif not oidc.providers():
        parts.append(
            "<p>Nobody has an account yet. On the computer CatFish runs on, add the first:</p>"
            "<pre>python -m catfish_core user add NAME --role admin</pre>"
        )
    if lab.visitors:
        parts.append(f'<p><a href="{html.escape(wanted)}">Look around without signing in</a></p>')
    return _page("Sign in", "Sign in to CatFish", parts, status)


def _account_page(request: Request, user: User, error: CatfishError | None = None, status: int = 200) -> Response:
    workspace = Workspace.default()
    local = accounts.find(workspace, user.name).local
    browsers = sessions.count(workspace, user.name)
    parts = [_box(error)] if error else []
    parts.append(f"<p>You are a {user.role}. {MEANS[user.role]}</p>")
    parts.append(_form(SIGN_OUT, [], "Sign out"))
    if local:
        parts.append("<h2>Change the password</h2>")
        parts.append(_form(PASSWORD, [
            f'<input type="hidden" name="username" autocomplete="username" value="{html.escape(user.name)}">',
            _field("old", "Password now", "password", "current-password"),
            _field("new", f"New password, {accounts.SHORTEST} characters or more", "password", "new-password"),
            _field("again", "New password once more", "password", "new-password"),
        ], "Change it"))  # fmt: skip
    parts.append("<h2>Where you are signed in</h2>")
    parts.append(f"<p>In {browsers} {'browser' if browsers == 1 else 'browsers'}, this one included.</p>")
    parts.append(_form(EVERYWHERE, [], "Sign out everywhere"))
    parts.append('<p><a href="/">Back to CatFish</a></p>')
    return _page("Your account", user.name, parts, status)


def _page(title: str, heading: str, parts: list[str], status: int) -> Response:
    text = _FRAME.substitute(title=html.escape(title), heading=html.escape(heading), body="\n".join(parts))
    return HTMLResponse(text, status, HEADERS)


def _box(error: CatfishError) -> str:
    return f'<p class="fault" role="alert"><strong>{html.escape(error.what)}</strong> {html.escape(error.hint)}</p>'


def _field(name: str, label: str, kind: str, fills: str, value: str = "") -> str:
    return (
        f'<label>{html.escape(label)}<input name="{name}" type="{kind}" autocomplete="{fills}" required '
        f'maxlength="{accounts.LONGEST}" autocapitalize="none" spellcheck="false" '
        f'value="{html.escape(value)}"></label>'
    )


def _form(action: str, fields: list[str], label: str) -> str:
    look = "loud" if fields else "quiet"
    button = f'<button class="{look}">{html.escape(label)}</button>'
    return f'<form method="post" action="{action}">{"".join(fields)}{button}</form>'


def _provider_link(provider: str, wanted: str) -> str:
    name = "your organisation" if provider == "default" else provider.capitalize()
    target = f"{PROVIDER}?name={quote(provider, safe='')}&next={quote(wanted, safe='')}"
    return f'<p><a class="button" href="{html.escape(target)}">Sign in with {html.escape(name)}</a></p>'


# The routes


def _aside(work: Callable[..., Response]) -> Callable[..., Awaitable[Response]]:
    """`work` in a thread, since hashing takes a while; it is for labs only, and its faults are sentences."""

    def sober(request: Request, *more: object) -> Response:
        try:
            if not settings.read(Workspace.default()).shared:
                return RedirectResponse("/", status_code=303)
            return work(request, *more)
        except SignedOut:
            return RedirectResponse(SIGN_IN, status_code=303)
        except CatfishError as error:
            return PlainTextResponse(str(error), 503, {"Cache-Control": "no-store"})

    async def route(request: Request) -> Response:
        if request.method != "POST":
            return await to_thread.run_sync(sober, request)
        form = await _form_of(request)
        return _refused() if form is None else await to_thread.run_sync(sober, request, form)

    return route


def _show(request: Request) -> Response:
    return page(request)


def _try(request: Request, form: Mapping[str, str]) -> Response:
    name = form.get("name", "")
    try:
        token = signing.sign_in(Workspace.default(), name, form.get("password", ""), address(request))
    except CatfishError as error:
        return page(_asking_for(request, form.get("next", "/")), error, 401, name)
    signing.sign_out(Workspace.default(), request.cookies.get(signing.COOKIE, ""))  # the one before, in this browser
    return welcome(request, token, form.get("next", "/"))


def _asking_for(request: Request, wanted: str) -> Request:
    """The request with the page that was asked for, which a form carries in its body."""
    return Request({**request.scope, "query_string": f"next={quote(wanted, safe='')}".encode()})


def welcome(request: Request, token: str, wanted: str | None = None) -> Response:
    """Send somebody who has signed in on to the page asked for, with the cookie that proves it."""
    wanted = request.cookies.get(NEXT, "/") if wanted is None else wanted
    response = RedirectResponse(onward(wanted), status_code=303, headers={"Cache-Control": "no-store"})
    secure = request.url.scheme == "https" or settings.read(Workspace.default()).https
    response.set_cookie(
        signing.COOKIE, token, max_age=int(sessions.LONGEST), path="/", httponly=True, samesite="lax", secure=secure
    )
    for name in (*oidc.leftovers(request), NEXT):
        response.delete_cookie(name, path="/")
    return response


def _to_provider(request: Request) -> Response:
    """Go to an outside provider, as st.login does, and remember where to go on afterwards."""
    name = request.query_params.get("name", "default")
    if name not in oidc.providers():
        return RedirectResponse(SIGN_IN, status_code=303)
    try:
        response = RedirectResponse(oidc.address(name), status_code=303, headers={"Cache-Control": "no-store"})
    except StreamlitAuthError as error:
        return page(request, AccessError("Signing in with this provider is not set up completely.", str(error)), 503)
    wanted = onward(request.query_params.get("next", "/"))
    response.set_cookie(NEXT, quote(wanted, safe="/?=&-._"), max_age=600, path="/", httponly=True, samesite="lax")
    return response


def _account(request: Request) -> Response:
    return _account_page(request, _somebody(request))


def _sign_out(request: Request, _: Mapping[str, str]) -> Response:
    signing.sign_out(Workspace.default(), request.cookies.get(signing.COOKIE, ""))
    return _gone()


def _password(request: Request, form: Mapping[str, str]) -> Response:
    workspace, user = Workspace.default(), _somebody(request)
    try:
        if form.get("new") != form.get("again"):
            raise ConfigError("The two new passwords are not the same.", "Nothing was changed.")
        Desk(workspace, user).change_password(form.get("old", ""), form.get("new", ""), address(request))
        token = signing.sign_in(workspace, user.name, form.get("new", ""), address(request))
    except CatfishError as error:
        return _account_page(request, user, error, 422)
    return welcome(request, token, "/")


def _everywhere(request: Request, _: Mapping[str, str]) -> Response:
    user = _somebody(request)
    Desk(Workspace.default(), user).sign_out_everywhere(user.name)
    return _gone()


def _somebody(request: Request) -> User:
    """Who has signed in; raises SignedOut for a visitor."""
    user = signing.who(Workspace.default(), request.cookies.get(signing.COOKIE, ""))
    if not user.name:
        raise SignedOut("Nobody is signed in.")
    return user


def _gone() -> Response:
    response = RedirectResponse(SIGN_IN, status_code=303, headers={"Cache-Control": "no-store"})
    response.delete_cookie(signing.COOKIE, path="/")
    return response


async def _form_of(request: Request) -> dict[str, str] | None:
    """The fields of a form that a page of this server sent; None for anything else."""
    if not ours(request) or not host_is_ours(request):
        return None
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            return None
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _refused() -> Response:
    return PlainTextResponse("This form was not sent from a page of CatFish: open the page again.", status_code=403)


def _style(_: Request) -> Response:
    return PlainTextResponse(_css(), media_type="text/css", headers={"Cache-Control": "max-age=3600"})


@functools.cache
def _css() -> str:
    """The style sheet, with the fonts that Streamlit brings."""
    folder = Path(streamlit.__file__).parent / "static" / "static" / "media"
    fonts = {"Source Sans": "SourceSansVF-Upright*.woff2", "Source Serif": "SourceSerifVariable-Roman*.woff2"}
    faces = [
        f'@font-face {{ font-family: "{name}"; font-weight: 200 900; src: url("/static/media/{file.name}"); }}'
        for name, pattern in fonts.items()
        for file in folder.glob(pattern)
    ]
    return "\n".join([*faces, (_ASSETS / "sign_in.css").read_text(encoding="utf-8")])


def _picture(file: str) -> Callable[[Request], Response]:
    return lambda _: FileResponse(
        _ASSETS / file, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"}
    )


ROUTES = [
    Route(SIGN_IN, _aside(_show), methods=["GET"]),
    Route(SIGN_IN, _aside(_try), methods=["POST"]),
    Route(PROVIDER, _aside(_to_provider), methods=["GET"]),
    Route(ACCOUNT, _aside(_account), methods=["GET"]),
    Route(SIGN_OUT, _aside(_sign_out), methods=["POST"]),
    Route(PASSWORD, _aside(_password), methods=["POST"]),
    Route(EVERYWHERE, _aside(_everywhere), methods=["POST"]),
    Route(STYLE, _style, methods=["GET"]),
    Route(LOGO, _picture("logo.svg"), methods=["GET"]),
    Route(ICON, _picture("icon.svg"), methods=["GET"]),
]
