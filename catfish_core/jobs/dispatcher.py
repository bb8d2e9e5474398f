"""`python -m catfish_core.jobs.dispatcher WORKSPACE`: starts what waits, watches what runs.  [no torch]

One a workspace: whoever holds the lease is in charge. Every start is one transaction that looks at the lease and
takes the slot; a dispatcher that has lost its lease starts nothing more. What runs does not depend on it: a successor
finds it by its directory. It ends itself when there was nothing to do for ten minutes, and the next page or
submission starts one.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from catfish_core.errors import CatfishError, RunError
from catfish_core.jobs import census, devices, directory, queue, shim, store, turns
from catfish_core.jobs.census import Entry
from catfish_core.jobs.directory import ACTIVE
from catfish_core.jobs.launcher import Launcher, LocalLauncher, Spec
from catfish_core.jobs.store import Lease, Store
from catfish_core.jobs.turns import Room
from catfish_core.workspace import Workspace

POLL = 0.1  # seconds between two rounds
BEAT = 1.0  # seconds between two signs of life
CENSUS = 15.0  # seconds between two looks at the directories for what the queue does not know
IDLE = 600.0  # seconds with nothing to do after which it ends
BACKOFF = 10.0  # seconds until what could not be started is tried again
UNCLAIMED = 10.0  # seconds a shim may take to its claim before another is sent
REPEAT = 600.0  # seconds after which a trouble that stays is said again in the log
FRESH = 30.0  # seconds in which a job that was just started has not yet taken the memory it will take
OVERDUE = 12.0  # seconds after a wish or a last event until a shim that did not act is ended with all it started


@dataclass
class Watched:
    """What this process remembers of an attempt that runs, by its own clock."""

    since: float  # when it was started, or found
    looked_at: float = float("-inf")  # when it was last asked whether it should have ended
    overdue: float | None = None  # when it was first seen that it should have


class Dispatcher:
    """Looks at the queue round by round; `clock` is one that nobody sets, in seconds."""

    def __init__(
        self, workspace: Workspace, launcher: Launcher, clock: Callable[[], float] = time.monotonic, pid: int = 0
    ) -> None:
        self.workspace, self.launcher, self.clock = workspace, launcher, clock
        self.pid = pid or os.getpid()
        self.lease: Lease | None = None
        self.watched: dict[tuple[str, int], Watched] = {}
        self.refused: dict[tuple[str, int], float] = {}
        self.beat_at = self.census_at = float("-inf")
        self.busy_at = clock()
        self._store: Store | None = None
        self._read: tuple[object, list[Entry]] = (None, [])
        self._rival: Lease | None = None
        self._complained: dict[str, float] = {}

    @property
    def store(self) -> Store:
        """The queue, opened again where it was replaced or damaged."""
        if self._store is not None and self._store.replaced():
            self.close()
        if self._store is None:
            try:
                self._store = store.opened(self.workspace)
                self._store.check()  # a few milliseconds, once: a power cut may have left what looks well at first
            except store.Damaged as error:
                self.complain(str(error))
                self.close()
                store.heal(self.workspace)
                self._store = store.opened(self.workspace)
        return self._store

    def entries(self) -> list[Entry]:
        """All that waits or runs; read anew when something has changed."""
        db = self.store
        version = db.version()
        if version != self._read[0]:
            self._read = (version, db.entries())
        return self._read[1]

    def close(self) -> None:
        """Let go of the queue's file."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self._read = (None, [])
        self.census_at = float("-inf")  # the next one may be another, or older than the directories

    def complain(self, what: str) -> None:
        """Into the log, unless it stands there from the last few minutes."""
        now = self.clock()
        self._complained = {said: at for said, at in self._complained.items() if now - at < REPEAT}
        if what not in self._complained:
            self._complained[what] = now
            print(time.strftime("%Y-%m-%d %H:%M:%S"), what, file=sys.stderr)

    # -- the lease

    def stand(self) -> bool | None:
        """Take the lease where nobody lives who has it; None while that cannot be said yet.

        Raises Deposed where whoever has it gives a sign of life.
        """
        if self.take_charge():
            return True
        held = self.store.lease()
        self._rival = self._rival or held
        if held != self._rival:
            raise Deposed
        return None

    def take_charge(self) -> bool:
        """Take the lease where nobody lives who has it."""
        db = self.store
        last = db.lease()
        if last is not None and last.pid and queue.holds(self.workspace.root, last):
            return False
        now = time.time()
        mine = Lease(
            generation=(last.generation if last else 0) + 1,
            beat=0, host=platform.node(), pid=self.pid, born=shim.born(self.pid) or "", since=now, heartbeat=now,
        )  # fmt: skip
        with db.writing():
            if db.lease() != last:
                return False
            db.hold(mine)
        self.lease, self.beat_at = mine, self.clock()
        return True

    def in_charge(self) -> bool:
        """Whether the lease is still this dispatcher's; asked inside the transaction of whatever depends on it."""
        held = self.store.lease()
        return self.lease is not None and held is not None and (held.generation, held.pid) == (
            self.lease.generation, self.lease.pid
        )  # fmt: skip

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction of whoever is in charge; raises Deposed where that is another."""
        with self.store.writing():
            if self.lease is not None and self.store.lease() is None:  # the queue was built anew under us
                self.store.hold(self.lease)
            if not self.in_charge():
                raise Deposed
            yield

    def _beat(self) -> bool:
        """Give a sign of life; False where somebody else is in charge by now."""
        assert self.lease is not None
        if self.clock() - self.beat_at < BEAT and not self.store.replaced():
            return True
        with self.store.writing():
            held = self.store.lease()
            if held is not None and not self.in_charge():
                return False
            self.lease = replace(self.lease, beat=self.lease.beat + 1, heartbeat=time.time())
            self.store.hold(self.lease)  # into a new file too, where the old one was set aside
        self.beat_at = self.clock()
        return True

    def resign(self) -> bool:
        """Give the lease back unless there is something to do after all."""
        with self.store.writing():
            if self.store.entries() or not self.in_charge():
                return False
            assert self.lease is not None
            self.store.hold(replace(self.lease, pid=0))
        return True

    # -- a round

    def step(self) -> bool:
        """One round; False when this dispatcher has nothing more to do here."""
        if not self._beat():
            return False
        if self.clock() - self.census_at >= CENSUS:
            self._take_census()
        entries = self.entries()
        if entries:
            self.busy_at = self.clock()
        elif self.clock() - self.busy_at >= IDLE:
            return not self.resign()
        self._watch([entry for entry in entries if entry.slot])
        self._start()
        return True

    def _take_census(self) -> None:
        """Enter what waits or runs according to its directory and is not known here; forget what waits no more."""
        self.census_at = self.clock()
        entries = self.entries()
        known = {(entry.id, entry.attempt): entry for entry in entries}
        for entry, key in census.found(self.workspace):
            listed = known.get((entry.id, entry.attempt))
            if listed is None:
                with self._writing():
                    self.store.enter(entry)
                    if key:
                        self.store.remember(key, entry.id)
            elif entry.slot and not listed.slot:  # the queue is older than the directory: a power cut, a backup
                with self._writing():
                    self.store.follow(listed, entry)
        for entry in entries:
            if not entry.slot and self._status(entry) not in (*ACTIVE, None):  # deleted, or cancelled on a full disk
                with self._writing():
                    self.store.leave(entry.id, entry.attempt)

    # -- what runs

    def _watch(self, running: list[Entry]) -> None:
        keys = {self._attempt(entry): entry for entry in running}
        for key, state in self.launcher.poll([os.fspath(attempt) for attempt in keys]).items():
            entry = keys[Path(key)]
            watched = self.watched.get((entry.id, entry.attempt))
            if watched is None:  # another dispatcher gave it its slot, and may have died before it sent a shim
                watched = self.watched[entry.id, entry.attempt] = Watched(self.clock() - UNCLAIMED)
            if state == "running":
                self._insist(entry, watched)
            elif state == "starting":
                self._send_again(entry, watched)
            else:
                self._settle(entry, state == "ended")

    def _attempt(self, entry: Entry) -> Path:
        return entry.job(self.workspace).path / "attempts" / str(entry.attempt)

    def _insist(self, entry: Entry, watched: Watched) -> None:
        """End what should have ended by itself: its shim would have seen to that, if it were well."""
        now = self.clock()
        if now - watched.looked_at < BEAT:
            return
        watched.looked_at = now
        if self._status(entry) in ("running", None):
            watched.overdue = None
        elif watched.overdue is None:
            watched.overdue = now
        elif now - watched.overdue >= OVERDUE:
            self.launcher.kill(os.fspath(self._attempt(entry)))

    def _send_again(self, entry: Entry, watched: Watched) -> None:
        """A slot was given, but nobody claimed the attempt: who gave it died before, or the shim did."""
        if self.clock() - watched.since < UNCLAIMED:
            return
        watched.since = self.clock()
        shim.disclaim(self._attempt(entry))
        self._launch(entry)

    def _status(self, entry: Entry) -> directory.Status | None:
        """How the job of `entry` stands; None where it cannot be read, which must not hold up the others."""
        job = entry.job(self.workspace)
        try:
            return directory.status(job)
        except OSError as error:
            self.complain(f"{job.id} cannot be read: {error}")
            return None

    def _settle(self, entry: Entry, said: bool) -> None:
        """An attempt has ended: see off what is left of it, free its place, and go on with it where that is due."""
        job, attempt = entry.job(self.workspace), self._attempt(entry)
        if not said:
            if self.launcher.kill(os.fspath(attempt)):
                return  # gone in a moment: on a busy machine even a killed process has to wait for its turn to die
            if not (attempt / "claim").exists() and attempt.is_dir():
                return self._refuse(entry, self._last_words(attempt))
            if job.working():
                return  # somebody is at it without us
        self.watched.pop((entry.id, entry.attempt), None)
        again = None
        if job.attempt == attempt and self._status(entry) == "queued":
            again = directory.retry(job)
        if again is not None:
            try:
                directory.attempt_again(job, entry.priority, again)
            except RunError:  # somebody pressed the button at this very moment
                pass
            except CatfishError as error:  # the disk: others have its place, and the next census finds it again
                self.complain(str(error))
                again = None
        with self._writing():
            if again is None:
                self.store.leave(entry.id, entry.attempt)
            else:
                self.store.follow(entry, census.entry(job))

    def _last_words(self, attempt: Path) -> str:
        said = self.launcher.logs(os.fspath(attempt), 0, 4096)[0].decode(errors="replace").strip().splitlines()
        return f"It could not be started: {said[-1][:200]}" if said else "It could not be started."

    # -- what waits

    def _start(self) -> None:
        """Start what there is room for, in fair order."""
        while True:
            entries = self.entries()
            running = [entry for entry in entries if entry.slot]
            waiting = [entry for entry in entries if not entry.slot and self._ready(entry, running)]
            if not waiting:
                return
            there = self._room(running)
            if not any(device.free for device in there.devices):
                return
            for entry in turns.order(waiting, running, self.store.served()):
                slot, _ = turns.place(entry, running, there)
                if slot:
                    break
            else:
                return
            self._give(entry, slot)

    def _ready(self, entry: Entry, running: list[Entry]) -> bool:
        """Whether `entry` may start: not refused a moment ago, and its last attempt is over."""
        refused = self.refused.get((entry.id, entry.attempt))
        recently = refused is not None and self.clock() - refused < BACKOFF
        return not recently and all(other.id != entry.id for other in running)

    def _room(self, running: list[Entry]) -> Room:
        """What there is to share, less the memory that those just started will take."""
        there = queue.room(self.workspace, running)
        fresh = sum(self.clock() - watched.since < FRESH for watched in self.watched.values())
        return replace(there, memory=there.memory - fresh * turns.MEMORY)

    def _give(self, entry: Entry, slot: str) -> None:
        """Take the slot and start `entry`; nothing where it waits no more, or another dispatcher is in charge.

        The directory is asked once more: the queue may be older than it, after a power cut or a repair. What runs
        already is seen off or watched in the slot it has.
        """
        job = entry.job(self.workspace)
        seen = census.looked_at(job) if self._status(entry) in ACTIVE else None
        with self._writing():
            now = self.store.entry(entry.id, entry.attempt)
            if seen is None or seen.attempt != entry.attempt:
                self.store.leave(entry.id, entry.attempt)
                return
            if now is None or now.slot:
                return
            if seen.slot:
                self.store.follow(entry, seen)
                return
            self.store.take(entry, slot)
        self.watched[entry.id, entry.attempt] = Watched(self.clock())
        self._launch(replace(entry, slot=slot))

    def _launch(self, entry: Entry) -> None:
        places = next(d.slots for d in queue.room(self.workspace, []).devices if d.name == devices.CPU)
        spread = entry.devices if entry.slot == devices.CPU else 1
        extra = devices.environment(entry.slot, max(1, places), spread)
        command = (sys.executable, "-m", "catfish_core.jobs.worker", os.fspath(entry.job(self.workspace).path))
        there = {"CATFISH_HOME": os.fspath(self.workspace.root), shim.SLOT: entry.slot}
        try:
            self.launcher.submit(Spec(self._attempt(entry), command, {**extra, **there}))
        except (CatfishError, OSError) as error:  # the disk, or no more processes
            self._refuse(entry, str(error))

    def _refuse(self, entry: Entry, trouble: str) -> None:
        """Let what could not be started wait, and say why."""
        self.watched.pop((entry.id, entry.attempt), None)
        self.refused[entry.id, entry.attempt] = self.clock()
        with self._writing():
            self.store.put_back(entry.id, entry.attempt, trouble)


class Deposed(Exception):
    """Another dispatcher is in charge."""


def main(arguments: list[str]) -> int:
    """Be the dispatcher of the workspace given, unless there is one."""
    workspace = Workspace(Path(arguments[0]).resolve())
    dispatcher = Dispatcher(workspace, LocalLauncher())
    with suppress(Deposed):
        _until_said(dispatcher, dispatcher.stand)
        _until_said(dispatcher, lambda: None if dispatcher.step() else True)
    dispatcher.close()
    return 0


def _until_said(dispatcher: Dispatcher, work: Callable[[], bool | None]) -> None:
    """Do `work` until it says something; a fault of the disk or of a directory is logged, and the next try comes."""
    while True:
        try:
            try:
                if work() is not None:
                    return
            except store.Damaged as error:
                print(error, file=sys.stderr)
                dispatcher.close()
                store.heal(dispatcher.workspace)
            time.sleep(POLL)
        except Deposed:
            raise
        except CatfishError as error:
            dispatcher.complain(str(error))
            time.sleep(BEAT)
        except Exception:  # the outermost edge: whatever it was, what waits must not wait for good
            traceback.print_exc()
            dispatcher.close()
            time.sleep(BEAT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
