"""`lab.db` in the workspace: accounts, sessions and failed attempts, in SQLite, for its owner's eyes.  [no torch]

A connection is opened for every question: that costs a fifth of a millisecond, and no thread has to share one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from catfish_core.errors import StorageError, storage_faults
from catfish_core.workspace import Workspace

PATIENCE = 5.0  # seconds to wait for another process that writes
MIGRATIONS = (  # the statements that lead from one version of the database to the next
    (
        """CREATE TABLE accounts (
            name TEXT PRIMARY KEY,
            role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin')),
            hash TEXT,  -- argon2id, NULL for whoever signs in with an outside provider
            disabled INTEGER NOT NULL DEFAULT 0,
            created REAL NOT NULL
        )""",
        """CREATE TABLE sessions (
            digest TEXT PRIMARY KEY,  -- sha256 of the token, which is in its browser only
            name TEXT NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
            began REAL NOT NULL,
            expires REAL NOT NULL
        )""",
        "CREATE INDEX sessions_name ON sessions (name)",
        "CREATE TABLE attempts (key TEXT PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL)",
    ),
)


def path(workspace: Workspace) -> Path:
    """The database."""
    return workspace.root / "lab.db"


@contextmanager
def opened(workspace: Workspace, *, write: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection inside one transaction, committed at the end; raises StorageError where the database fails.

    Reading alone (`write` false) waits for nobody.
    """
    file = path(workspace)
    try:
        with storage_faults(file):
            _create(file)
        with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")
            _migrate(connection)
            with _transaction(connection, "IMMEDIATE" if write else "DEFERRED"):
                yield connection
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"The accounts cannot be reached just now: {error}.", "Try again; if it stays so, look at the disk."
        ) from error
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{file.name}, which holds the accounts, is damaged: {error}.",
            "Put back a copy of it, or move it away and add the accounts again; runs and datasets are not in it.",
        ) from error


def _create(file: Path) -> None:
    """Make the file readable by its owner only, from the first byte on; SQLite's own files take that over."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == len(MIGRATIONS):
        return
    if version > len(MIGRATIONS):
        raise StorageError("The accounts were written by a newer CatFish.", "Start that one.")
    connection.execute("PRAGMA journal_mode = WAL")
    with _transaction(connection):  # whoever comes second finds the work done
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
