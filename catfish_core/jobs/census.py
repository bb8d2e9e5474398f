"""Which jobs wait or are under way, found in their directories alone.  [no torch]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from catfish_core.config import RunConfig
from catfish_core.errors import CatfishError
from catfish_core.jobs import directory
from catfish_core.jobs.directory import ACTIVE, Job, told
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
        priority=int(facts.get("priority", 0)),
        submitted=float(facts.get("time", 0.0)),
        wants=wants,
        devices=devices,
    )


def wish(config: RunConfig) -> tuple[str, int]:
    """The device that `config` asks for, and how many of them."""
    processes = config.compute.processes
    return config.training.device, 1 if processes == "auto" else processes


def found(workspace: Workspace) -> Iterator[tuple[Entry, str]]:
    """What the queue started or shall start and that has not ended, the earliest first, each with its key if any."""
    jobs: list[Job] = [
        *directory.every(Run, workspace.runs),
        *directory.every(Sweep, workspace.sweeps),
    ]
    for job in sorted(jobs, key=lambda job: (job.id[:15], told(job.attempt / "submitted.json").get("time", 0))):
        if not (job.attempt / "submitted.json").exists() or directory.status(job) not in ACTIVE:
            continue
        slot = str(told(job.attempt / "claim").get("slot") or "cpu")
        waits = directory.stands(job.attempt) == "starting"
        yield replace(entry(job), slot="" if waits else slot), str(told(job.path / "job.json").get("key", ""))
