"""Signed-in browsers: a random token each, of which lab.db keeps only the sha256.  [no torch]

A session ends after `hours` without a visit, a month after it began at the latest, when somebody signs out, when
the password changes and when the account is disabled; each from the next question on.
"""

from __future__ import annotations

import hashlib
import secrets
import time

from catfish_core.lab import store
from catfish_core.lab.access import User
from catfish_core.workspace import Workspace

LONGEST = 30 * 24 * 3600.0  # seconds a session lasts at most
_TOKEN = 32  # bytes of chance


def begin(workspace: Workspace, name: str, hours: float, now: float | None = None) -> str:
    """A new session of `name`; the token that proves it, told this once."""
    now = time.time() if now is None else now
    token = secrets.token_urlsafe(_TOKEN)
    with store.opened(workspace) as connection:
        connection.execute("DELETE FROM sessions WHERE expires < ?", (now,))
        connection.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?)", (_digest(token), name, now, now + hours * 3600)
        )
    return token


def find(workspace: Workspace, token: str, hours: float, now: float | None = None) -> User | None:
    """Who the session with `token` belongs to, None where it is none or over; a visit makes it last anew."""
    if not token or not store.path(workspace).exists():
        return None
    now = time.time() if now is None else now
    digest = _digest(token)
    with store.opened(workspace, write=False) as connection:
        row = connection.execute(
            "SELECT sessions.expires, sessions.began, accounts.name, accounts.role FROM sessions JOIN accounts "
            "USING (name) WHERE digest = ? AND NOT disabled",
            (digest,),
        ).fetchone()
    if row is None or now >= min(row[0], row[1] + LONGEST):
        return None
    if row[0] - now < hours * 3600 * 0.9:  # not at every visit: a write costs more than a look
        with store.opened(workspace) as connection:
            connection.execute("UPDATE sessions SET expires = ? WHERE digest = ?", (now + hours * 3600, digest))
    return User(row[2], row[3])


def end(workspace: Workspace, token: str) -> None:
    """End the session with `token`."""
    with store.opened(workspace) as connection:
        connection.execute("DELETE FROM sessions WHERE digest = ?", (_digest(token),))


def end_all(workspace: Workspace, name: str) -> None:
    """End all sessions of `name`."""
    with store.opened(workspace) as connection:
        connection.execute("DELETE FROM sessions WHERE name = ?", (name,))


def count(workspace: Workspace, name: str, now: float | None = None) -> int:
    """Browsers in which `name` is signed in."""
    now = time.time() if now is None else now
    with store.opened(workspace, write=False) as connection:
        asked = connection.execute("SELECT count(*) FROM sessions WHERE name = ? AND expires > ?", (name, now))
        return int(asked.fetchone()[0])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
