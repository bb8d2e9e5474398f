"""Who uses this browser session."""

from __future__ import annotations

from catfish_core.lab import access
from catfish_core.lab.access import User
from catfish_core.lab.desk import Desk
from catfish_ui import cache


def user() -> User:
    """The one local person."""
    return access.LOCAL


def desk() -> Desk:
    """What this person may do."""
    return Desk(cache.workspace(), user)
