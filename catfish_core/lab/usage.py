"""What takes the space on the disk, whose it is, and what of it can go without loss.  [no torch]

A dataset may have 100,000 files, so a page never counts them: `python -m catfish_core.lab.usage ROOT` does, in a
process of its own, and leaves its answer in cache/usage.json with the time at which it was true.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from catfish_core import runs
from catfish_core.data import pixels
from catfish_core.errors import RunError, storage_faults
from catfish_core.jobs import directory
from catfish_core.jobs.directory import Job
from catfish_core.lab import settings
from catfish_core.process import spawn
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace, acquired, lock_at, write_text

Kind = Literal["runs", "sweeps", "datasets", "caches", "weights", "downloads", "other"]
WasteKind = Literal["caches", "downloads", "leftovers", "failed", "checkpoints"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GIGABYTE = 10**9
FRESH = 120.0  # seconds a count is taken for the truth; after that it is made again in the background
SPAWNED = 15.0  # seconds a process that counts is given before another is started
OLD = 7 * 86_400.0  # seconds after which nobody is likely to train a finished run further
ABANDONED = 86_400.0  # seconds after which a file that was to be downloaded or removed is taken for given up


@dataclass(frozen=True)
class Found:
    """One run, sweep or dataset, or all there is of a kind that everybody shares; `owner` is empty for those."""

    kind: Kind
    id: str
    owner: str
    bytes: int


@dataclass(frozen=True)
class Waste:
    """What can go without loss: `ids` are those of runs, empty where it is a whole folder."""

    kind: WasteKind
    owner: str
    bytes: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What was on the disk at `time` (seconds since 1970); counting took `seconds`."""

    time: float
    seconds: float
    files: int
    found: tuple[Found, ...]
    waste: tuple[Waste, ...]

    def by_owner(self) -> dict[str, dict[Kind, int]]:
        """owner → kind → bytes, those with most first."""
        table: dict[str, dict[Kind, int]] = defaultdict(lambda: dict.fromkeys(KINDS, 0))
        for item in self.found:
            table[item.owner][item.kind] += item.bytes
        return dict(sorted(table.items(), key=lambda row: -sum(row[1].values())))

    def of(self, owner: str) -> int:
        """Bytes that belong to `owner`."""
        return sum(item.bytes for item in self.found if item.owner == owner)


def over_quota(workspace: Workspace, user: str) -> str | None:
    """Why `user` may not begin anything that takes space, in a sentence; None where there is room, or no quota.

    It goes by the last count, made again in the background where it is older than two minutes.
    """
    quota = settings.read(workspace).quota_gb if user else None
    usage = current(workspace) if quota is not None else None
    if quota is None or usage is None or usage.of(user) < quota * GIGABYTE:
        return None
    return f"You use {usage.of(user) / GIGABYTE:.1f} GB of the {quota:g} GB that each person may use here."


def current(workspace: Workspace) -> Usage | None:
    """The last count, None where there is none yet; where it is old or missing another is on its way."""
    usage = read(workspace)
    if usage is None or not 0 <= time.time() - usage.time < FRESH:
        refresh(workspace)
    return usage


def path(workspace: Workspace) -> Path:
    """Where the last count lies."""
    return workspace.root / "cache" / "usage.json"


def read(workspace: Workspace) -> Usage | None:
    """The last count; None where there is none that can be read."""
    try:
        data = json.loads(path(workspace).read_text(encoding="utf-8"))
        data["found"] = tuple(Found(**item) for item in data["found"])
        data["waste"] = tuple(Waste(**{**item, "ids": tuple(item["ids"])}) for item in data["waste"])
        return Usage(**data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


_spawned: dict[Workspace, float] = {}


def refresh(workspace: Workspace, *, again: bool = False) -> None:
    """Have it counted anew in a process of its own, once for many who ask; `again`: something is gone now."""
    now = time.monotonic()
    if again or now - _spawned.get(workspace, -SPAWNED) >= SPAWNED:
        _spawned[workspace] = now
        spawn("catfish_core.lab.usage", os.fspath(workspace.root), log=path(workspace).with_suffix(".log"))


def is_counting(workspace: Workspace) -> bool:
    """Whether a count is on its way that was asked for here."""
    asked = _spawned.get(workspace)
    if asked is None or time.monotonic() - asked > SPAWNED:
        return False
    usage = read(workspace)
    return usage is None or usage.time < time.time() - (time.monotonic() - asked)


def count(workspace: Workspace) -> Usage:
    """What is on the disk now; takes about a second for 100,000 files."""
    began = time.time()
    tally = _Tally()
    found = [*_jobs(workspace, tally), *_datasets(workspace, tally), *_shared(workspace, tally)]
    return Usage(began, time.time() - began, tally.files, tuple(found), tuple(_wastes(workspace)))


class _Tally:
    """Sums what files take on the disk, and counts them."""

    def __init__(self) -> None:
        self.files = 0

    def bytes(self, folder: Path) -> int:
        total = 0
        for entry in _walk(folder):
            with contextlib.suppress(OSError):  # gone since it was listed
                total += _taken(entry.stat(follow_symlinks=False))
                self.files += 1
        return total


def _taken(about: os.stat_result) -> int:
    """Bytes on the disk, whatever the length of the file: a cache may have holes."""
    return int(getattr(about, "st_blocks", -(-about.st_size // 512))) * 512


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every file below `folder`; links are files, not ways to elsewhere."""
    open_folders = [os.fspath(folder)]
    while open_folders:
        with contextlib.suppress(OSError), os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(entry.path)
                else:
                    yield entry


def _every(workspace: Workspace) -> Iterator[tuple[Kind, Job]]:
    yield from (("runs", run) for run in directory.every(Run, workspace.runs))
    yield from (("sweeps", sweep) for sweep in directory.every(Sweep, workspace.sweeps))


def _jobs(workspace: Workspace, tally: _Tally) -> Iterator[Found]:
    for kind, job in _every(workspace):
        yield Found(kind, job.id, job.owner(), tally.bytes(job.path))


def _datasets(workspace: Workspace, tally: _Tally) -> Iterator[Found]:
    for file in sorted(workspace.datasets.glob("*/dataset.json")):
        yield Found("datasets", file.parent.name, _dataset_owner(file), tally.bytes(file.parent))


def _dataset_owner(file: Path) -> str:
    return str(directory.told(file).get("owner", ""))


def _shared(workspace: Workspace, tally: _Tally) -> Iterator[Found]:
    """What belongs to nobody: caches, weights, archives, and whatever else lies in the workspace."""
    kinds: dict[str, Kind] = {"cache": "caches", "weights": "weights", "downloads": "downloads"}
    if not workspace.root.is_dir():
        return
    for folder in sorted(workspace.root.iterdir()):
        if folder.name in ("runs", "sweeps", "datasets"):
            hidden = sum(tally.bytes(each) for each in folder.glob(".*"))
            yield Found("other", f"{folder.name}/.*", "", hidden)
        else:
            yield Found(kinds.get(folder.name, "other"), folder.name, "", _of(folder, tally))


def _of(place: Path, tally: _Tally) -> int:
    try:
        return tally.bytes(place) if place.is_dir() else _taken(place.lstat())
    except FileNotFoundError:
        return 0


def _wastes(workspace: Workspace) -> Iterator[Waste]:
    caches = [workspace.pixels, workspace.features, workspace.estimates]
    for kind, places in (("caches", caches), ("downloads", _given_up(workspace)), ("leftovers", _deleted(workspace))):
        if size := sum(_of(each, _Tally()) for each in places):
            yield Waste(kind, "", size)  # type: ignore[arg-type]
    ends: dict[tuple[WasteKind, str], list[tuple[str, int]]] = defaultdict(list)
    for run in directory.every(Run, workspace.runs):
        if (kind_of := disposable(run)) is not None:
            place = run.path if kind_of == "failed" else run.checkpoints
            ends[kind_of, run.owner()].append((run.id, _Tally().bytes(place)))
    for (kind_of, owner), each in ends.items():
        yield Waste(kind_of, owner, sum(size for _, size in each), tuple(id for id, _ in each))


def disposable(run: Run) -> WasteKind | None:
    """What of `run` can go: all of one that failed and kept nothing, the checkpoints of one finished long ago."""
    status = runs.status(run)
    checkpoints = any(_walk(run.checkpoints))
    if status in ("failed", "crashed") and not run.model_path.exists() and not checkpoints:
        return "failed"
    finished = status == "completed" and checkpoints and run.model_path.exists()
    return "checkpoints" if finished and time.time() - run.events_path.stat().st_mtime > OLD else None


def _given_up(workspace: Workspace) -> list[Path]:
    """Archives whose photos have been unpacked, and parts of files that nobody goes on fetching."""

    def over(file: Path) -> bool:
        ready = (workspace.datasets / file.stem / "dataset.json").exists()
        return file.is_file() and (ready or time.time() - file.stat().st_mtime > ABANDONED)

    return [file for file in workspace.downloads.glob("*") if over(file)]


def _deleted(workspace: Workspace) -> list[Path]:
    """What was on its way out when the process that removed it ended."""
    folders = (workspace.runs, workspace.sweeps, workspace.datasets)
    found = [each for folder in folders for each in folder.glob(".deleted-*")]
    return [each for each in found if time.time() - each.stat().st_mtime > ABANDONED]


def remove(workspace: Workspace, waste: Waste, delete: Callable[[Job], None] = directory.delete) -> None:
    """Remove what `waste` names, looked at once more: what is in use or worth something by now stays.

    `delete` removes a whole run. Raises StorageError where the disk refuses.
    """
    with storage_faults(workspace.root):
        if waste.kind == "caches":
            pixels.clear(workspace)
            for folder in (workspace.features, workspace.estimates):
                _unlink(folder.glob("*"))
        elif waste.kind == "downloads":
            _unlink(iter(_given_up(workspace)))
        elif waste.kind == "leftovers":
            for doomed in _deleted(workspace):
                shutil.rmtree(doomed, ignore_errors=True)
        else:
            _clean_runs(workspace, waste, delete)
    refresh(workspace, again=True)


def _unlink(files: Iterator[Path]) -> None:
    """A run that reads one of them goes on: the system keeps an open file until its last reader is gone."""
    for file in files:
        if file.is_file():
            file.unlink(missing_ok=True)


def _clean_runs(workspace: Workspace, waste: Waste, delete: Callable[[Job], None]) -> None:
    for id in waste.ids:
        try:
            run = runs.find(workspace, id)
        except RunError:  # somebody was faster
            continue
        if run.owner() != waste.owner or disposable(run) != waste.kind:
            continue
        if waste.kind == "failed":
            delete(run)
            continue
        lock = lock_at(run.path, run.lock_path.name)  # a worker that comes up now waits, and finds none to go on from
        if acquired(lock, 0):
            try:
                _unlink(run.checkpoints.glob("*"))
            finally:
                lock.release()


def main(arguments: list[str]) -> int:
    """Count the workspace `arguments[0]`, after whoever is at it."""
    workspace = Workspace(Path(arguments[0]))
    lock = lock_at(path(workspace).parent, "usage.lock")
    if acquired(lock, 60):  # whoever counts now may have passed by what has changed since
        with contextlib.suppress(OSError, AttributeError):
            os.nice(10)  # trainings first
        try:
            write_text(path(workspace), json.dumps(asdict(count(workspace))))
        finally:
            lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
