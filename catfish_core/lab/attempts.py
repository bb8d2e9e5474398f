"""Guessing passwords is slow: after a few failures each further attempt has to wait, longer and longer.  [no torch]

Counted are names, whether they exist or not, and addresses; the count is taken before the password is looked at,
so that attempts at once cannot slip past. Whoever fails on a name on purpose can keep its owner from signing in
for `LONGEST` at a time, but never ends a session there is.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass

FREE = {"name": 5, "address": 20}  # failures before anybody has to wait; an address may be a whole institute's
LONGEST = 15 * 60.0  # seconds of the longest wait
FORGOTTEN = 24 * 3600.0  # seconds after which failures are


@dataclass(frozen=True)
class Key:
    """What is counted: a name or an address."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def wait(kind: str, failures: int) -> float:
    """Seconds to wait after the last of so many failures: none for the first few, then 1, 2, 4, … up to `LONGEST`."""
    beyond = failures - FREE[kind]
    return 0.0 if beyond < 0 else min(LONGEST, 2.0 ** min(beyond, 20))


def take(connection: sqlite3.Connection, keys: tuple[Key, ...], now: float) -> float:
    """Count an attempt for `keys`, as a failure to begin with; if it comes too early, seconds to wait instead."""
    connection.execute("DELETE FROM attempts WHERE last < ?", (now - FORGOTTEN,))
    waits = []
    for key in keys:
        row = connection.execute("SELECT failures, last FROM attempts WHERE key = ?", (str(key),)).fetchone()
        if row:
            waits.append(min(row[1], now) + wait(key.kind, row[0]) - now)
    if (longest := max(waits, default=0.0)) > 0:
        return math.ceil(longest)
    for key in keys:
        connection.execute(
            "INSERT INTO attempts VALUES (?, 1, ?) ON CONFLICT (key) DO UPDATE SET failures = failures + 1, last = ?",
            (str(key), now, now),
        )
    return 0.0


def succeeded(connection: sqlite3.Connection, keys: tuple[Key, ...]) -> None:
    """Forget the failures of a name, and take the attempt of an address back: it was none."""
    for key in keys:
        if key.kind == "name":
            connection.execute("DELETE FROM attempts WHERE key = ?", (str(key),))
        else:
            connection.execute("UPDATE attempts SET failures = failures - 1 WHERE key = ?", (str(key),))
