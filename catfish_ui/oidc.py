"""Signing in with an outside provider: Streamlit goes there and back, and what it learned becomes a session of ours.

Streamlit keeps the claims of the identity token in cookies of its own, which last a month and cannot be taken
back. So its cookie is exchanged for one of our sessions on the first page after the way back, and removed. It is
read with Streamlit's own functions; nothing of it ever stands in a link.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from streamlit import auth_util
from streamlit.errors import StreamlitAuthError
from streamlit.runtime.secrets import secrets_singleton
from streamlit.user_info import generate_login_redirect_url
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import TOKENS_COOKIE_NAME, USER_COOKIE_NAME

SECRET = 32  # characters that the cookie_secret in secrets.toml needs: whoever guesses it can be anybody
FRESH = 300.0  # seconds after which Streamlit's cookie is no longer exchanged
_DAY = 24 * 3600.0


def providers() -> list[str]:
    """The providers that `.streamlit/secrets.toml` names, "default" for one without a name; none without [auth]."""
    if not secrets_singleton.load_if_toml_exists() or "auth" not in secrets_singleton:
        return []
    section = secrets_singleton["auth"]
    named = [str(name) for name, value in section.items() if isinstance(value, Mapping)]
    return [*(["default"] if "client_id" in section else []), *named]


def address(provider: str) -> str:
    """Where to send a browser that wants to sign in with `provider`, as st.login does; raises StreamlitAuthError."""
    auth_util.validate_auth_credentials(provider)
    if len(get_cookie_secret()) < SECRET:
        raise StreamlitAuthError(f"cookie_secret in secrets.toml needs {SECRET} random characters or more.")
    return generate_login_redirect_url(provider)


def claims(request: Request) -> dict[str, Any] | None:
    """What the provider said of whoever has just come back from there; None where nobody did."""
    secret = get_cookie_secret()
    if USER_COOKIE_NAME not in request.cookies or len(secret) < SECRET:
        return None

    def single(name: str) -> bytes | None:
        value = request.cookies.get(name)
        return decode_signed_value(secret, name, value.encode("latin-1"), FRESH / _DAY) if value else None

    try:
        told = json.loads(auth_util.get_cookie_with_chunks(single, USER_COOKIE_NAME) or b"{}")
        origin = auth_util.get_origin_from_redirect_uri()
    except (ValueError, StreamlitAuthError):
        return None
    signed_in = isinstance(told, dict) and told.get("is_logged_in") is True
    return told if signed_in and origin and told.get("origin") == origin else None


def leftovers(request: Request) -> list[str]:
    """Streamlit's cookies about the person, which are not needed once they are exchanged."""
    ours = (USER_COOKIE_NAME, TOKENS_COOKIE_NAME)
    return [name for name in request.cookies if name in ours or name.rstrip("0123456789").rstrip("_") in ours]
