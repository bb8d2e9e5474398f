"""The queue on disk: who waits, who runs, whose turn it was, and which dispatcher is in charge.  [no torch]

SQLite in WAL mode, so that pages read while the dispatcher writes. It holds nothing that cannot be found again in the
jobs' directories: a damaged file is set aside and a new one filled from them. No decision rests on a clock; times are
for people.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from catfish_core.errors import StorageError, storage_faults
from catfish_core.jobs import census
from catfish_core.jobs.census import Entry
from catfish_core.workspace import Workspace, acquired, lock_at

BUSY = 5.0  # seconds to wait for others who write

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- who came first, whatever the clock says
        id TEXT NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL,
        priority INTEGER NOT NULL, submitted REAL NOT NULL, wants TEXT NOT NULL, devices INTEGER NOT NULL,
        slot TEXT NOT NULL DEFAULT '',  -- empty while it waits
        started REAL, trouble TEXT NOT NULL DEFAULT '',
        UNIQUE (id, attempt)
    );
    CREATE TABLE keys (key TEXT PRIMARY KEY, id TEXT NOT NULL);  -- of submissions that must not be made twice
    CREATE TABLE served (owner TEXT PRIMARY KEY, turn INTEGER NOT NULL);  -- when somebody's job was last started
    CREATE TABLE lease (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        generation INTEGER NOT NULL, beat INTEGER NOT NULL,
        host TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL, since REAL NOT NULL, heartbeat REAL NOT NULL
    );
    """,
)


class Damaged(StorageError):
    """queue.db is no database any more."""


@dataclass(frozen=True)
class Lease:
    """Who is in charge; pid 0: nobody. `generation` counts changes of hands, `beat` signs of life."""

    generation: int
    beat: int
    host: str
    pid: int
    born: str
    since: float
    heartbeat: float


class Store:
    """One open connection to the queue; every change is a transaction that begins by taking the write lock."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._db = path, connection
        self.inode = path.stat().st_ino

    def replaced(self) -> bool:
        """Whether the file is another one than was opened: it was set aside, or deleted."""
        try:
            return self.path.stat().st_ino != self.inode
        except OSError:
            return True

    def close(self) -> None:
        """Give the connection back."""
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; rolled back when something is raised inside."""
        with faults(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def _ask(self, what: str, *values: Any) -> list[tuple[Any, ...]]:
        with faults(self.path):
            return self._db.execute(what, values).fetchall()

    def _insert(self, into: str, row: Mapping[str, Any]) -> None:
        marks = ", ".join("?" * len(row))
        self._ask(f"{into} ({', '.join(row)}) VALUES ({marks})", *row.values())

    def check(self) -> None:
        """Raise Damaged where not all that is asked of the queue has an answer, or tables and indices disagree."""
        self.entries(), self.served(), self.lease(), self.keyed("")
        if (said := self._ask("PRAGMA integrity_check(1)")) != [("ok",)]:
            raise Damaged(f"{self.path.name} is damaged: {said[0][0]}.")

    def version(self) -> tuple[int, int]:
        """What changes whenever something is written, here or by others."""
        return int(self._ask("PRAGMA data_version")[0][0]), self._db.total_changes

    def entries(self) -> list[Entry]:
        """All that wait or run, those who came first before the others."""
        return [Entry(*row) for row in self._ask(f"SELECT {_columns(Entry)} FROM jobs ORDER BY seq")]

    def entry(self, id: str, attempt: int) -> Entry | None:
        """One of them."""
        found = self._ask(f"SELECT {_columns(Entry)} FROM jobs WHERE id = ? AND attempt = ?", id, attempt)
        return Entry(*found[0]) if found else None

    def enter(self, entry: Entry) -> None:
        """Let `entry` wait, or run where it has a slot; nothing changes where it is known already."""
        self._insert("INSERT OR IGNORE INTO jobs", vars(entry))

    def withdraw(self, id: str) -> None:
        """Take what waits of the job `id` out of the queue."""
        self._ask("DELETE FROM jobs WHERE id = ? AND slot = ''", id)

    def leave(self, id: str, attempt: int) -> None:
        """Forget an attempt that has ended."""
        self._ask("DELETE FROM jobs WHERE id = ? AND attempt = ?", id, attempt)

    def follow(self, entry: Entry, next: Entry) -> None:
        """Let `next`, a new attempt of the same job, wait where the interrupted `entry` stood."""
        found = self._ask("SELECT seq FROM jobs WHERE id = ? AND attempt = ?", entry.id, entry.attempt)
        self.leave(entry.id, entry.attempt)
        self._insert("INSERT OR IGNORE INTO jobs", {"seq": found[0][0] if found else None, **vars(next)})

    def take(self, entry: Entry, slot: str) -> None:
        """Give `entry` its slot, and its owner's turn to the others."""
        self._ask(
            "UPDATE jobs SET slot = ?, started = ?, trouble = '' WHERE id = ? AND attempt = ?",
            slot, time.time(), entry.id, entry.attempt,
        )  # fmt: skip
        self._ask(
            "INSERT OR REPLACE INTO served SELECT ?, COALESCE(MAX(turn), 0) + 1 FROM served",
            entry.owner,
        )

    def put_back(self, id: str, attempt: int, trouble: str) -> None:
        """Let an attempt that could not be started wait, with a sentence that says why."""
        self._ask("UPDATE jobs SET slot = '', trouble = ? WHERE id = ? AND attempt = ?", trouble, id, attempt)

    def prioritise(self, id: str, priority: int) -> None:
        """Change the priority of what waits of the job `id`."""
        self._ask("UPDATE jobs SET priority = ? WHERE id = ? AND slot = ''", priority, id)

    def served(self) -> dict[str, int]:
        """Owner → when somebody's job was last started, as a number that grows with every start."""
        return dict((str(owner), int(turn)) for owner, turn in self._ask("SELECT owner, turn FROM served"))

    def keyed(self, key: str) -> str | None:
        """The id of the job that was submitted with `key`."""
        found = self._ask("SELECT id FROM keys WHERE key = ?", key)
        return str(found[0][0]) if found else None

    def remember(self, key: str, id: str) -> None:
        """The job `id` was submitted with `key`."""
        self._ask("INSERT OR REPLACE INTO keys VALUES (?, ?)", key, id)

    def lease(self) -> Lease | None:
        """Who is in charge; None where nobody ever was."""
        found = self._ask(f"SELECT {_columns(Lease)} FROM lease")
        return Lease(*found[0]) if found else None

    def hold(self, lease: Lease) -> None:
        """Put `lease` in the place of the one there is."""
        self._insert("INSERT OR REPLACE INTO lease", {"one": 1, **vars(lease)})


def _columns(kind: type[Entry] | type[Lease]) -> str:
    return ", ".join(field.name for field in fields(kind))


T = TypeVar("T")


def use(workspace: Workspace, work: Callable[[Store], T]) -> T:
    """What `work` makes of the queue; a damaged one is set aside and built anew first.

    Raises StorageError where another program holds it too long, or the disk refuses.
    """
    try:
        with closing(opened(workspace)) as store:
            return work(store)
    except Damaged:
        heal(workspace)
        with closing(opened(workspace)) as store:
            return work(store)


def path_in(workspace: Workspace) -> Path:
    """Where the queue of `workspace` lies."""
    return workspace.root / "queue.db"


def opened(workspace: Workspace) -> Store:
    """The queue of `workspace`, made where there is none; raises StorageError, Damaged among them."""
    path = path_in(workspace)
    if not path.exists():
        _make(workspace)
    store = _connected(path)
    try:
        version = int(store._ask("PRAGMA user_version")[0][0])
        if not version:  # a queue has its tables before it gets its name
            raise Damaged(f"{path.name} is damaged: it is empty.")
        if version < len(MIGRATIONS):
            _migrate(store)
        elif version > len(MIGRATIONS):
            raise StorageError("This queue was made by a newer CatFish.", f"Use that one, or delete {path}.")
    except BaseException:
        store.close()
        raise
    return store


def _connected(path: Path) -> Store:
    with faults(path):  # mode=rw: one that was set aside at this very moment does not come back empty
        address = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            return Store(path, connection)
        except BaseException:
            connection.close()
            raise


def _migrate(store: Store) -> None:
    """Bring the tables up to date; who comes second finds it done."""
    store._ask("PRAGMA journal_mode = WAL")
    with store.writing():
        version = int(store._ask("PRAGMA user_version")[0][0])
        for step in MIGRATIONS[version:]:
            for statement in step.split(";"):
                store._ask(statement)
        store._ask(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _make(workspace: Workspace) -> None:
    """A new queue, filled from the directories before it takes its place; nothing where there is one already."""
    with _alone(workspace):
        if not path_in(workspace).exists():
            _build(workspace)


def heal(workspace: Workspace) -> None:
    """Set a damaged queue aside, under its name and the time, and build a new one from the directories."""
    path = path_in(workspace)
    with _alone(workspace):
        if _sound(path):
            return  # somebody was quicker
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for file in _files(path):
            with storage_faults(path), suppress(FileNotFoundError):
                os.replace(file, file.with_name(f"{file.name}.damaged-{stamp}"))
        _build(workspace)


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Nobody else makes or sets aside the queue meanwhile."""
    lock = lock_at(workspace.root, "queue.lock")
    if not acquired(lock, BUSY):
        raise _busy(path_in(workspace))
    try:
        yield
    finally:
        lock.release()


def _build(workspace: Workspace) -> None:
    path = path_in(workspace)
    draft = path.with_name(".queue.db.new")
    with storage_faults(path):
        for old in _files(draft):
            old.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL, 0o600))
    with closing(_connected(draft)) as store:
        _migrate(store)
        with store.writing():
            for entry, _ in census.found(workspace):
                store.enter(entry)
            for key, id in census.keys(workspace):
                store.remember(key, id)
    # closing put all of it into the one file, which is then moved
    with storage_faults(path):
        for old in _files(path):  # left of one that somebody deleted
            old.unlink(missing_ok=True)
        os.replace(draft, path)


def _sound(path: Path) -> bool:
    """Whether all that is asked of the queue has an answer."""
    try:
        with closing(_connected(path)) as store:
            store.check()
            return True
    except Damaged:
        return False


def _files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def _busy(path: Path) -> StorageError:
    return StorageError(
        f"The queue is busy: another program has held {path.name} for {BUSY:g} seconds.",
        "Try again in a moment; if it stays so, close what has the file open.",
    )


def _no_space(path: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < 2**16
    return False


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn what SQLite says of `path` into a sentence."""
    try:
        yield
    except sqlite3.OperationalError as error:
        said = str(error)
        if "locked" in said or "busy" in said:
            raise _busy(path) from error
        if "full" in said or ("I/O" in said and _no_space(path)):  # the second of the file it shares memory by
            what = f"The disk is full: {path.name} could not be written."
            raise StorageError(what, "Free some space (the Runs page can delete old runs) and try again.") from error
        away = "unable to open" in said and not path.exists()  # somebody set it aside at this very moment
        if away or "no such" in said or "malformed" in said:  # a table, a column: not our file
            raise Damaged(f"{path.name} is damaged: {said}.") from error
        raise StorageError(
            f"The queue cannot be used: {said}.", f"See that {path} can be read and written by CatFish."
        ) from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path.name} is damaged: {error}.") from error
