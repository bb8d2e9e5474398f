"""A sweep directory: one search for a learning rate, kept beside those before it.  [no torch]

Its rules are those of a run's (`jobs.directory`): config.json says what would be trained, sweep.json how the rates
are swept, events.jsonl what was measured. Sweeps of one configuration share a `key`, so that they can be compared.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from catfish_core import config as configs
from catfish_core import events
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.errors import CatfishError, ConfigError, RunError
from catfish_core.events import Advised
from catfish_core.jobs import directory
from catfish_core.jobs.directory import Job, Status, delete, status
from catfish_core.workspace import Workspace, write_text

__all__ = ["Sweep", "SweepSummary", "create", "delete", "find", "key", "listing", "status", "summary"]

_NO_MATTER: dict[str, Any] = {  # for the curve; whatever a configuration will have besides, counts
    **dict.fromkeys(("schema_version", "name", "schedule", "compute"), True),
    "optimizer": {"lr"},
    "training": {"epochs", "seed", "patience", "device", "ema_decay"},
}


@dataclass(frozen=True)
class Sweep(Job):
    """A handle on one sweep directory; holds nothing but the path."""

    noun: ClassVar[str] = "sweep"
    doing: ClassVar[str] = "searching"

    @property
    def settings_path(self) -> Path:
        """How the rates are swept."""
        return self.path / "sweep.json"

    def settings(self) -> SweepConfig:
        """How the rates are swept; raises RunError where that is missing or damaged."""
        try:
            return configs.load_sweep(self.settings_path)
        except ConfigError as error:
            raise RunError(f"The settings of sweep {self.id} cannot be read: {error.what}") from error


@dataclass(frozen=True)
class SweepSummary:
    """How a sweep stands, from the end of its log: the last advice given, and the key of what it compares with."""

    sweep: Sweep
    title: str
    config: RunConfig | None
    settings: SweepConfig | None
    key: str | None
    status: Status
    created: datetime
    advised: Advised | None
    problem: str = ""


def create(workspace: Workspace, config: RunConfig, settings: SweepConfig, owner: str = "") -> Sweep:
    """A new sweep directory; its id is <when>-<slug>-<id>."""
    return create_in(workspace.sweeps, config, settings, owner)


def create_in(folder: Path, config: RunConfig, settings: SweepConfig, owner: str = "") -> Sweep:
    """A new sweep directory in `folder`."""
    sweep = directory.create(Sweep, folder, config, owner)
    with directory.whole(sweep.path):
        write_text(sweep.settings_path, settings.model_dump_json(indent=2) + "\n")
    return sweep


def find(workspace: Workspace, id: str) -> Sweep:
    """The sweep called `id`; raises RunError for anything that is no id or no sweep."""
    return directory.find(Sweep, workspace.sweeps, id, "The learning-rate page lists those there are.")


def listing(workspace: Workspace) -> list[SweepSummary]:
    """All sweeps, newest first; a damaged one is listed with its problem."""
    return [summary(sweep) for sweep in directory.every(Sweep, workspace.sweeps)]


def summary(sweep: Sweep) -> SweepSummary:
    """How `sweep` stands."""
    recent = events.tail(sweep.events_path)
    config, settings, problem = None, None, ""
    try:
        config = sweep.config()
        settings = sweep.settings()
    except CatfishError as error:
        problem = error.what
    advised = [event for event in recent if isinstance(event, Advised)]
    return SweepSummary(
        sweep=sweep,
        title=config.title if config else sweep.id,
        config=config,
        settings=settings,
        key=key(config) if config else None,
        status=status(sweep, recent),
        created=sweep.created,
        advised=advised[-1] if advised else None,
        problem=problem,
    )


def key(config: RunConfig) -> str:
    """What decides the curve of a sweep besides chance and the rates swept, as a short hash.

    Left out: names, the seed, how long and after which schedule would be trained, where and how it is computed,
    and the configuration's own rate. The ratios between the rates of several parts of the network count.
    """
    plain = config.model_dump(mode="json", exclude=_NO_MATTER)
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()
