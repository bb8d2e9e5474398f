"""A directory a worker works in: its state, log and wish to stop; what runs and sweeps share.  [no torch]

The directory is the truth. What is being done in it is derived from its events and from the lock its worker holds
while it lives; nobody but the worker writes events and results.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from filelock import FileLock, Timeout

from catfish_core import config as configs
from catfish_core import events
from catfish_core.config import RunConfig
from catfish_core.errors import ConfigError, RunError, storage_faults
from catfish_core.events import Event
from catfish_core.workspace import slug, write_text

Status = Literal["queued", "running", "pausing", "stopping", "completed", "paused", "stopped", "failed", "crashed"]
ACTIVE: tuple[Status, ...] = ("queued", "running", "pausing", "stopping")
Wish = Literal["stop", "pause", "kill"]
START_GRACE = 30.0  # seconds a worker may take from its launch to its lock
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,60}")


@dataclass(frozen=True)
class Job:
    """A handle on one directory; holds nothing but the path."""

    path: Path
    noun: ClassVar[str] = "job"  # what it is called in a sentence,
    doing: ClassVar[str] = "working"  # and what its worker is doing

    @property
    def id(self) -> str:
        """The directory's name, and the job's in every link."""
        return self.path.name

    @property
    def created(self) -> datetime:
        """When it was made, as its name says."""
        return datetime.strptime(self.id[:15], "%Y%m%d-%H%M%S")

    @property
    def events_path(self) -> Path:
        """One event a line."""
        return self.path / "events.jsonl"

    @property
    def attempt(self) -> Path:
        """The folder of the newest start of the worker: its log and the wishes sent to it."""
        numbers = [int(p.name) for p in (self.path / "attempts").glob("*") if p.name.isdigit()]
        return self.path / "attempts" / str(max(numbers, default=1))

    @property
    def lock_path(self) -> Path:
        """Held by the worker while it lives; the kernel frees it at its death, however it comes."""
        return self.path / "worker.lock"

    def config(self) -> RunConfig:
        """The frozen configuration; raises RunError where it is missing or damaged."""
        try:
            return configs.load(self.path / "config.json")
        except ConfigError as error:
            raise RunError(f"The configuration of {self.noun} {self.id} cannot be read: {error.what}") from error

    def events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Events from byte `offset`, and where to go on."""
        return events.read(self.events_path, offset)

    def alive(self) -> bool:
        """Whether a worker holds this directory."""
        if not self.lock_path.exists():
            return False
        probe = FileLock(self.lock_path, timeout=0.03, poll_interval=0.01)  # another reader lets go at once
        try:
            with probe:
                return False
        except Timeout:
            return True
        except OSError:
            return False  # a read-only directory: nobody can be working in it

    def owner(self) -> str:
        """The name of the person it belongs to; empty where nobody signs in."""
        try:
            return str(json.loads((self.path / "job.json").read_text(encoding="utf-8"))["owner"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def stop(self) -> None:
        """Wish it to stop: its worker keeps what there is and ends within two seconds."""
        self.wish("stop")

    def pause(self) -> None:
        """Wish it to rest: its worker writes everything down and ends, so that it can go on where it was."""
        self.wish("pause")

    def wish(self, what: Wish) -> None:
        """Leave a wish for the attempt under way: a small file that its worker looks for."""
        write_text(self.attempt / what, "")

    def wished(self, what: Wish) -> bool:
        """Whether somebody left this wish."""
        return (self.attempt / what).exists()


J = TypeVar("J", bound=Job)


def create(kind: type[J], folder: Path, config: RunConfig, owner: str = "") -> J:
    """A new directory in `folder` with `config` in it, belonging to `owner`; its id is <when>-<slug>-<id>."""
    job = kind(folder / f"{datetime.now():%Y%m%d-%H%M%S}-{slug(config.title)}-{secrets.token_hex(3)}")
    with storage_faults(job.path):
        job.path.mkdir(parents=True)
        (job.path / "attempts" / "1").mkdir(parents=True)
    write_text(job.path / "job.json", json.dumps({"owner": owner}) + "\n")
    write_text(job.path / "config.json", configs.dump(config))
    return job


def next_attempt(job: Job) -> Path:
    """The folder for another start of the worker: the newest one, unless a worker was started there."""
    attempt = job.attempt
    if (attempt / "log.txt").exists():
        attempt = attempt.with_name(str(int(attempt.name) + 1))
    with storage_faults(attempt):
        attempt.mkdir(parents=True, exist_ok=True)
    return attempt


def find(kind: type[J], folder: Path, id: str, hint: str) -> J:
    """The one in `folder` called `id`; raises RunError, with `hint`, for anything that is no id or not there."""
    job = kind(folder / id) if _ID.fullmatch(id) else None
    if job is None or not job.path.is_dir():
        raise RunError(f"There is no {kind.noun} called “{id[:80]}”.", hint)
    return job


def every(kind: type[J], folder: Path) -> list[J]:
    """All in `folder`, newest first."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_dir() and _ID.fullmatch(path.name))
    return [kind(path) for path in sorted(found, reverse=True)]


def status(job: Job, recent: list[Event] | None = None) -> Status:
    """What is being done in `job`, derived from its last events and its lock.

    No terminal event and no living worker means crashed, unless the worker is still on its way up.
    """
    recent = events.tail(job.events_path) if recent is None else recent
    if ended := _ended(job, recent):
        return ended
    if job.alive():
        return "stopping" if job.wished("stop") else "pausing" if job.wished("pause") else "running"
    if ended := _ended(job, events.tail(job.events_path)):  # it may have ended between the two looks
        return ended
    if (job.attempt / "started.json").exists():
        return "crashed"
    waiting_since = max(_modified(job.attempt / "log.txt"), _modified(job.path / "config.json"))
    return "queued" if time.time() - waiting_since < START_GRACE else "crashed"


def _modified(path: Path) -> float:
    """When `path` was last written, in seconds since 1970; 0 where it is not."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _ended(job: Job, recent: list[Event]) -> Status | None:
    """The status a terminal event stands for, if the last event is one and no later attempt was launched."""
    names: dict[type[Event], Status] = {
        events.Completed: "completed",
        events.SweepCompleted: "completed",
        events.Paused: "paused",
        events.Stopped: "stopped",
        events.Failed: "failed",
    }
    ended = names.get(type(recent[-1])) if recent else None
    return None if ended and _launched_again(job, recent[-1]) else ended


def _launched_again(job: Job, last: Event) -> bool:
    """Whether there is an attempt that began after `last` and has said nothing yet."""
    attempt = job.attempt
    if attempt.name == "1":
        return False
    try:
        began = float(json.loads((attempt / "started.json").read_text(encoding="utf-8"))["time"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return True  # on its way up
    return last.time < began


def delete(job: Job) -> None:
    """Remove a directory for good; raises RunError while its worker lives."""
    if job.alive():
        raise RunError(f"This {job.noun} is still {job.doing}.", "Stop it first, then delete it.")
    with storage_faults(job.path):
        doomed = job.path.with_name(f".deleted-{job.id}")
        job.path.rename(doomed)  # one step: a half-deleted one is never listed
        shutil.rmtree(doomed)
