"""What the machine is doing: cores, memory, disk, graphics cards, and how much of it each job takes.  [no torch]

The load of a core is the share of the time since the last look, so one `Meter` serves everybody who looks.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from catfish_core.jobs.directory import Job
from catfish_core.workspace import Workspace

FRESH = 1.0  # seconds within which everybody is told the same
SHORTEST = 0.1  # seconds between two looks that say how busy a core was
REUSED = 2.0  # seconds a process may be younger than its started.json says, and still be the one that wrote it


@dataclass(frozen=True)
class Gpu:
    """A graphics card; `load` from 0 to 1, memory in bytes, `celsius` None where the driver does not say."""

    index: int
    name: str
    load: float | None
    memory_used: int
    memory_total: int
    celsius: int | None


@dataclass(frozen=True)
class Share:
    """What the processes of one job take: `cores` of the processor (1.5 is one and a half), `memory` in bytes."""

    cores: float
    memory: int
    processes: int


@dataclass(frozen=True)
class Reading:
    """The machine at one moment: `cores` is the load of each, from 0 to 1; memory and disk are in bytes.

    The disk is that of the workspace. `shares` are by the id of the job.
    """

    time: float
    cores: tuple[float, ...]
    memory_used: int
    memory_total: int
    disk_free: int
    disk_total: int
    gpus: tuple[Gpu, ...]
    shares: dict[str, Share]

    @property
    def load(self) -> float:
        """The load of all cores together, from 0 to 1."""
        return sum(self.cores) / max(1, len(self.cores))


class Meter:
    """Reads the machine for everybody who looks; two looks within a second see the same."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._last: Reading | None = None
        self._known: dict[int, psutil.Process] = {}  # by pid: the load of a process is told since its last look
        self._times, self._since = psutil.cpu_times(percpu=True), time.monotonic()

    def read(self, jobs: Iterable[Job] = ()) -> Reading:
        """The machine now, with the shares of those of `jobs` whose worker lives."""
        with self._lock:
            if self._last is None or not 0 <= time.time() - self._last.time < FRESH:
                self._last = self._look(jobs)
            return self._last

    def _look(self, jobs: Iterable[Job]) -> Reading:
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(existing(self._workspace.root))
        return Reading(
            time=time.time(),
            cores=self._cores(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk.free,
            disk_total=disk.total,
            gpus=tuple(gpus()),
            shares=self._shares(jobs),
        )

    def _cores(self) -> tuple[float, ...]:
        """How busy each core was since the last look, 0 to 1.

        psutil's own cpu_percent compares with the last look of the same thread, and each run of a page is another.
        """
        time.sleep(max(0.0, SHORTEST - (time.monotonic() - self._since)))
        before, self._times, self._since = self._times, psutil.cpu_times(percpu=True), time.monotonic()
        return tuple(busy(*pair) for pair in zip(before, self._times, strict=False))

    def _shares(self, jobs: Iterable[Job]) -> dict[str, Share]:
        roots = {job.id: root for job in jobs if (root := worker(job)) is not None}
        if not roots:
            self._known.clear()
            return {}
        below = _children()
        trees = {id: [root.pid, *_under(root.pid, below)] for id, root in roots.items()}
        self._known = {pid: self._known.get(pid) or _process(pid) for tree in trees.values() for pid in tree}
        return {id: _sum([p for pid in tree if (p := self._known.get(pid))]) for id, tree in trees.items()}


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path(os.sep))


def worker(job: Job) -> psutil.Process | None:
    """The process that works on `job`, if it lives; a pid that was given away since is not taken for it."""
    try:
        started = json.loads((job.attempt / "started.json").read_text(encoding="utf-8"))
        process = psutil.Process(int(started["pid"]))
        ours = process.create_time() <= float(started["time"]) + REUSED
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def _children() -> dict[int, list[int]]:
    """The pids below each pid, from one look at all processes."""
    below: dict[int, list[int]] = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):
        below[process.info["ppid"]].append(process.pid)
    return below


def _under(pid: int, below: dict[int, list[int]]) -> Iterator[int]:
    for child in below.get(pid, ()):
        yield child
        yield from _under(child, below)


def busy(before: Any, now: Any) -> float:
    """The share of the time between two of psutil's cpu_times in which a core computed, 0 to 1."""
    spent = {name: getattr(now, name) - getattr(before, name) for name in now._fields if "guest" not in name}
    passed, idle = sum(spent.values()), spent["idle"] + spent.get("iowait", 0.0)  # guests are part of user time
    return min(1.0, max(0.0, 1 - idle / passed)) if passed > 0 else 0.0


def _process(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        process.cpu_percent()
        return process
    except psutil.Error:
        return None


def _sum(processes: list[psutil.Process]) -> Share:
    cores, memory, living = 0.0, 0, 0
    for process in processes:
        try:
            cores += process.cpu_percent() / 100
            memory += process.memory_info().rss
            living += 1
        except psutil.Error:  # it has just ended
            continue
    return Share(cores, memory, living)


def gpus() -> Iterator[Gpu]:
    """The graphics cards NVIDIA's driver knows; none where there is no driver, or it does not answer."""
    nvml = _nvml()
    if nvml is None:
        return
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            card = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(card)
            yield Gpu(
                index=index,
                name=str(nvml.nvmlDeviceGetName(card)),
                load=_told(nvml, lambda card=card: nvml.nvmlDeviceGetUtilizationRates(card).gpu / 100),
                memory_used=int(memory.used),
                memory_total=int(memory.total),
                celsius=_told(
                    nvml, lambda card=card: int(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))
                ),
            )
        except nvml.NVMLError:  # a card that has fallen off the bus; the others are still there
            continue


def _nvml() -> Any:
    """NVIDIA's library, ready to be asked; None where it is not installed or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()  # counts its callers and costs nothing the second time
        return pynvml
    except (OSError, pynvml.NVMLError):
        return None


def _told(nvml: Any, ask: Any) -> Any:
    """What the driver answers; None where this card does not know it."""
    try:
        return ask()
    except nvml.NVMLError:
        return None
