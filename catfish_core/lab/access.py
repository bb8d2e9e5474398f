"""Who may do what.  [no torch]

Viewers watch and predict, members also train and import and change what is theirs, admins do everything. What
belongs to nobody (built-in datasets, what was made before the lab shared the machine) is the admins'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from catfish_core.errors import AccessError, SignedOut

__all__ = ["LOCAL", "ROLES", "VISITOR", "AccessError", "Action", "Role", "SignedOut", "User", "may", "refusal"]

Role = Literal["viewer", "member", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "member", "admin")
Action = Literal["watch", "predict", "start", "import", "change", "delete", "account", "manage"]


@dataclass(frozen=True)
class User:
    """A person; the name is empty for the one local person and for a visitor, who owns nothing."""

    name: str
    role: Role


LOCAL = User("", "admin")  # nobody signs in: one person, whose machine it is
VISITOR = User("", "viewer")  # somebody who came without signing in, where that is allowed


def may(user: User, action: Action, owner: str = "") -> bool:
    """Whether `user` may do `action` to something that belongs to `owner` (empty: to nobody)."""
    if user.role == "admin" or action in ("watch", "predict"):
        return True
    if action == "account":  # one's own password and sessions
        return bool(owner) and owner == user.name
    if user.role != "member":
        return False
    return action in ("start", "import") or action in ("change", "delete") and bool(owner) and owner == user.name


def refusal(user: User, action: Action, owner: str = "") -> AccessError:
    """The sentence for somebody who may not."""
    if user.role == "viewer":
        what = "You are looking around as a visitor." if not user.name else "Your account may watch and predict."
        hint = (
            "Sign in to train, import or change anything." if not user.name else "An administrator can change that."
        )
        return AccessError(what, hint)
    if action == "manage":
        return AccessError("Only an administrator may do this.", "Ask one of them.")
    if owner:
        return AccessError(f"This belongs to {owner}.", "Its owner or an administrator can change or delete it.")
    return AccessError("This belongs to nobody in particular.", "An administrator can change or delete it.")
