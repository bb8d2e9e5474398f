"""The datasets of a workspace: what there is, making one ready, adding, loading and deleting.  [no torch]

On disk, datasets/<id>/ holds dataset.json (small: what it is), index.json (columns: every photo) and photos/
(numbered files; the names they came with are data). It is built in a hidden sibling and renamed into place.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from itertools import count as counting
from pathlib import Path
from typing import Any, overload

from filelock import FileLock

from catfish_core import catalog, runs
from catfish_core.catalog import BUILTIN_DATASETS, BuiltinDataset
from catfish_core.data import activity, pixels, sketchbook
from catfish_core.data.download import fetch
from catfish_core.data.importing import Imported, Problem, Row, take_in
from catfish_core.errors import DatasetError, storage_faults
from catfish_core.events import Preparing
from catfish_core.workspace import Workspace, acquired, lock_at, slug, write_text

SPLITS = ("train", "val", "test")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_BUILTIN = {row.id: row for row in BUILTIN_DATASETS}
_MAX_PROBLEMS = 1000  # kept in dataset.json; a set with more is wrong altogether


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset is; `counts` are photos per split and class, `problems` the files that were left out.

    `owner` is the name of the person who brought it; empty for built-in ones, and where nobody signs in.
    """

    id: str
    name: str
    about: str
    source: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    version: str
    created: str
    problems: tuple[Problem, ...] = ()
    owner: str = ""

    @property
    def total(self) -> int:
        """Photos in all splits together."""
        return sum(sum(counts) for counts in self.counts.values())


@dataclass(frozen=True)
class Split:
    """The photos of one split, in a fixed order; `names` are those they came with."""

    paths: Sequence[Path]
    labels: tuple[int, ...]
    names: tuple[str, ...]


class Files(Sequence[Path]):
    """The paths of files in one folder, made when they are asked for: there may be hundreds of thousands."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, tuple(names)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> Files: ...
    def __getitem__(self, place: int | slice) -> Path | Files:
        if isinstance(place, slice):
            return Files(self._folder, self._names[place])
        return self._folder / self._names[place]


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be trained on; splits are "train", "val" and "test" (the last may be empty)."""

    info: DatasetInfo
    splits: dict[str, Split]


def listing(ws: Workspace) -> list[DatasetInfo]:
    """The datasets that are ready, built-in ones first, then the newest; damaged ones are not ready."""
    found = []
    for path in ws.datasets.glob("*/dataset.json"):
        with contextlib.suppress(DatasetError):
            found.append(info(ws, path.parent.name))
    found.sort(key=lambda d: d.created, reverse=True)
    order = list(_BUILTIN)
    return sorted(found, key=lambda d: order.index(d.id) if d.id in _BUILTIN else len(order))


def is_ready(ws: Workspace, id: str) -> bool:
    """Whether `id` can be loaded."""
    return _ID.fullmatch(id) is not None and (ws.datasets / id / "dataset.json").is_file()


def info(ws: Workspace, id: str) -> DatasetInfo:
    """What the dataset `id` is; raises DatasetError with the way out when it is missing or damaged."""
    if not is_ready(ws, id):
        raise _missing(id)
    try:
        data = json.loads((ws.datasets / id / "dataset.json").read_text(encoding="utf-8"))
        return _info(id, data)
    except FileNotFoundError:
        raise _missing(id) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(id) from error


def owner(ws: Workspace, id: str) -> str:
    """Who brought the dataset `id`; empty where nobody did or it is not said."""
    try:
        return info(ws, id).owner
    except DatasetError:
        return ""


def _info(id: str, data: dict[str, Any]) -> DatasetInfo:
    told = [field.name for field in fields(DatasetInfo) if field.name not in ("id", "owner")]
    known = {name: data[name] for name in told} | {"owner": str(data.get("owner", ""))}
    known["classes"] = tuple(str(name) for name in known["classes"])
    known["counts"] = {split: tuple(int(n) for n in known["counts"][split]) for split in SPLITS}
    known["problems"] = tuple(Problem(**problem) for problem in known["problems"])
    return DatasetInfo(id=id, **known)


def _missing(id: str) -> DatasetError:
    if id in _BUILTIN:
        name = _BUILTIN[id].name
        return DatasetError(
            f"{name} is not here yet.",
            f"Press Prepare on the Data page, or run: python -m catfish_core datasets prepare {id}",
        )
    return DatasetError(
        f"There is no dataset called “{id[:80]}”.", "The Data page lists those there are, and adds new ones."
    )


def _damaged(id: str) -> DatasetError:
    return DatasetError(f"The dataset “{id}” is damaged.", "Delete it, then add or prepare it again.")


def load(ws: Workspace, id: str) -> Dataset:
    """The dataset `id` with the path, label and name of every photo; raises DatasetError as `info` does."""
    about = info(ws, id)
    folder = ws.datasets / id
    try:
        columns = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        return Dataset(about, {split: _split(columns, split, folder / "photos") for split in SPLITS})
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise _damaged(id) from error


def _split(columns: dict[str, Any], split: str, photos: Path) -> Split:
    """The rows of `split`; column by column, because there may be hundreds of thousands."""
    rows = [i for i, name in enumerate(columns["split"]) if name == split]
    files, labels, names = columns["file"], columns["label"], columns["name"]
    return Split(
        Files(photos, [str(files[i]) for i in rows]),
        tuple([labels[i] for i in rows]),
        tuple([names[i] for i in rows]),
    )


def prepare(ws: Workspace, id: str) -> Iterator[Preparing]:
    """Make the built-in dataset `id` ready: draw it, or fetch and import it; nothing to do when it is.

    Of two processes at once one works and the other waits. A dataset of one's own is only checked for.
    """
    if id not in _BUILTIN:
        info(ws, id)
        return
    lock = _lock(ws, id)
    try:
        while not is_ready(ws, id) and not acquired(lock, 0.5):
            yield Preparing(what=f"Waiting while {_BUILTIN[id].name} is prepared elsewhere")
        if not is_ready(ws, id):
            yield from _BUILDERS[id](ws, _BUILTIN[id])
    finally:
        lock.release()


def _lock(ws: Workspace, id: str) -> FileLock:
    return lock_at(ws.datasets / ".locks", f"{id}.lock")


def _draw(ws: Workspace, row: BuiltinDataset) -> Iterator[Preparing]:
    drawn = ws.datasets / ".drawing-sketchbook"
    shutil.rmtree(drawn, ignore_errors=True)
    try:
        with storage_faults(drawn):
            yield from sketchbook.write(drawn)
        yield from _build(ws, row.id, row.name, row.about, "drawn by CatFish", drawn)
    finally:
        shutil.rmtree(drawn, ignore_errors=True)


def _fetch(ws: Workspace, row: BuiltinDataset) -> Iterator[Preparing]:
    archive = ws.downloads / f"{row.id}.zip"
    try:
        yield from fetch(catalog.dataset_url(), archive, row.name)
        yield from _build(ws, row.id, row.name, row.about, catalog.dataset_url(), archive)
    except DatasetError as error:
        if not archive.exists():
            raise
        archive.unlink()  # not what it should be: the next try must not find it again
        hint = "Try again; if it stays so, set CATFISH_DATASET_URL to an address that serves the zip."
        raise DatasetError(error.what, hint) from error


_BUILDERS = {catalog.SKETCHBOOK.id: _draw, catalog.CATS_VS_FISH.id: _fetch}


def add(ws: Workspace, name: str, source: Path, owner: str = "") -> Generator[Preparing, None, DatasetInfo]:
    """Import the zip or folder `source` as a new dataset called `name` of `owner`; its info is the generator's value.

    Raises DatasetError when it is empty, unsafe or has fewer than two classes; StorageError for a full disk.
    Nothing is left behind then.
    """
    name = " ".join(name.split())[:120] or source.stem
    id, lock = _reserve(ws, name)
    try:
        return (yield from _build(ws, id, name, "", source.name, source, owner))
    finally:
        lock.release()


def _reserve(ws: Workspace, name: str) -> tuple[str, FileLock]:
    """The first free id made of `name`, and the lock that keeps it ours."""
    base = slug(name, "dataset")
    for n in counting(1):
        id = base if n == 1 else f"{base}-{n}"
        if id in _BUILTIN or (ws.datasets / id).exists():
            continue
        lock = _lock(ws, id)
        if acquired(lock, 0):
            if not (ws.datasets / id).exists():
                return id, lock
            lock.release()
    raise AssertionError("counting never ends")


def _build(
    ws: Workspace, id: str, name: str, about: str, origin: str, source: Path, owner: str = ""
) -> Generator[Preparing, None, DatasetInfo]:
    """Import `source` in a hidden folder, then put it in place in one step; the caller holds the lock of `id`."""
    hidden = ws.datasets / f".building-{id}"
    shutil.rmtree(hidden, ignore_errors=True)  # of a process that was killed
    try:
        with storage_faults(hidden / "photos"):
            hidden.mkdir(parents=True)
            imported = yield from take_in(source, hidden)
            made = replace(_describe(id, name, about, origin, imported), owner=owner)
            _write(hidden, made, imported.rows)
            hidden.replace(ws.datasets / id)
        return made
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _describe(id: str, name: str, about: str, origin: str, imported: Imported) -> DatasetInfo:
    tally = Counter((row.split, row.label) for row in imported.rows)
    counts = {split: tuple(tally[split, n] for n in range(len(imported.classes))) for split in SPLITS}
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    problems = imported.problems[:_MAX_PROBLEMS]
    return DatasetInfo(id, name, about, origin, imported.classes, counts, imported.version, created, problems)


def _write(folder: Path, made: DatasetInfo, rows: tuple[Row, ...]) -> None:
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(Row)}
    write_text(folder / "index.json", json.dumps(columns, ensure_ascii=False))
    write_text(folder / "dataset.json", json.dumps(asdict(made), ensure_ascii=False, indent=2))


def delete(ws: Workspace, id: str) -> None:
    """Remove the dataset `id` for good; raises DatasetError when there is none or a run is using it."""
    if not _ID.fullmatch(id) or not (ws.datasets / id).is_dir():
        raise _missing(id)
    for run in runs.listing(ws):
        if run.status in runs.ACTIVE and run.config and run.config.data.dataset == id:
            raise DatasetError(
                f"The run “{run.title}” is using this dataset.", "Wait for it or stop it, then delete."
            )
    with storage_faults(ws.datasets / id):
        version = _version(ws, id)
        doomed = ws.datasets / f".deleted-{id}"
        shutil.rmtree(doomed, ignore_errors=True)
        (ws.datasets / id).rename(doomed)  # one step: a half-deleted dataset is never listed
        shutil.rmtree(doomed, ignore_errors=True)
    if version:
        pixels.forget(ws, version)


def _version(ws: Workspace, id: str) -> str | None:
    """The version of `id`, None where it is damaged."""
    try:
        return info(ws, id).version
    except DatasetError:
        return None


def start_prepare(ws: Workspace, id: str) -> Path:
    """Prepare `id` in a process of its own; the log to poll, ended by Prepared or Failed."""
    return activity.launch(ws, id, ["prepare", id])


def start_add(ws: Workspace, name: str, path: Path, owner: str = "") -> Path:
    """Add `path` as a dataset of `owner` in a process of its own; the log to poll.

    It is ended by Prepared, with the new id, or Failed.
    """
    base = slug(name, "dataset")
    names = (base if n == 1 else f"{base}-{n}" for n in counting(1))
    free = next(n for n in names if n not in _BUILTIN and not activity.working(activity.log_path(ws, n)))
    # The blank keeps a name that begins with a hyphen from being taken for an option.
    return activity.launch(ws, free, ["add", f" {name}", str(path.resolve()), f" {owner}"])


def main(arguments: list[str]) -> int:
    """`prepare ID` or `add NAME PATH`: do it and write the log that pages poll; exit code 0 or 1."""
    parser = argparse.ArgumentParser(prog="python -m catfish_core.data.library")
    parser.add_argument("--log", type=Path)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare").add_argument("id")
    adding = commands.add_parser("add")
    adding.add_argument("name")
    adding.add_argument("path", type=Path)
    adding.add_argument("owner", nargs="?", default="")
    asked = parser.parse_args(arguments)
    ws = Workspace.default()
    if asked.command == "prepare":
        return activity.follow(
            asked.log or activity.log_path(ws, slug(asked.id)), _all(prepare(ws, asked.id)), asked.id
        )
    log = asked.log or activity.log_path(ws, slug(asked.name, "dataset"))
    return activity.follow(log, add(ws, asked.name, asked.path, asked.owner.strip()), None)


def _all(steps: Iterator[Preparing]) -> Generator[Preparing, None, None]:
    yield from steps


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
