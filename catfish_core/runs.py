"""A run directory: create, list, read its state, wish it to stop, delete it.  [no torch]

The rules that it shares with sweeps are in `jobs.directory`; checkpoints, models and reports are a run's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from catfish_core import config as configs
from catfish_core import events
from catfish_core.config import RunConfig
from catfish_core.errors import CatfishError, ConfigError, RunError
from catfish_core.events import Event
from catfish_core.jobs import directory
from catfish_core.jobs.directory import ACTIVE, START_GRACE, Job, Status, delete, status
from catfish_core.workspace import Workspace, write_text

__all__ = [
    "ACTIVE", "START_GRACE", "Run", "Status", "Summary",
    "create", "delete", "extend", "find", "kept_epoch", "latest", "listing", "status", "summary",
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
        """last.pt, and previous.pt for when that is torn."""
        return self.path / "checkpoints"

    @property
    def extended(self) -> int:
        """How often it was told to train further: each time its configuration until then was kept."""
        return len(list((self.path / "attempts").glob("*/config.json")))

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


def kept_epoch(run: Run) -> int | None:
    """The epoch whose weights are kept, as its log says; None before the end of the first."""
    told = [event.best_epoch for event in _recent(run) if isinstance(event, (events.EpochEnd, events.Completed))]
    return told[-1] if told and run.model_path.exists() else None


def extend(run: Run, epochs: int) -> None:
    """Have `run`, which is over, train so many `epochs` more when it is started again.

    What early stopping ended goes on from there; any other run trains what it was to train, and then so much more.
    Optimizer and averages go on as they were. A schedule takes the new number for the whole: the rate is what it
    would be at this place of a run of that length, so a cosine that had come to its end rises again. The
    configuration as it was is kept with the last attempt. Raises RunError for a run that is at work, that failed,
    or of which there is no checkpoint, and ConfigError for a number of epochs that cannot be meant.
    """
    if (now := status(run)) not in ("completed", "paused", "stopped"):
        raise RunError(f"This run is {now}: only one that is over can train further.", "See its page.")
    if not any(run.checkpoints.glob("*.pt")):
        raise RunError("There is nothing left of this run that could train further.", "Start a new one like it.")
    if epochs < 1:
        raise ConfigError(f"A run cannot train {epochs} epochs more.", "One is the least.")
    config = run.config()
    longer = configs.with_settings(config, [f"training.epochs={_planned(run, config) + epochs}"])
    if not (kept := run.attempt / "config.json").exists():
        write_text(kept, configs.dump(config))
    write_text(run.path / "config.json", configs.dump(longer))


def _planned(run: Run, config: RunConfig) -> int:
    """How many epochs `run` is to train: as many as it did, where early stopping ended it."""
    told = events.effective(run.events()[0])
    early = [event.epoch + 1 for event in told if isinstance(event, events.EarlyStop)]
    begun = [event.epochs for event in told if isinstance(event, events.Started)]
    return early[-1] if early and begun == [config.training.epochs] else config.training.epochs


def _recent(run: Run) -> list[Event]:
    """The last events, with an epoch's end among them if there is one: 100,000 photos make epochs of many lines."""
    for size in (2**16, 2**19, 2**22):
        found = events.tail(run.events_path, size)
        if any(isinstance(event, (events.EpochEnd, events.Completed)) for event in found):
            break
    return found
