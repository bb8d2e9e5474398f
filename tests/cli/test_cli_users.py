"""`user add | list | role | disable | enable | password`."""

import io
import json
import sys

import pytest

from catfish_core.cli import main, users
from catfish_core.lab import accounts, audit, sessions

GOOD = "a good long password"


@pytest.fixture
def say(monkeypatch):
    """say("line"): what stands on stdin."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_the_first_account_by_the_command_line(workspace, say, capsys):
    say(f"{GOOD}\nsomething else\n")
    assert main(["user", "add", "Ada", "--role", "admin", "--password-stdin"]) == 0
    assert accounts.check(workspace, "ada", GOOD).role == "admin"
    assert main(["user", "list", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1]) == [
        {"name": "ada", "role": "admin", "local": True, "disabled": False}
    ]
    assert GOOD not in told.out + told.err
    (deed,) = [deed for deed in audit.read(workspace) if deed.action == "add admin"]
    assert (deed.user, deed.object, deed.outcome) == ("(command line)", "ada", "done")


def test_the_password_is_asked_twice(workspace, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    answers = iter([GOOD, "a slip of it", GOOD, GOOD])
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(users.getpass, "getpass", lambda prompt: next(answers))
    assert main(["user", "add", "bob"]) == 2
    assert accounts.listing(workspace) == [] and "not the same" in capsys.readouterr().err
    assert main(["user", "add", "bob"]) == 0
    assert accounts.check(workspace, "bob", GOOD).role == "member"


def test_without_a_terminal_nothing_is_asked(workspace, say, capsys):
    say(GOOD)
    assert main(["user", "add", "bob"]) == 2 and "--password-stdin" in capsys.readouterr().err


def test_a_password_is_never_an_argument(workspace, capsys):
    assert main(["user", "add", "bob", "--password", GOOD]) == 2
    assert main(["user", "add", "bob", GOOD]) == 2


@pytest.mark.parametrize("name", ["../x", "<b>", "🐟", "", "a b"])
def test_names_that_cannot_be(workspace, say, capsys, name):
    say(GOOD)
    assert main(["user", "add", "--password-stdin", "--", name]) == 1
    assert "cannot be a name" in capsys.readouterr().err and accounts.listing(workspace) == []


def test_somebody_from_outside_has_no_password(workspace, capsys):
    assert main(["user", "add", "zoe@x.org", "--role", "viewer"]) == 0
    assert not accounts.find(workspace, "zoe@x.org").local
    assert main(["user", "password", "zoe@x.org"]) != 0


def test_changing_people(people, workspace, say, capsys):
    token = people.token("bob")
    assert main(["user", "role", "bob", "viewer"]) == 0 and accounts.find(workspace, "bob").role == "viewer"
    say(GOOD)
    assert main(["user", "password", "bob", "--password-stdin"]) == 0
    assert accounts.check(workspace, "bob", GOOD) and sessions.find(workspace, token, 12) is None
    assert main(["user", "disable", "bob"]) == 0 and accounts.find(workspace, "bob").disabled
    assert main(["user", "enable", "bob"]) == 0 and not accounts.find(workspace, "bob").disabled
    assert main(["user", "disable", "ada"]) == 1 and "only administrator" in capsys.readouterr().err
    assert main(["user", "role", "nobody", "admin"]) == 1 and "no account" in capsys.readouterr().err
    assert main(["user", "list"]) == 0 and "with a password" in capsys.readouterr().out


def test_an_empty_list_says_how_to_begin(workspace, capsys):
    assert main(["user", "list"]) == 0
    assert "user add NAME --role admin" in capsys.readouterr().out and not workspace.root.exists()
