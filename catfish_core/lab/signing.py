"""Coming in and going out, with a line of the audit log each; and who the holder of a token is.  [no torch]"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catfish_core.errors import CatfishError, SignedOut
from catfish_core.lab import accounts, audit, sessions, settings
from catfish_core.lab.access import LOCAL, VISITOR, User
from catfish_core.workspace import Workspace

COOKIE = "catfish_session"  # holds the token


def who(workspace: Workspace, token: str) -> User:
    """Who comes with `token` (empty: none): the local person, somebody signed in, or a visitor.

    Raises SignedOut where nobody may come in like that.
    """
    lab = settings.read(workspace)
    if not lab.shared:
        return LOCAL
    if user := sessions.find(workspace, token, lab.session_hours):
        return user
    if lab.visitors:
        return VISITOR
    if token:
        raise SignedOut("You are no longer signed in.", "Sign in again: nothing you started is lost.")
    raise SignedOut("This lab asks who you are.", "Sign in to see its runs and photos.")


def sign_in(workspace: Workspace, name: str, password: str, address: str = "") -> str:
    """A session for whoever knows the password; its token. Raises AccessError for whoever does not."""
    try:
        user = accounts.check(workspace, name, password, address)
    except CatfishError:
        audit.write(workspace, accounts.spoken_of(workspace, name), "sign in", address, "refused")
        raise
    return _begin(workspace, user, address)


def sign_in_by_provider(workspace: Workspace, claims: Mapping[str, Any], address: str = "") -> str:
    """A session for whoever an outside provider vouches for in `claims`; its token. Raises AccessError."""
    try:
        user = accounts.admit(workspace, claims, settings.read(workspace).oidc)
    except CatfishError:
        audit.write(workspace, str(claims.get("email", "")), "sign in", address, "refused")
        raise
    return _begin(workspace, user, address)


def _begin(workspace: Workspace, user: User, address: str) -> str:
    token = sessions.begin(workspace, user.name, settings.read(workspace).session_hours)
    audit.write(workspace, user.name, "sign in", address, "done")
    return token


def sign_out(workspace: Workspace, token: str) -> None:
    """End the session with `token`, if it is one."""
    user = sessions.find(workspace, token, settings.read(workspace).session_hours)
    if user:
        sessions.end(workspace, token)
        audit.write(workspace, user.name, "sign out", "", "done")
