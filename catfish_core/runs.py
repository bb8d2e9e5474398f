"""A run directory: create, list, read its state, wish it to stop, delete it.  [no torch]

The directory is the truth. What a run is doing is derived from its events and from the lock its worker holds
while it lives; nobody but the worker writes events, checkpoints and models.
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
from typing import Literal

from filelock import FileLock, Timeout

from catfish_core import config as configs
from catfish_core import events
from catfish_core.config import RunConfig
from catfish_core.errors import CatfishError, ConfigError, RunError, storage_faults
from catfish_core.events import Event
from catfish_core.workspace import Workspace, slug, write_text

Status = Literal["queued", "running", "stopping", "completed", "stopped", "failed", "crashed"]
ACTIVE: tuple[Status, ...] = ("queued", "running", "stopping")
START_GRACE = 30.0  # seconds a worker may take from its launch to its lock
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,60}")


@dataclass(frozen=True)
class Run:
    """A handle on one run directory; holds nothing but the path."""

    path: Path

    @property
    def id(self) -> str:
        """The directory's name, and the run's in every link."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """One event a line."""
        return self.path / "events.jsonl"

    @property
    def model_path(self) -> Path:
        """The kept weights; model.json beside it says how to use them."""
        return self.path / "model.safetensors"

    @property
    def report_path(self) -> Path:
        """The test report."""
        return self.path / "report.json"

    @property
    def checkpoints(self) -> Path:
        """last.pt and best.pt."""
        return self.path / "checkpoints"

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
            raise RunError(f"The configuration of run {self.id} cannot be read: {error.what}") from error

    def events(self, offset: int = 0) -> tuple[list[Event], int]:
        """Events from byte `offset`, and where to go on."""
        return events.read(self.events_path, offset)

    def alive(self) -> bool:
        """Whether a worker holds this run."""
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

    def stop(self) -> None:
        """Wish the run to stop: its worker keeps the best weights and ends within two seconds."""
        write_text(self.attempt / "stop", "")

    def stop_wished(self) -> bool:
        """Whether somebody wished it to stop."""
        return (self.attempt / "stop").exists()

    def note(self) -> str:
        """What people wrote about this run."""
        path = self.path / "notes.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def set_note(self, text: str) -> None:
        """Replace the note."""
        write_text(self.path / "notes.md", text)


@dataclass(frozen=True)
class Summary:
    """How a run stands, from the end of its log: cheap enough for a table of hundreds."""

    run: Run
    title: str
    config: RunConfig | None
    status: Status
    created: datetime
    last: Event | None
    best_val_accuracy: float | None
    test_accuracy: float | None
    problem: str = ""


def create(workspace: Workspace, config: RunConfig) -> Run:
    """A new run directory with `config` in it; its id is <when>-<slug>-<id>."""
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{slug(config.title)}-{secrets.token_hex(3)}"
    run = Run(workspace.runs / name)
    with storage_faults(run.path):
        run.path.mkdir(parents=True)
        (run.path / "attempts" / "1").mkdir(parents=True)
    write_text(run.path / "config.json", configs.dump(config))
    return run


def find(workspace: Workspace, id: str) -> Run:
    """The run called `id`; raises RunError for anything that is no id or no run."""
    run = Run(workspace.runs / id) if _ID.fullmatch(id) else None
    if run is None or not run.path.is_dir():
        raise RunError(f"There is no run called “{id[:80]}”.", "The Runs page lists those there are.")
    return run


def latest(workspace: Workspace) -> Run | None:
    """The newest run, if any."""
    found = _directories(workspace)
    return Run(found[0]) if found else None


def listing(workspace: Workspace) -> list[Summary]:
    """All runs, newest first; a damaged one is listed with its problem."""
    return [summary(Run(path)) for path in _directories(workspace)]


def _directories(workspace: Workspace) -> list[Path]:
    if not workspace.runs.is_dir():
        return []
    return sorted((p for p in workspace.runs.iterdir() if p.is_dir() and _ID.fullmatch(p.name)), reverse=True)


def summary(run: Run) -> Summary:
    """How `run` stands."""
    recent = _recent(run)
    try:
        config, problem = run.config(), ""
    except CatfishError as error:
        config, problem = None, error.what
    best = [e.best_val_accuracy for e in recent if isinstance(e, (events.EpochEnd, events.Completed))]
    tested = [e.accuracy for e in recent if isinstance(e, events.Tested)]
    return Summary(
        run=run,
        title=config.title if config else run.id,
        config=config,
        status=status(run, recent),
        created=datetime.strptime(run.id[:15], "%Y%m%d-%H%M%S"),
        last=recent[-1] if recent else None,
        best_val_accuracy=best[-1] if best else None,
        test_accuracy=tested[-1] if tested else None,
        problem=problem,
    )


def _recent(run: Run) -> list[Event]:
    """The last events, with an epoch's end among them if there is one: 100,000 photos make epochs of many lines."""
    for size in (2**16, 2**19, 2**22):
        found = events.tail(run.events_path, size)
        if any(isinstance(event, (events.EpochEnd, events.Completed)) for event in found):
            break
    return found


def status(run: Run, recent: list[Event] | None = None) -> Status:
    """What `run` is doing, derived from its last events and its lock.

    No terminal event and no living worker means crashed, unless the worker is still on its way up.
    """
    recent = events.tail(run.events_path) if recent is None else recent
    if ended := _ended(run, recent):
        return ended
    if run.alive():
        return "stopping" if run.stop_wished() else "running"
    if ended := _ended(run, events.tail(run.events_path)):  # it may have ended between the two looks
        return ended
    if (run.attempt / "started.json").exists():
        return "crashed"
    waiting_since = max(_modified(run.attempt / "log.txt"), _modified(run.path / "config.json"))
    return "queued" if time.time() - waiting_since < START_GRACE else "crashed"


def _modified(path: Path) -> float:
    """When `path` was last written, in seconds since 1970; 0 where it is not."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _ended(run: Run, recent: list[Event]) -> Status | None:
    """The status a terminal event stands for, if the last event is one and no later attempt was launched."""
    names: dict[type[Event], Status] = {
        events.Completed: "completed",
        events.Stopped: "stopped",
        events.Failed: "failed",
    }
    ended = names.get(type(recent[-1])) if recent else None
    return None if ended and _launched_again(run, recent[-1]) else ended


def _launched_again(run: Run, last: Event) -> bool:
    """Whether there is an attempt that began after `last` and has said nothing yet."""
    attempt = run.attempt
    if attempt.name == "1":
        return False
    try:
        began = float(json.loads((attempt / "started.json").read_text(encoding="utf-8"))["time"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return True  # on its way up
    return last.time < began


def delete(run: Run) -> None:
    """Remove a run for good; raises RunError while its worker lives."""
    if run.alive():
        raise RunError("This run is still training.", "Stop it first, then delete it.")
    with storage_faults(run.path):
        doomed = run.path.with_name(f".deleted-{run.id}")
        run.path.rename(doomed)  # one step: a half-deleted run is never listed
        shutil.rmtree(doomed)
