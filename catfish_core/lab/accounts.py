"""Accounts: names, roles and hashed passwords, in lab.db.  [no torch]

Passwords are kept as argon2id hashes (argon2-cffi, its recommended costs). An unknown name costs the same time as
a wrong password. Those who sign in with an outside provider have an account named after their e-mail address,
without a password.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from catfish_core.errors import AccessError, ConfigError
from catfish_core.lab import attempts, store
from catfish_core.lab.access import ROLES, Role, User
from catfish_core.lab.attempts import Key
from catfish_core.lab.settings import Oidc
from catfish_core.workspace import Workspace

SHORTEST, LONGEST = 10, 200  # characters of a password
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_EMAIL = re.compile(r"[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9-]+(\.[a-z0-9-]+)+")
_hasher = PasswordHasher()
_SECRET = secrets.token_bytes(32)  # of this process


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in: with a password here, or with an outside provider."""

    name: str
    role: Role
    local: bool
    disabled: bool
    created: float

    @property
    def user(self) -> User:
        """As others see this person."""
        return User(self.name, self.role)


def checked_name(name: str) -> str:
    """`name` as it is kept; raises ConfigError for one that could be a path, markup or somebody else's look-alike."""
    name = name.strip().lower()
    if _NAME.fullmatch(name) or len(name) <= 100 and _EMAIL.fullmatch(name):
        return name
    raise ConfigError(
        f"{name[:60]!r} cannot be a name here.",
        "A name has 1 to 40 letters a to z, digits, dots, hyphens and underscores and begins with a letter or digit; "
        "whoever signs in with an outside provider is named by an e-mail address.",
    )


def checked_password(password: str, name: str) -> str:
    """`password`; raises ConfigError for one that is too easy to guess or too long to hash."""
    if len(password) < SHORTEST:
        raise ConfigError(
            f"This password is too short: it needs {SHORTEST} characters or more.", "Four words do well."
        )
    if len(password) > LONGEST:
        raise ConfigError(f"This password is longer than {LONGEST} characters.", "Choose a shorter one.")
    if name in password.lower() and len(password) < len(name) + SHORTEST or len(set(password)) < 4:
        raise ConfigError(
            "This password is too easy to guess.", "Four words that have nothing to do with you do well."
        )
    return password


def add(workspace: Workspace, name: str, role: Role, password: str | None) -> Account:
    """A new account; without a password it is one of an outside provider, named by an e-mail address. ConfigError."""
    name = checked_name(name)
    if ("@" in name) != (password is None):
        raise ConfigError(
            f"“{name}” {'signs in with an outside provider' if '@' in name else 'needs a password'}.",
            "Names with an @ belong to the outside provider, all others have a password here.",
        )
    hash = None if password is None else _hasher.hash(checked_password(password, name))
    with store.opened(workspace) as connection:
        if _row(connection, name):
            raise ConfigError(f"There is an account called “{name}” already.", "Choose another name.")
        _insert(connection, name, role, hash)
        return _account(_row(connection, name))


def listing(workspace: Workspace) -> list[Account]:
    """All accounts by name; none where there never was one."""
    if not store.path(workspace).exists():
        return []
    with store.opened(workspace) as connection:
        return [_account(row) for row in connection.execute("SELECT * FROM accounts ORDER BY name")]


def find(workspace: Workspace, name: str) -> Account:
    """The account called `name`; raises ConfigError where there is none."""
    with store.opened(workspace) as connection:
        return _account(_known(connection, name))


def set_role(workspace: Workspace, name: str, role: Role) -> None:
    """Make somebody a viewer, member or admin; the last admin stays one (ConfigError)."""
    with store.opened(workspace) as connection:
        row = _known(connection, name)
        connection.execute("UPDATE accounts SET role = ? WHERE name = ?", (role, row["name"]))
        _keep_an_admin(connection, row)


def set_disabled(workspace: Workspace, name: str, disabled: bool) -> None:
    """Shut somebody out, at once and everywhere, or let them in again; the last admin stays (ConfigError)."""
    with store.opened(workspace) as connection:
        row = _known(connection, name)
        connection.execute("UPDATE accounts SET disabled = ? WHERE name = ?", (disabled, row["name"]))
        connection.execute("DELETE FROM sessions WHERE name = ?", (row["name"],))
        _keep_an_admin(connection, row)


def set_password(workspace: Workspace, name: str, password: str) -> None:
    """Give somebody another password; all their sessions end. ConfigError."""
    with store.opened(workspace) as connection:
        row = _known(connection, name)
    if row["hash"] is None:
        raise ConfigError(f"“{row['name']}” signs in with an outside provider.", "The password is kept there.")
    hash = _hasher.hash(checked_password(password, row["name"]))  # outside the transaction: it takes a while
    with store.opened(workspace) as connection:
        connection.execute("UPDATE accounts SET hash = ? WHERE name = ?", (hash, row["name"]))
        connection.execute("DELETE FROM sessions WHERE name = ?", (row["name"],))


def check(workspace: Workspace, name: str, password: str, address: str = "", now: float | None = None) -> User:
    """Who `name` with `password` is, asked from the network address `address`.

    Raises AccessError with one and the same sentence for whatever is not right, and with another for whoever has
    to wait after too many attempts.
    """
    now = time.time() if now is None else now
    name = name.strip().lower()[:100]
    with store.opened(workspace) as connection:
        row = _row(connection, name)
        counted = name if row else _blurred(name)
        keys = (Key("name", counted), *((Key("address", address),) if address else ()))
        wait = attempts.take(connection, keys, now)
    if wait:
        raise AccessError("Too many attempts.", f"Wait {_spoken(wait)}, then try again.")
    nobody = _nobody()  # made by whoever comes first, known or not
    hash = row["hash"] if row else None
    right = _matches(hash or nobody, password[: LONGEST + 1])
    if not (row and hash and right) or row["disabled"]:
        raise AccessError("Name or password is not right.", "Try again, or ask an administrator for a new password.")
    with store.opened(workspace) as connection:
        attempts.succeeded(connection, keys)
        if _hasher.check_needs_rehash(hash):
            connection.execute("UPDATE accounts SET hash = ? WHERE name = ?", (_hasher.hash(password), row["name"]))
    return _account(row).user


def admit(workspace: Workspace, claims: Mapping[str, Any], rules: Oidc) -> User:
    """Who an outside provider says has signed in; somebody new gets an account, as `rules` say. AccessError."""
    name = _vouched(claims, rules)
    with store.opened(workspace) as connection:
        row = _row(connection, name)
        role: Role | None = "admin" if name in rules.admins else row["role"] if row else rules.newcomers
        if role is None or (row and row["disabled"]):
            raise AccessError(f"“{name}” has no account here.", "Ask an administrator for one.")
        if row is None:
            _insert(connection, name, role, None)
        elif row["role"] != role:
            connection.execute("UPDATE accounts SET role = ? WHERE name = ?", (role, name))
    return User(name, role)


def _vouched(claims: Mapping[str, Any], rules: Oidc) -> str:
    """The e-mail address in `claims`, if the provider vouches for it and it may come in."""
    email, verified = claims.get("email"), claims.get("email_verified")
    name = email.strip().lower() if isinstance(email, str) else ""
    if not _EMAIL.fullmatch(name):
        raise AccessError("The sign-in service did not say who you are.", "It has to send an e-mail address.")
    if verified is not True and not (verified is None and rules.trust_unverified):
        raise AccessError(f"The sign-in service does not vouch for “{name}”.", "Confirm the address there first.")
    if rules.domains and name.rpartition("@")[2] not in rules.domains:
        raise AccessError(f"“{name}” is not an address of this lab.", "Sign in with one that is.")
    return name


def _keep_an_admin(connection: sqlite3.Connection, before: sqlite3.Row) -> None:
    """Refuse (and with that, undo) what takes the last administrator away; `before` is the account as it was."""
    if before["role"] != "admin":
        return
    if not connection.execute("SELECT 1 FROM accounts WHERE role = 'admin' AND NOT disabled").fetchone():
        raise ConfigError(f"“{before['name']}” is the only administrator.", "Make somebody else one first.")


def spoken_of(workspace: Workspace, name: str) -> str:
    """`name` if there is such an account: what else was typed there may be a password, and is not written down."""
    with store.opened(workspace, write=False) as connection:
        row = _row(connection, name.strip().lower())
    return str(row["name"]) if row else "somebody unknown"


def _blurred(name: str) -> str:
    """What is counted for a name that is none: perhaps somebody typed a password there."""
    return "?" + hashlib.blake2b(name.encode("utf-8", "replace"), key=_SECRET, digest_size=8).hexdigest()


@functools.cache
def _nobody() -> str:
    """The hash that the password of somebody unknown is compared with, so that it takes as long."""
    return _hasher.hash("nobody knows this password")


def _matches(hash: str, password: str) -> bool:
    try:
        return _hasher.verify(hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _row(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute("SELECT * FROM accounts WHERE name = ?", (name,)).fetchone()
    return found


def _known(connection: sqlite3.Connection, name: str) -> sqlite3.Row:
    row = _row(connection, name.strip().lower())
    if row is None:
        raise ConfigError(f"There is no account called “{name[:60]}”.", "`user list` names those there are.")
    return row


def _insert(connection: sqlite3.Connection, name: str, role: Role, hash: str | None) -> None:
    assert role in ROLES
    connection.execute("INSERT INTO accounts VALUES (?, ?, ?, 0, ?)", (name, role, hash, time.time()))


def _account(row: Any) -> Account:
    return Account(row["name"], row["role"], row["hash"] is not None, bool(row["disabled"]), row["created"])
