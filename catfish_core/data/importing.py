"""From a zip or a folder to a numbered, checked, fingerprinted dataset on disk.  [no torch]"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from catfish_core.data import photos, splits
from catfish_core.data.archive import Entry, open_source
from catfish_core.data.splits import Place
from catfish_core.errors import DatasetError, PhotoError, StorageError, storage_faults
from catfish_core.events import Preparing

NOTES = frozenset({".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html", ".pdf", ".db",
                   ".ini", ".py", ".ipynb", ".log", ".npy", ".pkl"})  # fmt: skip
TELL = 0.5  # seconds between two words on how far it is, at most


@dataclass(frozen=True)
class Problem:
    """A file that was left out, by the name it came with, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Row:
    """A photo that was taken in: its file in photos/, the name it came with, where it belongs, its size in pixels."""

    file: str
    name: str
    split: str
    label: int
    width: int
    height: int


@dataclass(frozen=True)
class Imported:
    """What came of an import: `version` is 16 hex digits over every split, class, name and content."""

    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    version: str


@dataclass(frozen=True)
class _Taken:
    """One photo after a thread has read, checked and stored it."""

    file: str
    digest: str
    width: int
    height: int


def take_in(source: Path, folder: Path, seed: int = 0) -> Generator[Preparing, None, Imported]:
    """Copy the photos of the zip or folder `source` to `folder`/photos, numbered; every one is decoded once.

    The generator's value is what was imported. Files that are no readable photo become problems.
    Raises DatasetError when no dataset comes of it, StorageError when the disk refuses.
    """
    yield Preparing(what="Looking through the files")
    with closing(open_source(source)) as opened:
        entries = opened.entries()
        if not entries:
            raise DatasetError(f"{source.name} is empty.", splits.EXPECTED)
        places, problems = _sort(entries)
        _room(folder, sum(entries[p.index].size for p in places))
        taken = yield from _store(entries, places, folder, problems)
    return _finish(entries, [p for p in places if p.index in taken], taken, problems, seed)


def _sort(entries: Sequence[Entry]) -> tuple[list[Place], list[Problem]]:
    """Where each photo belongs, and the files that cannot be one; notes beside the photos are passed over."""
    names = [entry.name for entry in entries]
    suffixes = [PurePosixPath(name).suffix.lower() for name in names]
    pictures = [i for i, suffix in enumerate(suffixes) if suffix in photos.SUFFIXES]
    if not pictures:
        raise DatasetError(f"There are no photos among the {len(names):,} files.", f"{photos.KINDS} are read.")
    inner, strays = splits.layout([names[i] for i in pictures])
    places = [Place(pictures[p.index], p.label, p.split) for p in inner]
    splits.classes_of(places)  # before hours of reading
    problems = [Problem(names[pictures[i]], "It lies in no class folder.") for i in strays]
    others = (i for i, s in enumerate(suffixes) if s not in photos.SUFFIXES and s not in NOTES and "/" in names[i])
    problems += [Problem(names[i], f"It is not a {photos.KINDS} picture.") for i in others]
    return places, problems


def _room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"The disk has room for {free / 1e6:,.0f} MB; these photos need {needed / 1e6:,.0f}.",
            "Free some space, or set CATFISH_HOME to a folder on another disk.",
        )


def _store(
    entries: Sequence[Entry], places: Sequence[Place], folder: Path, problems: list[Problem]
) -> Generator[Preparing, None, dict[int, _Taken]]:
    """Every readable photo, by its index; the others go to `problems`."""
    with storage_faults(folder):
        (folder / "photos").mkdir()
    taken: dict[int, _Taken] = {}
    told = time.monotonic()

    def work(numbered: tuple[int, Place]) -> _Taken | Problem:
        return _take(entries[numbered[1].index], numbered[0], folder / "photos")

    with _threads() as pool:
        for n, outcome in enumerate(pool.map(work, enumerate(places))):
            if isinstance(outcome, Problem):
                problems.append(outcome)
            else:
                taken[places[n].index] = outcome
            if n % max(1, len(places) // 100) == 0 or time.monotonic() - told > TELL:
                told = time.monotonic()
                yield Preparing(what="Reading the photos", done=n + 1, total=len(places), unit="photos")
    yield Preparing(what="Reading the photos", done=len(places), total=len(places), unit="photos")
    return taken


class _threads(ThreadPoolExecutor):
    """A pool that drops what has not begun as soon as something goes wrong, rather than finish it first."""

    def __init__(self) -> None:
        super().__init__(max_workers=min(8, (os.cpu_count() or 2) + 1))

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


def _take(entry: Entry, number: int, folder: Path) -> _Taken | Problem:
    try:
        content = entry.read()
        width, height = photos.check(content)
    except PhotoError as error:
        return Problem(entry.name, error.what)
    file = f"{number:06}{PurePosixPath(entry.name).suffix.lower()}"
    with storage_faults(folder / file):
        (folder / file).write_bytes(content)
    return _Taken(file, hashlib.sha256(content).hexdigest(), width, height)


def _finish(
    entries: Sequence[Entry], places: Sequence[Place], taken: dict[int, _Taken], problems: list[Problem], seed: int
) -> Imported:
    """Decide splits among the photos that could be read, and fingerprint the result."""
    if not places:
        raise DatasetError("Not one of the photos can be read.", problems[0].reason if problems else "")
    names = [entry.name for entry in entries]
    classes = splits.classes_of(places)
    numbers = {label: n for n, label in enumerate(classes)}
    unknown = [p for p in places if p.label not in numbers]
    problems += [Problem(names[p.index], f"“{p.label[:80]}” has no photos to train on.") for p in unknown]
    places = splits.assign([p for p in places if p.label in numbers], names, seed)
    if not any(p.split == "val" for p in places):
        raise DatasetError("There are too few photos.", "Every class needs at least two, better a hundred.")
    rows = [
        Row(t.file, names[p.index], str(p.split), numbers[p.label], t.width, t.height)
        for p in places
        for t in (taken[p.index],)
    ]
    digests = [taken[p.index].digest for p in places]
    return Imported(classes, tuple(rows), tuple(problems), fingerprint(classes, rows, digests))


def fingerprint(classes: Sequence[str], rows: Sequence[Row], digests: Sequence[str]) -> str:
    """16 hex digits that change when a split, a class name, a file name or a pixel does, whatever the order."""
    lines = sorted(
        "\0".join((row.split, classes[row.label], row.name, digest))
        for row, digest in zip(rows, digests, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
