"""The queue as pages see it until the dispatcher takes its place: whatever is started starts at once.  [no torch]"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from catfish_core.jobs import directory, launcher
from catfish_core.jobs.directory import Job
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace


@dataclass(frozen=True)
class Standing:
    position: int
    of: int
    ahead: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Entry:
    id: str
    kind: str
    owner: str
    priority: int
    submitted: float
    device: str
    started: float | None


@dataclass(frozen=True)
class Device:
    name: str
    words: str
    slots: int
    taken: int


@dataclass(frozen=True)
class Overview:
    running: list[Entry] = field(default_factory=list)
    waiting: list[Entry] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)


@dataclass(frozen=True)
class Health:
    alive: bool
    pid: int | None
    since: float | None
    heartbeat: float | None
    words: str


def again(workspace: Workspace, job: Job) -> None:
    launcher.launch(job)


def pause(workspace: Workspace, job: Job) -> None:
    job.pause()


def stop(workspace: Workspace, job: Job) -> None:
    job.stop()


def prioritise(workspace: Workspace, job: Job, priority: int) -> None:
    pass


def standing(workspace: Workspace, job: Job) -> Standing | None:
    return None


def ensure_dispatcher(workspace: Workspace) -> None:
    pass


def overview(workspace: Workspace) -> Overview:
    jobs = [*directory.every(Run, workspace.runs), *directory.every(Sweep, workspace.sweeps)]
    running = [
        Entry(j.id, j.noun, j.owner(), 0, j.created.timestamp(), "cpu", j.created.timestamp())
        for j in jobs
        if directory.status(j) in directory.ACTIVE
    ]
    return Overview(running, [], [Device("cpu", "the processor", max(1, (os.cpu_count() or 2) // 2), len(running))])


def health(workspace: Workspace) -> Health:
    return Health(True, os.getpid(), None, None, "Every run starts at once.")
