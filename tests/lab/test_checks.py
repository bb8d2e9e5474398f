import json
import os
import shutil
import socket
import threading
import time
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.lab import accounts, checks
from catfish_core.lab.checks import Place, check


def told(look, place):
    return [f"{'!' if p.serious else ''}{p.what} {p.hint}" for p in look(place)]


def test_all_is_well_here(workspace):
    assert check(Place(workspace)) == []
    assert not list(workspace.root.iterdir())  # and nothing is left behind


def test_the_serious_comes_first(workspace, monkeypatch):
    monkeypatch.setattr(checks, "NEARLY_FULL", 10**18)
    monkeypatch.setattr(checks, "PYTHON", (9, 0))
    assert [p.serious for p in check(Place(workspace))] == [True, False]


def test_packages_are_compared_with_the_requirements(workspace, monkeypatch, tmp_path):
    lines = [
        "# a comment", "", "pillow>=999  # new", "no-such-package>=1", "pydantic>=2",
        'old-only>=1; python_version < "3"'
    ]  # fmt: skip
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    newer, missing = told(checks.packages, Place(workspace))
    assert newer.startswith("!The package pillow is here in version") and "pillow>=999" in newer
    assert missing.startswith("!The package no-such-package is missing")


@pytest.fixture
def listening():
    """A port somebody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_taken(workspace, listening):
    assert told(checks.port, Place(workspace)) == []
    (what,) = told(checks.port, Place(workspace, listening))
    assert f"Port {listening} is taken by another program." in what and "PORT=" in what


def test_a_port_that_was_just_given_back_is_free(workspace, listening):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert told(checks.port, Place(workspace, port)) == []


def test_another_catfish_on_the_port_is_recognised(workspace):
    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.handle_request, daemon=True).start()
    (what,) = told(checks.port, Place(workspace, server.server_port))
    server.server_close()
    assert "CatFish, or another Streamlit app, is running" in what


@pytest.mark.parametrize(
    ("port", "address", "says"),
    [(99999, "127.0.0.1", "is no port"), (8777, "203.0.113.7", "does not have the address 203.0.113.7"),
     (8777, "no.such.name.invalid", "does not have the address")],
)  # fmt: skip
def test_a_port_or_an_address_that_cannot_be(workspace, port, address, says):
    (what,) = told(checks.port, Place(workspace, port, address))
    assert says in what


def test_a_workspace_that_may_not_be_written(workspace, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(workspace.root), "mkdir", refuse)
    (what,) = told(checks.workspace, Place(workspace))
    assert what.startswith("!CatFish may not write to") and "CATFISH_HOME" in what


def test_a_workspace_that_is_a_file(workspace):
    workspace.root.write_text("")
    (what,) = told(checks.workspace, Place(workspace))
    assert what.startswith("!The workspace") and "CATFISH_HOME" in what


class Lockless:
    """A lock as on a drive that knows none: everybody gets it at once."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        pass

    def __exit__(self, *args):
        pass


class Refusing(Lockless):
    """A lock as on a network drive whose server keeps none."""

    def __enter__(self):
        raise OSError(37, "No locks available")


@pytest.mark.parametrize("lock", [Lockless, Refusing])
def test_a_drive_without_locks(workspace, monkeypatch, lock):
    monkeypatch.setattr(checks, "FileLock", lock)
    (what,) = told(checks.workspace, Place(workspace))
    assert what.startswith("!The drive of the workspace") and "two workers could take the same run" in what


Mount = namedtuple("Mount", "mountpoint fstype")


@pytest.mark.parametrize(("fstype", "found"), [("nfs4", 1), ("fuse.sshfs", 1), ("ext4", 0)])
def test_a_network_drive_is_named(workspace, monkeypatch, fstype, found):
    mounts = [
        Mount("/", "ext4"),
        Mount(str(workspace.root.parent), fstype),
        Mount(f"{workspace.root.parent}x", "nfs"),
    ]
    monkeypatch.setattr(checks.psutil, "disk_partitions", lambda all: mounts)
    assert len(told(checks.drive, Place(workspace))) == found


@pytest.mark.parametrize(("free", "serious"), [(5e8, False), (5e7, True)])
def test_a_disk_that_is_nearly_full(workspace, monkeypatch, free, serious):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, int(free)))
    (problem,) = checks.disk(Place(workspace))
    assert f"{free / 1e6:,.0f} MB are left" in problem.what and problem.serious == serious


def test_a_clock_that_cannot_be_right(workspace, monkeypatch):
    runs.create(workspace, RunConfig())
    assert told(checks.clock, Place(workspace)) == []
    for wrong in (0.0, time.time() - 2 * checks.AHEAD):
        monkeypatch.setattr(checks.time, "time", lambda wrong=wrong: wrong)
        assert "which cannot be" in told(checks.clock, Place(workspace))[0]


def test_a_database_others_may_read_or_own(workspace, monkeypatch):
    workspace.root.mkdir()
    (workspace.root / "lab.db").touch(mode=0o600)
    assert told(checks.databases, Place(workspace)) == []
    (workspace.root / "lab.db").chmod(0o644)
    assert "may read" in told(checks.databases, Place(workspace))[0]
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert told(checks.databases, Place(workspace))[0].startswith("!")


@pytest.mark.parametrize(
    ("lab", "address", "says"),
    [
        ({}, "127.0.0.1", None),
        ({}, "localhost", None),
        ({}, "0.0.0.0", "!Everybody who reaches 0.0.0.0 could train"),
        ({"shared": True}, "192.168.1.5", "Passwords would travel to 192.168.1.5 unprotected"),
        ({"shared": True, "https": True}, "0.0.0.0", None),
        ({"shared": "perhaps"}, "127.0.0.1", "!"),
    ],
)
def test_what_is_served_to_others_is_guarded(workspace, lab, address, says):
    accounts.add(workspace, "root", "admin", "correct horse battery")
    (workspace.root / "lab.json").write_text(json.dumps(lab))
    found = told(checks.sharing, Place(workspace, None, address))
    assert found[0].startswith(says) if says else found == []


def test_a_lab_without_accounts_says_how_to_make_the_first(workspace, monkeypatch):
    monkeypatch.setenv("CATFISH_LAB", "1")
    (what,) = told(checks.sharing, Place(workspace))
    assert "user add NAME --role admin" in what and not what.startswith("!")
    accounts.add(workspace, "root", "admin", "correct horse battery")
    assert told(checks.sharing, Place(workspace)) == []


@pytest.mark.parametrize(
    ("secrets", "found"),
    [("", 0), ("[other]\na = 1", 0), ('[auth]\nclient_id = "x"', 1), ('[auth]\ncookie_secret = "short"', 1),
     (f'[auth]\ncookie_secret = "{"0f" * 32}"', 0), ("[auth", 1)],
)  # fmt: skip
def test_a_sign_in_provider_needs_a_cookie_secret(workspace, monkeypatch, tmp_path, secrets, found):
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(secrets)
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    assert len(told(checks.provider, Place(workspace))) == found


def test_the_command_says_it_all_and_fails_on_what_is_serious(workspace, capsys, listening):
    from catfish_core.cli import main

    assert main(["check"]) == 0 and "All is well" in capsys.readouterr().out
    assert main(["check", "--quiet"]) == 0 and capsys.readouterr().out == ""
    assert main(["check", "--port", str(listening)]) == 1
    assert f"Problem: Port {listening} is taken" in capsys.readouterr().err
    assert main(["check", "--port", str(listening), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["serious"] is True
