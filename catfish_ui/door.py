"""The door of a lab: who is nobody gets no further than the sign-in page, whatever address is asked for.

It stands before everything this server hands out, Streamlit's own addresses included: photos under /media,
uploads, the routes beside the pages. Closed is the rule; what is open is listed. The pages' own websocket passes,
because a page has to be able to say that one is no longer signed in; every page run asks who it is
(`identity.user`). Without shared mode the door stands open.
"""

from __future__ import annotations

from urllib.parse import quote

from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from catfish_core.errors import AccessError, CatfishError, ConfigError, SignedOut
from catfish_core.lab import settings, signing
from catfish_core.lab.access import User
from catfish_core.lab.settings import Settings
from catfish_core.workspace import Workspace
from catfish_ui import identity, oidc, sign_in

OPEN = (*sign_in.OPEN, "/_stcore/health", "/auth/login", "/oauth2callback")
FONTS = "/static/media/"  # Streamlit's own, which the sign-in page uses too
UPLOADS = "/_stcore/upload_file/"
VIEWERS_UPLOAD = 130 * 10**6  # bytes: a photo to predict on, but no dataset
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "SAMEORIGIN",
}


class Door:
    """The middleware that `st.App` runs before everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        _announce_hosts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        workspace, request = Workspace.default(), Request(scope)
        try:
            lab = settings.read(workspace)
        except ConfigError as error:
            return await _sentence(error, 503)(scope, receive, send)
        if not lab.shared:
            return await self.app(scope, receive, send)
        answer = await to_thread.run_sync(_answer, workspace, lab, request)
        await (answer or self.app)(scope, receive, _guarded(send))


def _answer(workspace: Workspace, lab: Settings, request: Request) -> Response | None:
    """What whoever asks is told instead of getting in; None for whoever gets in."""
    if not sign_in.host_is_ours(request):
        return PlainTextResponse("This address is not served.", status_code=403)
    if request.url.path in OPEN or request.url.path.startswith(FONTS):
        return None
    try:
        if request.url.path == "/" and (told := oidc.claims(request)) is not None:
            return sign_in.welcome(request, signing.sign_in_by_provider(workspace, told, sign_in.address(request)))
        user = signing.who(workspace, request.cookies.get(signing.COOKIE, ""))
    except SignedOut:
        return _to_sign_in(request)
    except AccessError as error:
        return sign_in.page(request, error, 403)
    except CatfishError as error:
        return _sentence(error, 503)
    return _too_much(request, user)


def _to_sign_in(request: Request) -> Response:
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse("Sign in first.", status_code=401)
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = "" if request.url.path == "/" and not query else f"?next={quote(request.url.path + query, safe='')}"
    return RedirectResponse(f"{identity.SIGN_IN}{wanted}", status_code=303, headers={"Cache-Control": "no-store"})


def _too_much(request: Request, user: User) -> Response | None:
    """Refuse a viewer's upload that is no photo: it would lie in the memory of the machine."""
    if user.role != "viewer" or request.method != "PUT" or not request.url.path.startswith(UPLOADS):
        return None
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) <= VIEWERS_UPLOAD:
        return None
    return PlainTextResponse("Visitors may upload photos, but nothing larger.", status_code=413)


def _sentence(error: CatfishError, status: int) -> Response:
    return PlainTextResponse(str(error), status_code=status, headers={"Cache-Control": "no-store"})


def _guarded(send: Send) -> Send:
    """`send` that adds the headers that keep a page from being framed, sniffed or told of elsewhere."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _announce_hosts() -> None:
    """Have Streamlit answer to the names in lab.json too, besides those of its own configuration."""
    try:
        names = settings.read(Workspace.default()).hosts
    except ConfigError:
        return  # every request will be told
    allowed = list(config.get_option("server.allowedHosts") or [])
    if allowed and names:
        config.set_option("server.allowedHosts", [*allowed, *(name for name in names if name not in allowed)])
