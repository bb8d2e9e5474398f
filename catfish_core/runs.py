"""A run directory: create, list, read its state, wish it to stop, delete it.  [no torch]

The rules that it shares with sweeps are in `jobs.directory`; checkpoints, models and reports are a run's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from catfish_core import events
from catfish_core.config import RunConfig
from catfish_core.errors import CatfishError
from catfish_core.events import Event
from catfish_core.jobs import directory
from catfish_core.jobs.directory import ACTIVE, START_GRACE, Job, Status, delete, status
from catfish_core.workspace import Workspace, write_text

__all__ = [
    "ACTIVE", "START_GRACE", "Run", "Status", "Summary",
    "create", "delete", "find", "latest", "listing", "status", "summary",
]  # fmt: skip


@dataclass(frozen=True)
class Run(Job):
    """A handle on one run directory; holds nothing but the path."""

    noun: ClassVar[str] = "run"
    doing: ClassVar[str] = "training"

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


def create(workspace: Workspace, config: RunConfig, owner: str = "") -> Run:
    """A new run directory with `config` in it, belonging to `owner`; its id is <when>-<slug>-<id>."""
    return directory.create(Run, workspace.runs, config, owner)


def find(workspace: Workspace, id: str) -> Run:
    """The run called `id`; raises RunError for anything that is no id or no run."""
    return directory.find(Run, workspace.runs, id, "The Runs page lists those there are.")


def latest(workspace: Workspace) -> Run | None:
    """The newest run, if any."""
    found = directory.every(Run, workspace.runs)
    return found[0] if found else None


def listing(workspace: Workspace) -> list[Summary]:
    """All runs, newest first; a damaged one is listed with its problem."""
    return [summary(run) for run in directory.every(Run, workspace.runs)]


def extend(run: Run, epochs: int) -> None:
    """A finished or stopped run is to train `epochs` more."""
    raise NotImplementedError


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
        created=run.created,
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
