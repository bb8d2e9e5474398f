import json
import os
from concurrent.futures import ThreadPoolExecutor

from catfish_core.lab import audit


def test_a_deed_is_a_line(workspace):
    audit.write(workspace, "bob", "start run", "20260101-x", "done")
    (deed,) = audit.read(workspace)
    assert (deed.user, deed.action, deed.object, deed.outcome) == ("bob", "start run", "20260101-x", "done")
    assert deed.time.endswith("+00:00")
    assert audit.path(workspace).stat().st_mode & 0o077 == 0


def test_line_breaks_and_markup_forge_no_line(workspace):
    audit.write(
        workspace,
        "bob",
        "import dataset",
        'x"}\n{"user": "ada", "action": "delete run"}\r\u2028' + "y" * 999,
        "refused",
    )
    (deed,) = audit.read(workspace)
    assert deed.user == "bob" and len(deed.object) == audit.LONGEST
    assert audit.path(workspace).read_bytes().count(b"\n") == 1


def test_many_write_at_once(workspace):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: audit.write(workspace, f"u{n}", "start run", "x" * 200, "done"), range(300)))
    assert {deed.user for deed in audit.read(workspace)} == {f"u{n}" for n in range(300)}


def test_a_torn_line_is_passed_over(workspace):
    audit.write(workspace, "bob", "start run", "a", "done")
    with open(audit.path(workspace), "a") as file:
        file.write('{"time": "2026')
    assert [deed.user for deed in audit.read(workspace)] == ["bob"]


def test_a_disk_that_takes_no_line_stops_nobody_and_the_server_s_log_has_it(workspace, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    audit.write(workspace, "bob", "stop run", "a", "done")
    assert json.loads(caplog.records[0].message.partition(": ")[2])["user"] == "bob"
