"""The queue's file: made whole, brought up to date, shared by many, waited for, healed."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from catfish_core.errors import StorageError
from catfish_core.jobs import queue, store
from catfish_core.jobs.census import Entry
from catfish_core.jobs.store import Damaged, Lease

from .conftest import CONFIG

ENTRY = Entry(id="20260101-000000-a-1", kind="run", attempt=1, owner="a", priority=2, submitted=1.5, wants="cpu")
LEASE = Lease(generation=3, beat=7, host="here", pid=5, born="once", since=1.0, heartbeat=2.0)


@contextmanager
def open_queue(workspace):
    with closing(store.opened(workspace)) as db:
        yield db


def enter(workspace, *entries):
    with open_queue(workspace) as db, db.writing():
        for entry in entries:
            db.enter(entry)


def ids(workspace):
    return store.use(workspace, lambda db: [entry.id for entry in db.entries()])


def set_aside(workspace):
    return sorted(path.name for path in workspace.root.glob("queue.db*.damaged-*"))


def plain(workspace, *statements):
    """What sqlite3 alone says of the file."""
    with closing(sqlite3.connect(store.path_in(workspace), isolation_level=None)) as db:
        return [db.execute(statement).fetchall() for statement in statements]


# -- made, and brought up to date


def test_a_new_queue_is_whole_before_it_has_its_name(workspace):
    with open_queue(workspace) as db:
        assert db.entries() == [] and db.lease() is None
        ((mode,),), ((version,),) = plain(workspace, "PRAGMA journal_mode", "PRAGMA user_version")
        assert (mode, version) == ("wal", len(store.MIGRATIONS))
    assert sorted(path.name for path in workspace.root.iterdir()) == ["queue.db", "queue.lock"]
    assert store.path_in(workspace).stat().st_mode & 0o777 == 0o600


def test_what_is_written_is_read(workspace):
    with open_queue(workspace) as db:
        with db.writing():
            db.enter(ENTRY), db.remember("k", ENTRY.id), db.hold(LEASE)
        assert db.entries() == [ENTRY] and db.entry(ENTRY.id, 1) == ENTRY and db.entry(ENTRY.id, 2) is None
        assert (db.keyed("k"), db.keyed("other"), db.lease()) == (ENTRY.id, None, LEASE)
        with db.writing():
            db.enter(replace(ENTRY, priority=9))  # known already
            db.take(ENTRY, "cpu")
        (running,) = db.entries()
        assert running.slot == "cpu" and running.priority == 2 and db.served() == {"a": 1}
        with db.writing():
            db.withdraw(ENTRY.id), db.prioritise(ENTRY.id, 5)  # what runs is not touched
            db.put_back(ENTRY.id, 1, "No.")
        assert db.entries() == [replace(running, slot="", trouble="No.")]
        with db.writing():
            db.prioritise(ENTRY.id, 5)
        assert db.entries()[0].priority == 5
        with db.writing():
            db.withdraw(ENTRY.id)
        assert db.entries() == []


def test_nothing_of_a_transaction_stays_when_something_is_raised_in_it(workspace):
    with open_queue(workspace) as db:
        with pytest.raises(KeyboardInterrupt), db.writing():
            db.enter(ENTRY)
            raise KeyboardInterrupt
        assert db.entries() == []
        with db.writing():
            db.enter(ENTRY)
        assert db.entries() == [ENTRY]


@pytest.fixture
def next_version(workspace, monkeypatch):
    """A queue of this version with one entry; from now on there is a newer one."""
    enter(workspace, ENTRY)
    steps = "ALTER TABLE keys ADD COLUMN note TEXT NOT NULL DEFAULT ''; CREATE TABLE more (x)"
    monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, steps))


def test_an_older_queue_is_brought_up_to_date_with_all_that_is_in_it(workspace, next_version):
    assert ids(workspace) == [ENTRY.id]
    assert plain(workspace, "PRAGMA user_version", "SELECT * FROM more") == [[(2,)], []]
    assert "note" in [column[1] for column in plain(workspace, "PRAGMA table_info(keys)")[0]]


def test_several_at_once_bring_it_up_to_date_once(workspace, next_version):
    assert at_once([lambda: ids(workspace)] * 8) == [[ENTRY.id]] * 8  # a second time would be an error
    assert plain(workspace, "PRAGMA user_version") == [[(2,)]]


def test_a_step_that_fails_leaves_the_queue_as_it_was(workspace, next_version, monkeypatch):
    monkeypatch.setattr(store, "MIGRATIONS", (store.MIGRATIONS[0], "CREATE TABLE more (x); CREATE TABLE more (y)"))
    with pytest.raises(StorageError):
        store.opened(workspace)
    assert plain(workspace, "PRAGMA user_version", "SELECT name FROM sqlite_master WHERE name = 'more'") == [
        [(1,)],
        [],
    ]
    assert plain(workspace, "SELECT id FROM jobs") == [[(ENTRY.id,)]]


def test_a_newer_queue_is_left_alone_with_a_sentence(workspace):
    enter(workspace, ENTRY)
    plain(workspace, "PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="made by a newer CatFish") as error:
        store.use(workspace, lambda db: db.entries())
    assert not isinstance(error.value, Damaged) and "queue.db" in error.value.hint
    assert plain(workspace, "SELECT id FROM jobs") == [[(ENTRY.id,)]] and set_aside(workspace) == []


# -- shared


def at_once(works):
    """What each of `works` says, done in a thread of its own at the same moment."""
    said, gate = [None] * len(works), threading.Barrier(len(works))

    def do(number):
        gate.wait()
        try:
            said[number] = works[number]()
        except Exception as error:
            said[number] = error

    threads = [threading.Thread(target=do, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_many_who_make_the_queue_at_once_make_one(workspace):
    def first(number):
        enter(workspace, replace(ENTRY, id=f"{number}"))

    assert at_once([lambda n=n: first(n) for n in range(12)]) == [None] * 12
    assert sorted(ids(workspace), key=int) == [str(n) for n in range(12)]


def test_what_one_writes_no_other_overwrites(workspace):
    """Each looks and then writes; without the lock taken first, two would see the same number."""

    def serve():
        with open_queue(workspace) as db:
            for _ in range(25):
                with db.writing():
                    turn = db.served().get("a", 0)
                    db.take(ENTRY, "cpu")
                    assert db.served()["a"] == turn + 1

    assert at_once([serve] * 4) == [None] * 4
    assert store.use(workspace, lambda db: db.served()) == {"a": 100}


def test_one_who_waits_is_told_of_what_another_wrote(workspace):
    with open_queue(workspace) as db:
        before = db.version()
        assert db.version() == before
        enter(workspace, ENTRY)
        assert db.version() != before


@pytest.fixture
def held(workspace):
    """held("EXCLUSIVE"): another process that holds the queue; ends, and with it the lock, at held.end()."""
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN ' + sys.argv[2]); print('held', flush=True); sys.stdin.read()"
    )
    begun = []

    def hold(how):
        enter(workspace, ENTRY)
        command = [sys.executable, "-c", program, os.fspath(store.path_in(workspace)), how]
        begun.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert begun[0].stdout.readline() == b"held\n"

    def end():
        while begun:
            begun.pop().communicate()

    hold.end = end
    yield hold
    end()


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_one_that_another_program_holds_is_waited_for_and_then_said(workspace, held, monkeypatch, how):
    monkeypatch.setattr(store, "BUSY", 0.2)
    held(how)
    began = time.monotonic()
    with pytest.raises(StorageError, match="another program has held queue.db for 0.2 seconds") as error:
        enter(workspace, replace(ENTRY, id="2"))
    assert time.monotonic() - began > 0.2 and "Try again" in error.value.hint
    assert not isinstance(error.value, Damaged)
    assert ids(workspace) == [ENTRY.id]  # who only reads does not wait
    held.end()
    enter(workspace, replace(ENTRY, id="2"))
    assert ids(workspace) == [ENTRY.id, "2"]


def test_one_that_is_given_back_in_time_costs_nobody_anything(workspace, held):
    held("EXCLUSIVE")
    waiting = threading.Timer(0.3, held.end)
    waiting.start()
    enter(workspace, replace(ENTRY, id="2"))
    waiting.join()
    assert ids(workspace) == [ENTRY.id, "2"]


# -- damaged, or another one


def overwritten(path):
    path.write_bytes(b"\0garbage" * 4096)


def torn(path):
    os.truncate(path, path.stat().st_size // 2)


def emptied(path):
    os.truncate(path, 0)


def scribbled(path):
    with open(path, "rb+") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def foreign(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE photos (x)")
        db.execute("PRAGMA user_version = 1")


def tableless(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE lease")


@pytest.mark.parametrize("harm", [overwritten, torn, emptied, scribbled, foreign, tableless])
def test_a_damaged_queue_is_set_aside_and_built_from_the_directories(lab, harm):
    """What waits, in which order; what runs, and where; and what was submitted with which key."""
    runs = [
        lab.submit(owner, priority, key=f"k{owner}") for owner, priority in zip("abcde", [0, 0, 3, 0, 1], strict=True)
    ]
    lab.round()
    before = queue.overview(lab.workspace)
    lab.dispatcher.close()
    harm(store.path_in(lab.workspace))
    ask = {tableless: lambda db: (db.lease(), db.entries())}.get(harm, lambda db: db.entries())
    store.use(lab.workspace, ask)
    after = queue.overview(lab.workspace)
    assert [entry.id for entry in after.waiting] == [entry.id for entry in before.waiting]
    assert [(entry.id, entry.slot) for entry in after.running] == [(entry.id, "cpu") for entry in before.running]
    assert set_aside(lab.workspace)[0].startswith("queue.db")
    assert lab.submit("a", key="ka") == runs[0]
    lab.round(2.0)
    lab.launcher.end(lab.launcher.starts[0])
    lab.round()
    assert len(lab.started) == 2 and len(set(lab.started)) == 2


def test_a_torn_log_of_changes_loses_nothing_for_good(lab):
    runs = [lab.submit(owner) for owner in "abc"]
    with open_queue(lab.workspace):  # so that the log is not cleared away
        log = store.path_in(lab.workspace).with_name("queue.db-wal")
        lab.round()
        assert log.stat().st_size > 0
        kept = log.read_bytes()
    lab.dispatcher.close()
    log.write_bytes(kept[: len(kept) // 2] + os.urandom(500))
    lab.round(30.0)
    overview = queue.overview(lab.workspace)
    assert {entry.id for entry in [*overview.running, *overview.waiting]} == {run.id for run in runs}
    assert lab.started == lab.running == [runs[0].id]


def test_a_table_without_its_row_is_noticed_by_the_dispatcher(lab, capsys):
    """Nobody who only reads would see it; and what is missing could never be entered again."""
    runs = [lab.submit(owner) for owner in "ab"]
    lab.dispatcher.close()
    with closing(sqlite3.connect(store.path_in(lab.workspace), isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        ((sql,),) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'jobs'").fetchall()
        db.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = 'jobs'", [sql.replace("UNIQUE (id, attempt)", "CHECK (1)")]
        )
        db.execute("DELETE FROM sqlite_master WHERE tbl_name = 'jobs' AND type = 'index'")
    with closing(sqlite3.connect(store.path_in(lab.workspace), isolation_level=None)) as db:
        db.execute("DELETE FROM jobs WHERE owner = 'b'")
    lab.round(30.0)
    assert lab.running == [runs[0].id] and lab.waiting == [runs[1].id]
    assert set_aside(lab.workspace) and "damaged" in capsys.readouterr().err


def test_many_who_find_it_damaged_heal_it_once(lab):
    runs = [lab.submit(owner) for owner in "ab"]
    lab.dispatcher.close()
    overwritten(store.path_in(lab.workspace))
    said = at_once([lambda: ids(lab.workspace)] * 10)
    assert said == [[run.id for run in runs]] * 10
    assert len([name for name in set_aside(lab.workspace) if name.startswith("queue.db.damaged")]) == 1


def test_a_sound_queue_is_not_set_aside(workspace):
    enter(workspace, ENTRY)
    store.heal(workspace)
    assert ids(workspace) == [ENTRY.id] and set_aside(workspace) == []


def test_one_that_another_sets_aside_at_this_moment_does_not_come_back_empty(workspace, monkeypatch):
    monkeypatch.setattr(store, "_make", lambda workspace: workspace.root.mkdir(parents=True))
    with pytest.raises(Damaged):
        store.opened(workspace)
    assert not store.path_in(workspace).exists()


def test_a_queue_that_was_deleted_is_built_again(lab):
    runs = [lab.submit(owner) for owner in "ab"]
    with open_queue(lab.workspace) as db:
        assert not db.replaced()
        store.path_in(lab.workspace).unlink()
        assert db.replaced()
        assert ids(lab.workspace) == [run.id for run in runs]
        assert db.replaced()


def test_what_was_left_of_a_half_made_one_is_no_hindrance(workspace):
    workspace.root.mkdir(parents=True)
    for name in (".queue.db.new", ".queue.db.new-wal", "queue.db-wal"):
        (workspace.root / name).write_bytes(b"rubbish")
    enter(workspace, ENTRY)
    assert ids(workspace) == [ENTRY.id]


def test_a_workspace_that_cannot_be_is_said(tmp_path, workspace):
    (tmp_path / "home").write_text("a file where the workspace should be")
    with pytest.raises((StorageError, FileExistsError, NotADirectoryError)) as error:
        queue.submit(workspace, CONFIG)
    assert isinstance(error.value, StorageError), repr(error.value)
