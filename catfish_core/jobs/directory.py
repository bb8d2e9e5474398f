"""A directory a worker works in: its state, log and wishes; what runs and sweeps share.  [no torch]

The directory is the truth. What is being done in it is derived from its events, from the locks that its worker and
its shim hold while they live, and from how the shim says an attempt ended; nobody but the worker writes events and
results. Every start has a folder of its own:

    attempts/N/submitted.json   it waits for its turn: since when, and where in the log its own events begin
               claim            the shim's: locked while it lives, touched every second
               started.json     the worker's process
               stop, pause, kill    wishes
               log.txt          what it printed
               exit.json        how it ended
"""

from __future__ import annotations

import errno
import json
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

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
START_GRACE = 30.0  # seconds a worker that no queue started may take to its lock
RETRIES = 2  # times in a row that the queue starts an interrupted job again without a new checkpoint in between
STALE = 10.0  # seconds without a heartbeat after which a shim is given up where its lock cannot be asked
_NUMBER = re.compile(r"[0-9]{1,9}")
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
        numbers = [int(p.name) for p in (self.path / "attempts").glob("*") if _NUMBER.fullmatch(p.name)]
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
        """Whether a worker holds this directory, or the shim of its newest attempt is at work."""
        return self.working() or stands(self.attempt) == "running"

    def working(self) -> bool:
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
        return text(told(self.path / "job.json"), "owner")

    def checkpointed(self) -> int:
        """What changes with every checkpoint: when the newest was written, in nanoseconds; 0 before the first."""
        try:
            return (self.path / "checkpoints" / "last.pt").stat().st_mtime_ns
        except OSError:
            return 0

    def stop(self) -> None:
        """Wish it to stop: its worker keeps what there is and ends within two seconds."""
        self.wish("stop")

    def pause(self) -> None:
        """Wish it to rest: its worker writes everything down and ends, so that it can go on where it was."""
        self.wish("pause")

    def wish(self, what: Wish) -> None:
        """Leave a wish for the attempt under way: a small file that its worker looks for.

        Raises RunError where the directory has gone, which must not come back with nothing but a wish in it.
        """
        if not self.path.is_dir():
            raise RunError(
                f"This {self.noun} is not there any more.", "It was deleted or moved; the list is current."
            )
        write_text(self.attempt / what, "")

    def wished(self, what: Wish) -> bool:
        """Whether somebody left this wish."""
        return (self.attempt / what).exists()


J = TypeVar("J", bound=Job)


def create(kind: type[J], folder: Path, config: RunConfig, owner: str = "") -> J:
    """A new directory in `folder` with `config` in it, belonging to `owner`; its id is <when>-<slug>-<id>."""
    job = kind(folder / f"{datetime.now():%Y%m%d-%H%M%S}-{slug(config.title)}-{secrets.token_hex(3)}")
    with whole(job.path):
        with storage_faults(job.path):
            (job.path / "attempts" / "1").mkdir(parents=True)
        write_text(job.path / "job.json", json.dumps({"owner": owner}) + "\n")
        write_text(job.path / "config.json", configs.dump(config))
    return job


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """What is made inside is either all there or, where something is raised, not there at all."""
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


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


def next_attempt(job: Job) -> Path:
    """An empty folder for the next attempt of `job`, with no wish of an earlier one in it.

    Raises RunError where somebody was quicker.
    """
    attempt = job.attempt
    if not attempt.is_dir() or any(attempt.iterdir()):
        attempt = attempt.with_name(str(int(attempt.name) + 1))
        with storage_faults(attempt):
            try:
                attempt.mkdir(parents=True)
            except FileExistsError:
                raise RunError(f"This {job.noun} is waiting already.", "Its page shows how far it is.") from None
    return attempt


def attempt_again(job: Job, priority: int = 0, retry: int = 0) -> None:
    """Have the next attempt of `job` wait for its turn; raises RunError where somebody was quicker.

    `retry` counts the interruptions in a row that it follows, without a checkpoint between them. The attempt is there
    in one step or, where the disk refuses (StorageError), not at all: an empty one would hide how the last one ended.
    """
    attempt = job.attempt
    if attempt.is_dir() and any(attempt.iterdir()):
        attempt = attempt.with_name(str(int(attempt.name) + 1))
    draft = attempt.with_name(f".{secrets.token_hex(4)}")
    with storage_faults(draft):
        draft.parent.mkdir(exist_ok=True)
        draft.mkdir()
    with whole(draft), storage_faults(attempt):
        submitted(job, draft, priority, retry)
        try:
            draft.rename(attempt)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise RunError(f"This {job.noun} is waiting already.", "Its page shows how far it is.") from None
            raise


def submitted(job: Job, attempt: Path, priority: int = 0, retry: int = 0) -> None:
    """Write down that `attempt` waits for its turn, and where its own events will begin in the log."""
    try:
        size = job.events_path.stat().st_size
    except OSError:
        size = 0
    facts = {
        "time": time.time(), "priority": priority, "events": size,
        "retry": retry, "checkpoint": job.checkpointed(),
    }  # fmt: skip
    write_text(attempt / "submitted.json", json.dumps(facts) + "\n")


def status(job: Job, recent: list[Event] | None = None) -> Status:
    """What is being done in `job`, derived from its last events, its locks and how its newest attempt ended.

    An attempt that nobody has claimed yet waits, however long. One that neither said how it ended nor lives was
    interrupted: it waits again where the queue will go on with it by itself, and else it crashed.
    """
    recent = events.last(job.events_path) if recent is None else recent
    if ended := _ended(job, recent):
        return ended
    if job.alive():
        wished = job.wished("stop") or job.wished("kill")
        return "stopping" if wished else "pausing" if job.wished("pause") else "running"
    if ended := _ended(job, events.last(job.events_path)):  # it may have ended between the two looks
        return ended
    attempt = job.attempt
    stand = stands(attempt)
    if stand == "starting" and not (attempt / "submitted.json").exists():
        return _unqueued(job)
    if job.wished("stop") or job.wished("kill"):
        return "stopped"
    if job.wished("pause"):
        return "paused"
    if told(attempt / "exit.json").get("reason") == "stop":  # the shim was told by a signal
        return "stopped"
    return "queued" if stand == "starting" or retry(job) is not None else "crashed"


def stands(attempt: Path) -> Literal["starting", "running", "ended", "lost"]:
    """How an attempt of the queue stands: unclaimed, alive, ended, or ended without a word."""
    if (attempt / "exit.json").exists():
        return "ended"
    claim = attempt / "claim"
    if not claim.exists():
        return "starting" if attempt.is_dir() else "lost"
    if _held(claim):
        return "running"
    if (attempt / "exit.json").exists():  # it may have ended between the two looks
        return "ended"
    try:
        return "lost" if claim.stat().st_size else "starting"
    except FileNotFoundError:
        return "lost"


def _held(claim: Path) -> bool:
    """Whether a shim holds the lock on its claim."""
    try:
        if sys.platform == "win32":  # the one place that trusts clocks
            return abs(time.time() - claim.stat().st_mtime) < STALE
        import fcntl

        with open(claim, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
    except OSError:
        return False


def retry(job: Job) -> int | None:
    """Where the newest attempt was interrupted: which retry the next one would be, from 1; None where there is none.

    A new checkpoint since it was submitted starts the count anew.
    """
    facts = told(job.attempt / "submitted.json")
    if not facts or stands(job.attempt) not in ("ended", "lost"):
        return None
    made = int(number(facts, "retry")) if facts.get("checkpoint") == job.checkpointed() else 0
    return made + 1 if made < RETRIES else None


def told(path: Path) -> dict[str, Any]:
    """The object in a small JSON file; empty where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def number(facts: dict[str, Any], name: str) -> float:
    """The number called `name` in a file that anybody may have written; 0 where there is none that can be kept."""
    value = facts.get(name)
    return value if isinstance(value, (int, float)) and abs(value) < 2**53 else 0


def text(facts: dict[str, Any], name: str) -> str:
    """The text called `name` in a file that anybody may have written, as valid Unicode; empty where there is none."""
    value = facts.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _unqueued(job: Job) -> Status:
    """How a job stands that no queue started, as the command line does, and CatFish did before it had one."""
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
    """The status a terminal event stands for, if the last event is one and the newest attempt's."""
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
    if "events" in (facts := told(attempt / "submitted.json")):
        said = _since(job, int(number(facts, "events")))
        return not (said and isinstance(said[-1], events.TERMINAL))
    began = told(attempt / "started.json").get("time")
    return last.time < began if isinstance(began, (int, float)) else True  # else on its way up


def _since(job: Job, begins: int) -> list[Event]:
    """The last events of `job`, none of them from before byte `begins` of its log."""
    try:
        size = job.events_path.stat().st_size
    except OSError:
        return []
    return events.read(job.events_path, max(begins, size - 16_384))[0] if size > begins else []


def delete(job: Job) -> None:
    """Remove a directory for good; raises RunError while its worker lives."""
    if job.alive():
        raise RunError(f"This {job.noun} is still {job.doing}.", "Stop it first, then delete it.")
    with storage_faults(job.path):
        doomed = job.path.with_name(f".deleted-{job.id}")
        job.path.rename(doomed)  # one step: a half-deleted one is never listed
        shutil.rmtree(doomed)
