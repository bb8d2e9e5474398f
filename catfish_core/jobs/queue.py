"""The queue, for pages and the command line: submit, pause, stop, go on, and what a person is told.  [no torch]

A job is written down whole in its directory before the queue hears of it, and everything about it stays there; the
queue (`store`) says who waits and who has which place, and the dispatcher, a process of its own, starts what can be
started.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from catfish_core import sweeps
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.errors import CatfishError, ConfigError, RunError, StorageError, storage_faults
from catfish_core.jobs import census, directory, shim, store, turns
from catfish_core.jobs.census import Entry
from catfish_core.jobs.devices import Device, devices
from catfish_core.jobs.directory import ACTIVE, J, Job
from catfish_core.jobs.store import Lease, Store
from catfish_core.jobs.turns import Room
from catfish_core.lab import settings as lab
from catfish_core.lab.settings import Settings
from catfish_core.process import spawn
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace, write_text

TTL = 10.0  # seconds a dispatcher may be silent before another takes its place
PATIENCE = 2.0  # seconds to wait for a dispatcher that was just started before starting one more
_heard: dict[Path, tuple[Lease, float]] = {}  # the last new sign of life, and when it was heard here
_begun: dict[Path, float] = {}  # when a dispatcher was last started from here


@dataclass(frozen=True)
class Standing:
    """Where a waiting job is: `position` from 1 `of` so many, the ids `ahead` of it, and why it does not start."""

    position: int
    of: int
    ahead: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Overview:
    """The whole queue: what runs, what waits in the order in which it will start, and what there is to run it."""

    running: list[Entry]
    waiting: list[Entry]
    devices: list[Device]


@dataclass(frozen=True)
class Health:
    """Whether a dispatcher is at work, which process it is, since when, and when it last gave a sign of life."""

    alive: bool
    pid: int | None
    since: float | None
    heartbeat: float | None
    words: str


def submit(workspace: Workspace, config: RunConfig, owner: str = "", priority: int = 0, *, key: str = "") -> Run:
    """A new run with `config` that waits for its turn.

    With a `key`, the same run for the same key however often it is submitted. Raises RunError where its owner has as
    many waiting as one person may, StorageError where it cannot be written down.
    """
    return _entered(workspace, directory.create(Run, _drafts(workspace.runs), config, owner), priority, key)


def submit_sweep(workspace: Workspace, config: RunConfig, settings: SweepConfig, owner: str = "") -> Sweep:
    """A new sweep over the rates for `config` that waits for its turn; raises as `submit` does."""
    draft = sweeps.create_in(_drafts(workspace.sweeps), config, settings, owner)
    return _entered(workspace, draft, 0, "")


def again(workspace: Workspace, job: Job, first: Callable[[], object] = lambda: None) -> None:
    """A new attempt that waits for its turn: it resumes, retries, goes on. Raises RunError while one is under way.

    `first` is done once the queue has nothing against it.
    """
    made: list[Entry] = []

    def enter(db: Store) -> None:
        with db.writing():
            if not made:  # else it was written down before the queue turned out to be damaged
                if directory.status(job) in ACTIVE:
                    what = f"This {job.noun} is waiting or {job.doing} already."
                    raise RunError(what, "Its page shows how far it is.")
                _check_limit(workspace, job.owner(), db)
                first()
                directory.attempt_again(job)
                made.append(census.entry(job))
            db.enter(made[0])

    store.use(workspace, enter)
    _wake(workspace)


def pause(workspace: Workspace, job: Job) -> None:
    """Let it rest: what runs writes everything down and frees its place, what waits leaves the queue."""
    _withdraw(workspace, job, "pause")


def stop(workspace: Workspace, job: Job) -> None:
    """End it: what runs keeps its best weights, what waits is cancelled."""
    _withdraw(workspace, job, "stop")


def prioritise(workspace: Workspace, job: Job, priority: int) -> None:
    """Let a waiting job go before those of lower priority, or after those of higher."""
    facts = directory.told(job.attempt / "submitted.json")
    if facts:
        write_text(job.attempt / "submitted.json", json.dumps({**facts, "priority": priority}) + "\n")

    def change(db: Store) -> None:
        with db.writing():
            db.prioritise(job.id, priority)

    store.use(workspace, change)


def standing(workspace: Workspace, job: Job) -> Standing | None:
    """Where `job` is in the queue, and why it does not start; None when it does not wait."""
    if directory.status(job) != "queued":
        return None
    entries, served = store.use(workspace, lambda db: (db.entries(), db.served()))
    running = [entry for entry in entries if entry.slot]
    waiting = turns.order([entry for entry in entries if not entry.slot], running, served)
    ids = [entry.id for entry in waiting]
    if job.id not in ids:
        return Standing(1, len(ids) + 1, (), _asleep(workspace) or "It starts in a moment.")
    place = ids.index(job.id)
    reason = _asleep(workspace) or _reason(waiting[place], running, room(workspace, running), bool(place))
    return Standing(place + 1, len(ids), tuple(ids[:place]), reason)


def overview(workspace: Workspace) -> Overview:
    """What runs, what waits and what there is to run it."""
    entries, served = store.use(workspace, lambda db: (db.entries(), db.served()))
    running = [entry for entry in entries if entry.slot]
    waiting = turns.order([entry for entry in entries if not entry.slot], running, served)
    return Overview(running, waiting, list(devices(_settings(workspace).slots, [entry.slot for entry in running])))


def ensure_dispatcher(workspace: Workspace) -> None:
    """Start the dispatcher where none is at work; costs about a millisecond where one is. Raises StorageError."""
    root, now = workspace.root, time.monotonic()
    if health(workspace).alive or now - _begun.get(root, -PATIENCE) < PATIENCE:
        return
    _begun[root] = now
    spawn("catfish_core.jobs.dispatcher", os.fspath(root), log=root / "dispatcher.log")


def keep_going(workspace: Workspace) -> None:
    """Start the dispatcher where none is at work although there is something to do: after a reboot, or its death."""
    if store.use(workspace, lambda db: db.entries()):
        ensure_dispatcher(workspace)


def _wake(workspace: Workspace) -> None:
    """See that somebody starts what was just entered; where that fails now, the app tries again."""
    with suppress(CatfishError, OSError):
        ensure_dispatcher(workspace)


def health(workspace: Workspace) -> Health:
    """Whether a dispatcher is at work."""
    lease = store.use(workspace, lambda db: db.lease())
    if lease is None or not lease.pid:
        return Health(False, None, None, lease.heartbeat if lease else None, "The dispatcher is not running.")
    alive = holds(workspace.root, lease)
    words = "The dispatcher is at work." if alive else "The dispatcher has died; it is started again in a moment."
    return Health(alive, lease.pid, lease.since, lease.heartbeat, words)


def holds(root: Path, lease: Lease) -> bool:
    """Whether whoever has `lease` is still there.

    On this machine its process is asked for. And a sign of life must have been heard within TTL, by this process's
    own clock, which nobody sets: what is silent for longer has died elsewhere, or hangs.
    """
    if lease.host == platform.node() and shim.born(lease.pid) != lease.born:
        return False
    last, at = _heard.get(root, (None, 0.0))
    if last is None or (last.generation, last.beat) != (lease.generation, lease.beat):
        _heard[root] = (lease, time.monotonic())
        return True
    return time.monotonic() - at < TTL


def room(workspace: Workspace, running: Sequence[Entry]) -> Room:
    """What there is to share at this moment."""
    settings = _settings(workspace)
    return Room(
        devices=devices(settings.slots, [entry.slot for entry in running]),
        memory=psutil.virtual_memory().available,
        disk=shutil.disk_usage(workspace.root).free,
        limit=settings.running_per_user,
    )


def _settings(workspace: Workspace) -> Settings:
    """The lab's; those of no lab while its file cannot be meant."""
    try:
        return lab.read(workspace)
    except ConfigError:
        return Settings()


def _drafts(folder: Path) -> Path:
    """Where directories are filled before anybody sees them: beside the others, for they are moved in one step."""
    return folder / ".new"


def _entered(workspace: Workspace, draft: J, priority: int, key: str) -> J:
    """The job in the directory `draft`, moved to its place and waiting; the earlier one where `key` is known."""
    job = replace(draft, path=draft.path.parents[1] / draft.id)
    with directory.whole(draft.path):
        if key:
            write_text(draft.path / "job.json", json.dumps({"owner": draft.owner(), "key": key}) + "\n")
        directory.submitted(draft, draft.attempt, priority)
        listed = census.entry(draft)

    def enter(db: Store) -> str:
        with db.writing():
            known = db.keyed(key) if key else None
            if known and job.path.with_name(known).exists():  # what was deleted may be made once more
                return known
            _check_limit(workspace, listed.owner, db)
            with storage_faults(job.path):
                if draft.path.exists():  # else it was moved before the queue turned out to be damaged
                    draft.path.rename(job.path)
            db.enter(listed)
            if key:
                db.remember(key, job.id)
        return job.id

    try:
        id = store.use(workspace, enter)
    except BaseException:
        with suppress(OSError):
            job.path.rename(draft.path)  # whoever reads the error will submit it again
        raise
    finally:
        if draft.path.exists():
            shutil.rmtree(draft.path, ignore_errors=True)
    _wake(workspace)
    return replace(job, path=job.path.with_name(id))


def _check_limit(workspace: Workspace, owner: str, db: Store) -> None:
    """Raises RunError where `owner` has as many waiting as one person may."""
    limit = _settings(workspace).waiting_per_user
    if limit is not None and sum(entry.owner == owner and not entry.slot for entry in db.entries()) >= limit:
        raise RunError(
            f"There are {limit} jobs of yours in the queue already, as many as one person may have.",
            "Wait until one starts, or cancel one.",
        )


def _withdraw(workspace: Workspace, job: Job, wish: directory.Wish) -> None:
    """Leave the wish, which is what counts: shim and dispatcher look for it before they start anything."""
    job.wish(wish)

    def leave(db: Store) -> None:
        with db.writing():
            db.withdraw(job.id)

    with suppress(StorageError):  # full, or busy: the dispatcher finds it later
        store.use(workspace, leave)


def _asleep(workspace: Workspace) -> str:
    """A sentence where nobody starts what could be started."""
    with suppress(CatfishError):
        return "" if health(workspace).alive else "The queue is waking up: it starts in a moment."
    return ""


def _reason(entry: Entry, running: Sequence[Entry], room: Room, behind: bool) -> str:
    if entry.trouble:
        return entry.trouble
    slot, why = turns.place(entry, running, room)
    if slot:
        return "Others are before it." if behind else "It starts in a moment."
    return why
