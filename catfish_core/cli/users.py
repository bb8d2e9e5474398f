"""`user add | list | role | disable | enable | password`: the people of a lab.  [no torch]

A password is never an argument, where every process of the machine could read it: it is asked for, or read from
stdin. Whoever may run this may read the workspace's files, so it asks for no other permission.
"""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace
from datetime import datetime

from catfish_core.cli.terminal import Usage, say, say_json, table
from catfish_core.lab import accounts
from catfish_core.lab.accounts import Account
from catfish_core.lab.desk import CONSOLE, Desk
from catfish_core.workspace import Workspace


def desk() -> Desk:
    """The desk of whoever sits at the command line."""
    return Desk(Workspace.default(), CONSOLE)


def add(asked: Namespace) -> int:
    """Add somebody."""
    name = accounts.checked_name(asked.name)
    password = None if "@" in name else _password(asked, f"Password for {name}")
    return _report(asked, desk().add_user(name, asked.role, password), "can sign in")


def show_all(asked: Namespace) -> int:
    """Everybody."""
    found = accounts.listing(Workspace.default())
    if asked.json:
        say_json([as_plain(account) for account in found])
    elif not found:
        say("Nobody has an account yet. Add the first: python -m catfish_core user add NAME --role admin")
    else:
        rows = [(a.name, a.role, _how(a), f"{datetime.fromtimestamp(a.created):%Y-%m-%d}") for a in found]
        table(("NAME", "ROLE", "SIGNS IN", "SINCE"), rows)
    return 0


def role(asked: Namespace) -> int:
    """Make somebody a viewer, member or admin."""
    desk().set_role(asked.name, asked.role)
    return _report(asked, accounts.find(Workspace.default(), asked.name), f"is {asked.role} now")


def disable(asked: Namespace) -> int:
    """Shut somebody out."""
    desk().set_disabled(asked.name, True)
    return _report(asked, accounts.find(Workspace.default(), asked.name), "is shut out")


def enable(asked: Namespace) -> int:
    """Let somebody in again."""
    desk().set_disabled(asked.name, False)
    return _report(asked, accounts.find(Workspace.default(), asked.name), "can sign in again")


def password(asked: Namespace) -> int:
    """Give somebody another password."""
    account = accounts.find(Workspace.default(), asked.name)
    desk().set_password(account.name, _password(asked, f"New password for {account.name}"))
    return _report(asked, account, "has another password and is signed out everywhere")


def as_plain(account: Account) -> dict[str, object]:
    """An account as plain values."""
    return {"name": account.name, "role": account.role, "local": account.local, "disabled": account.disabled}


def _how(account: Account) -> str:
    return "not at all: disabled" if account.disabled else "with a password" if account.local else "with the provider"


def _password(asked: Namespace, prompt: str) -> str:
    if asked.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Usage("There is no terminal to ask for the password: give --password-stdin and send it there.")
    first = getpass.getpass(f"{prompt}: ")
    if getpass.getpass("Once more: ") != first:
        raise Usage("The two passwords are not the same; nothing was changed.")
    return first


def _report(asked: Namespace, account: Account, what: str) -> int:
    if asked.json:
        say_json(as_plain(account))
    else:
        say(f"{account.name} {what}.")
    return 0
