"""Which jobs wait or are under way, found in their directories alone.  [no torch]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from catfish_core.config import RunConfig
from catfish_core.errors import CatfishError
from catfish_core.jobs import directory
from catfish_core.jobs.directory import ACTIVE, Job, number, text, told
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace

Kind = Literal["run", "sweep"]


@dataclass(frozen=True)
class Entry:
    """One attempt in the queue.

    `wants` is the device it asks for, `devices` how many graphics cards; `slot` what it was given, as in “cpu” or
    “cuda:0,cuda:1”, empty while it waits. `submitted` and `started` are in seconds since 1970; `trouble` says why it
    could not be started when that was tried.
    """

    id: str
    kind: Kind
    attempt: int
    owner: str = ""
    priority: int = 0
    submitted: float = 0.0
    wants: str = "auto"
    devices: int = 1
    slot: str = ""
    started: float | None = None
    trouble: str = ""

    @property
    def device(self) -> str:
        """What it runs on, or else what it asks for."""
        return self.slot or self.wants

    def job(self, workspace: Workspace) -> Job:
        """Its directory."""
        return Sweep(workspace.sweeps / self.id) if self.kind == "sweep" else Run(workspace.runs / self.id)


def entry(job: Job) -> Entry:
    """The newest attempt of `job` as the queue sees it, waiting."""
    facts = told(job.attempt / "submitted.json")
    try:
        wants, devices = wish(job.config())
    except CatfishError:
        wants, devices = "cpu", 1  # its worker will say what is wrong with the configuration
    return Entry(
        id=job.id,
        kind="sweep" if isinstance(job, Sweep) else "run",
        attempt=int(job.attempt.name),
        owner=job.owner(),
        priority=int(number(facts, "priority")),
        submitted=float(number(facts, "time")),
        wants=wants,
        devices=devices,
    )


def wish(config: RunConfig) -> tuple[str, int]:
    """The device that `config` asks for, and how many of them."""
    processes = config.compute.processes
    return config.training.device, 1 if processes == "auto" else processes


def found(workspace: Workspace) -> Iterator[tuple[Entry, str]]:
    """What the queue started or shall start and that has not ended, the earliest first, each with its key if any."""
    seen = [found for job in _every(workspace) if (found := looked_at(job))]
    for found in sorted(seen, key=lambda found: (found.id[:15], found.submitted)):
        yield found, key(found.job(workspace))


def keys(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """The key of every job that was submitted with one, whatever became of it, and the job's id."""
    return ((mark, job.id) for job in _every(workspace) if (mark := key(job)))


def key(job: Job) -> str:
    """What `job` was submitted with so that it is not made twice; empty for nothing."""
    return text(told(job.path / "job.json"), "key")


def _every(workspace: Workspace) -> list[Job]:
    return [*directory.every(Run, workspace.runs), *directory.every(Sweep, workspace.sweeps)]


def looked_at(job: Job) -> Entry | None:
    """The newest attempt of `job` if the queue has to do with it; a directory that cannot be read is passed over."""
    try:
        if not (job.attempt / "submitted.json").exists() or directory.status(job) not in ACTIVE:
            return None
        waits = directory.stands(job.attempt) == "starting"
        return replace(entry(job), slot="" if waits else text(told(job.attempt / "claim"), "slot") or "cpu")
    except OSError:
        return None
