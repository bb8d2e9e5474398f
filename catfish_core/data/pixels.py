"""The photos of a dataset as networks see them: decoded once, kept on disk, shared by every process.  [no torch]

cache/pixels/<version>-<size>-<mode>-<format>/ holds
  pixels.bin   uint8 (N, size, size, 3), one photo after the other: train, val, test, each in the order of names
  journal.txt  while it is being made: number and checksum of each finished block, so that another can go on
  ready.json   once what was wanted is there: the checksums of all blocks, null for those that nobody wanted yet
and cache/pixels/.locks/ one lock a folder, held by whoever makes, opens or removes it, and one lease a user, held
for as long as it reads. The kernel frees both when their process dies.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import mmap
import os
import secrets
import shutil
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from catfish_core.data import photos
from catfish_core.errors import StorageError, storage_faults
from catfish_core.events import Preparing
from catfish_core.workspace import Workspace, acquired, lock_at, write_text

if TYPE_CHECKING:
    from catfish_core.data.library import Dataset

Mode = Literal["squash", "crop"]
FORMAT = 1  # changes with the layout of the files and with whatever makes other pixels of the same photo
BUDGET = "CATFISH_CACHE_GB"  # the environment variable that says how much may lie in the cache
_BUDGET_GB = 10.0
_BLOCK_BYTES = 2 * 2**20
_WHOLE_BYTES = 512 * 2**20  # so much is checked to its last byte at every opening; of more, some blocks are
_SAMPLED = 32  # blocks
_RESIDENT_BYTES = 256 * 2**20  # of a file no larger than this all pages may stay mapped
_TOUCHED_BYTES = 2 * 2**20  # read from a larger one before its pages are let go: Linux maps up to 2 MiB around each


class Pixels:
    """The squares of some splits of a dataset, memory-mapped and read-only; never removed while this is open.

    `rows` says for each of these splits where its photos lie.
    """

    def __init__(self, path: Path, size: int, rows: dict[str, NDArray[np.int64]], lease: FileLock) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._all = np.frombuffer(self._map, dtype=np.uint8).reshape(-1, size, size, 3)
        self._rows, self._lease, self._touched = rows, lease, 0

    def holds(self, split: str) -> bool:
        """Whether the photos of `split` are among them."""
        return split in self._rows

    def take(self, split: str, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The photos at `indices` of `split`, a copy: uint8 (n, size, size, 3)."""
        taken: NDArray[np.uint8] = self._all[self._rows[split][np.asarray(indices, dtype=np.int64)]]
        self._hand_back(taken.nbytes)
        return taken

    def _hand_back(self, touched: int) -> None:
        """Let go of mapped pages now and then: they stay in the system's cache, but no longer count as ours."""
        self._touched += touched
        large = self._all.nbytes > _RESIDENT_BYTES
        if large and self._touched > _TOUCHED_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def close(self) -> None:
        """Allow its removal; nothing may be read any more."""
        self._lease.release(force=True)
        with contextlib.suppress(OSError):
            Path(self._lease.lock_file).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Place:
    """Where one set of squares lies, and how large it is."""

    folder: Path
    size: int
    count: int

    @property
    def data(self) -> Path:
        return self.folder / "pixels.bin"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.txt"

    @property
    def ready(self) -> Path:
        return self.folder / "ready.json"

    @property
    def photo_bytes(self) -> int:
        return 3 * self.size * self.size

    @property
    def total_bytes(self) -> int:
        return self.count * self.photo_bytes

    @property
    def per_block(self) -> int:
        """Photos in a block: few enough to lose at a crash, enough to keep every core at work."""
        return max(16, min(256, _BLOCK_BYTES // self.photo_bytes))

    @property
    def blocks(self) -> int:
        return math.ceil(self.count / self.per_block)

    def rows(self, block: int) -> range:
        """The photos of `block`."""
        return range(block * self.per_block, min((block + 1) * self.per_block, self.count))

    def blocks_of(self, rows: Iterable[NDArray[np.int64]]) -> list[int]:
        """The blocks that hold any of `rows`, in order."""
        return sorted({int(block) for some in rows for block in np.unique(some // self.per_block)})


def prepare(
    ws: Workspace, dataset: Dataset, size: int, mode: Mode, splits: Collection[str] | None = None
) -> Generator[Preparing, None, Pixels]:
    """Decode what is not decoded yet; the squares of the photos of `splits`, by default all, are the value.

    Of several processes one works and the others wait. What an interrupted one has finished is kept, and what
    does not match its checksum is made again. Raises PhotoError for a photo that is gone or no longer decodes,
    StorageError when the disk is full or the budget too small: nothing is left behind then.
    """
    key = _key(dataset.info.version, size, mode)
    place = _Place(ws.pixels / key, size, sum(len(split.labels) for split in dataset.splits.values()))
    rows = {split: found for split, found in _rows(dataset).items() if splits is None or split in splits}
    wanted = place.blocks_of(rows.values())
    lock = _lock(ws, key)
    try:
        while not acquired(lock, 0.2):
            yield _progress("Another run is preparing the photos", place, wanted, _journal(place))
        if not _intact(place, wanted):
            yield from _make(ws, place, dataset, mode, wanted)
        with storage_faults(place.folder):
            os.utime(place.folder)  # the least recently used goes first
        return Pixels(place.data, size, rows, _lease(ws, key))
    finally:
        lock.release()


def is_ready(ws: Workspace, version: str, size: int, mode: Mode) -> bool:
    """Whether squares of the dataset `version` are there to be trained on; not whether they are still whole."""
    return (ws.pixels / _key(version, size, mode) / "ready.json").exists()


def _key(version: str, size: int, mode: Mode) -> str:
    return f"{version}-{size}-{mode}-{FORMAT}"


def forget(ws: Workspace, version: str) -> None:
    """Remove all squares of the dataset `version` that nobody is using."""
    for folder in ws.pixels.glob(f"{version}-*"):
        _remove(ws, folder)


def clear(ws: Workspace) -> None:
    """Remove all that nobody is making or using; it is made again when it is needed."""
    for folder in _oldest_first(ws) if ws.pixels.is_dir() else []:
        _remove(ws, folder)


def budget() -> int:
    """How many bytes all squares together may take: CATFISH_CACHE_GB, or 10 GB; raises StorageError for nonsense."""
    named = os.environ.get(BUDGET, "")
    try:
        gigabytes = float(named or _BUDGET_GB)
        if not 0 <= gigabytes < math.inf:
            raise ValueError
    except ValueError:
        raise StorageError(f"{BUDGET} is “{named[:40]}”.", "It must be a number of gigabytes, such as 10.") from None
    return int(gigabytes * 1e9)


def _rows(dataset: Dataset) -> dict[str, NDArray[np.int64]]:
    """split → the row of each of its photos.

    A version says nothing of the order in which photos were imported, so rows follow names: two imports of the
    same photos can share one file.
    """
    rows, start = {}, 0
    for split, found in dataset.splits.items():
        rows[split] = np.empty(len(found.names), dtype=np.int64)
        order = sorted(range(len(found.names)), key=found.names.__getitem__)
        rows[split][order] = np.arange(start, start + len(order))
        start += len(order)
    return rows


def _make(ws: Workspace, place: _Place, dataset: Dataset, mode: Mode, wanted: Sequence[int]) -> Iterator[Preparing]:
    """Fill the blocks of `place` that are `wanted`, one after the other; the caller holds its lock."""
    what = "Preparing the photos"
    try:
        with storage_faults(place.data):
            _room(ws, place)
            yield _progress(what, place, wanted, ())
            place.folder.mkdir(parents=True, exist_ok=True)
            finished = _resumed(place, wanted)
            sources = _sources(dataset)
            with (
                _threads() as pool,
                open(place.data, "r+b") as data,
                open(place.journal, "ab", buffering=0) as journal,
            ):
                missing = [block for block in wanted if block not in finished]
                begun = (_begun(pool, place, block, sources, mode) for block in missing)
                for block, work in zip(missing, _one_ahead(begun), strict=True):
                    pixels = yield from _decoded(work, functools.partial(_progress, what, place, wanted, finished))
                    finished[block] = _store(data, journal, place, block, pixels)
                    yield _progress(what, place, wanted, finished)
                if not _whole(place, wanted):  # what is not all looked at when it is opened has to be on the disk
                    os.fsync(data.fileno())
            _finish(place, finished)
    except StorageError:
        if not _in_use(ws, place.folder.name):  # a full disk is not helped by half of something
            shutil.rmtree(place.folder, ignore_errors=True)
        raise


def _progress(
    what: str, place: _Place, wanted: Collection[int], finished: Container[int], more: int = 0
) -> Preparing:
    """How many photos of the blocks that are `wanted` are there, and `more` of one at work."""
    done = sum(len(place.rows(block)) for block in wanted if block in finished)
    total = sum(len(place.rows(block)) for block in wanted)
    return Preparing(what=what, done=done + more, total=total, unit="photos")


def _sources(dataset: Dataset) -> list[tuple[Path, str]]:
    """row → the path of its photo, and the name it came with."""
    sources = [(Path(), "")] * sum(len(split.names) for split in dataset.splits.values())
    for split, rows in _rows(dataset).items():
        found = dataset.splits[split]
        for row, path, name in zip(rows.tolist(), found.paths, found.names, strict=True):
            sources[row] = path, name
    return sources


def _resumed(place: _Place, wanted: Collection[int]) -> dict[int, int]:
    """The blocks that are there already, with their checksums; whatever does not match them is not.

    A file that was whole and no longer is, is mended in place: those who have it mapped read on. Of one that was
    finished only what is `wanted` now is looked at, because it may be large.
    """
    ready = _checksums(place)
    noted = ready or _journal(place)
    place.ready.unlink(missing_ok=True)
    place.data.touch()
    unseen = set(ready) - set(wanted) if place.data.stat().st_size == place.total_bytes else set()
    os.truncate(place.data, place.total_bytes)  # blocks that nobody wanted yet are a hole in it
    with open(place.data, "rb") as data:
        kept = {k: noted[k] for k in noted if k in unseen or _checksum(data, place, k) == noted[k]}
    write_text(place.journal, "".join(_line(k, checksum) for k, checksum in kept.items()))
    return kept


_Work = tuple[NDArray[np.uint8], list[Future[None]]]


def _begun(
    pool: ThreadPoolExecutor, place: _Place, block: int, sources: Sequence[tuple[Path, str]], mode: Mode
) -> _Work:
    """The squares of `block`, uint8 (n, size, size, 3), and what of them is being decoded on all cores."""
    rows = place.rows(block)
    pixels = np.empty((len(rows), place.size, place.size, 3), dtype=np.uint8)

    def one(row: int) -> None:
        path, name = sources[row]
        pixels[row - rows.start] = np.asarray(photos.square(path, place.size, mode, name))

    return pixels, [pool.submit(one, row) for row in rows]


def _one_ahead(works: Iterable[_Work]) -> Iterator[_Work]:
    """Each of `works` when the next one has begun too, so that no core waits while a block is written down."""
    waiting: deque[_Work] = deque()
    for work in works:
        waiting.append(work)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def _decoded(work: _Work, progress: Callable[[int], Preparing]) -> Generator[Preparing, None, NDArray[np.uint8]]:
    """The squares of a block that was begun, when all are there; until then the `progress` of so many of them."""
    pixels, coming = work
    told = time.monotonic()
    for done, photo in enumerate(coming):
        photo.result()
        if time.monotonic() - told > 0.25:
            told = time.monotonic()
            yield progress(done + 1)
    return pixels


class _threads(ThreadPoolExecutor):
    """One thread a core; what has not begun is dropped when something goes wrong or nobody wants it any more."""

    def __init__(self) -> None:
        super().__init__(max_workers=min(32, os.cpu_count() or 2), thread_name_prefix="pixels")

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


def _store(data: BinaryIO, journal: BinaryIO, place: _Place, block: int, pixels: NDArray[np.uint8]) -> int:
    """Write a block, then note it, in this order; its checksum."""
    data.seek(place.rows(block).start * place.photo_bytes)
    data.write(pixels.data)
    data.flush()
    checksum = zlib.crc32(pixels.data)
    journal.write(_line(block, checksum).encode())
    return checksum


def _finish(place: _Place, finished: dict[int, int]) -> None:
    write_text(place.ready, json.dumps([finished.get(k) for k in range(place.blocks)]))
    place.journal.unlink()


def _line(block: int, checksum: int) -> str:
    return f"{block} {checksum:08x}\n"


def _journal(place: _Place) -> dict[int, int]:
    """block → checksum of all that were noted; a torn last line is passed over."""
    try:
        lines = place.journal.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
    except OSError:
        return {}
    noted = {}
    for line in lines:
        with contextlib.suppress(ValueError):
            number, checksum = line.split()
            if line.endswith("\n") and int(number) < place.blocks:
                noted[int(number)] = int(checksum, 16)
    return noted


def _checksums(place: _Place) -> dict[int, int]:
    """block → checksum of what is finished in a set; none where nothing is, or its list is damaged."""
    try:
        found = json.loads(place.ready.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, list) or len(found) != place.blocks:
        return {}
    return {block: checksum for block, checksum in enumerate(found) if isinstance(checksum, int)}


def _checksum(data: BinaryIO, place: _Place, block: int) -> int:
    rows = place.rows(block)
    data.seek(rows.start * place.photo_bytes)
    content = data.read(len(rows) * place.photo_bytes)
    return zlib.crc32(content) if len(content) == len(rows) * place.photo_bytes else -1


def _intact(place: _Place, wanted: Sequence[int]) -> bool:
    """Whether the squares `wanted` are finished and still what they were: all of them, or a sample of many."""
    noted = _checksums(place)
    try:
        if not all(block in noted for block in wanted) or place.data.stat().st_size != place.total_bytes:
            return False
        chosen = wanted
        if not _whole(place, wanted):
            chosen = [wanted[0], wanted[-1], *np.random.default_rng().choice(wanted, _SAMPLED).tolist()]
        with open(place.data, "rb") as data:
            return all(_checksum(data, place, k) == noted[k] for k in chosen)
    except OSError:
        return False


def _whole(place: _Place, wanted: Sequence[int]) -> bool:
    """Whether all of `wanted` is checked at every opening."""
    return len(wanted) * place.per_block * place.photo_bytes <= _WHOLE_BYTES


def _room(ws: Workspace, place: _Place) -> None:
    """Remove what was used least recently until `place` fits the budget and the disk; raises StorageError if not."""
    limit = budget()
    if place.total_bytes > limit:
        raise StorageError(
            f"Prepared photos would take {place.total_bytes / 1e9:.1f} GB, and may take {limit / 1e9:g}.",
            f"Set {BUDGET} to more gigabytes.",
        )
    ws.pixels.mkdir(parents=True, exist_ok=True)
    others = {folder: _bytes_in(folder) for folder in _oldest_first(ws) if folder != place.folder}
    missing = place.total_bytes - _bytes_in(place.folder)
    for folder in list(others):
        fits_budget = sum(others.values()) + place.total_bytes <= limit
        if fits_budget and missing <= shutil.disk_usage(ws.pixels).free:
            return
        if _remove(ws, folder):
            del others[folder]
    free = shutil.disk_usage(ws.pixels).free
    if missing > free:
        raise StorageError(
            f"The disk has room for {free / 1e6:,.0f} MB; prepared photos need {missing / 1e6:,.0f}.",
            "Free some space (the Runs page can delete old runs).",
        )
    if sum(others.values()) + place.total_bytes > limit:
        raise StorageError(
            "Other runs are using all the space that prepared photos may take.",
            f"Wait for them, or set {BUDGET} to more gigabytes.",
        )


def _oldest_first(ws: Workspace) -> list[Path]:
    def used(folder: Path) -> float:
        try:
            return folder.stat().st_mtime
        except FileNotFoundError:  # another process has just removed it
            return 0.0

    return sorted((f for f in ws.pixels.iterdir() if f.is_dir() and f.name != ".locks"), key=used)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _remove(ws: Workspace, folder: Path) -> bool:
    """Remove `folder` unless somebody is making or using it; whether it is gone."""
    lock = _lock(ws, folder.name)
    if not acquired(lock, 0):
        return False
    try:
        if _in_use(ws, folder.name):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        lock.release()


def _in_use(ws: Workspace, key: str) -> bool:
    """Whether a living process reads `key`; leases of dead ones are cleared away. The caller holds the lock."""
    for path in (ws.pixels / ".locks").glob(f"{key}.*.lease"):
        lease = FileLock(path, thread_local=False)
        if not acquired(lease, 0):
            return True
        lease.release()
        path.unlink(missing_ok=True)
    return False


def _lease(ws: Workspace, key: str) -> FileLock:
    """A lock of one's own that says `key` is being read."""
    lease = FileLock(ws.pixels / ".locks" / f"{key}.{secrets.token_hex(6)}.lease", thread_local=False)
    with storage_faults(Path(lease.lock_file)):
        lease.acquire(timeout=5)
    return lease


def _lock(ws: Workspace, key: str) -> FileLock:
    return lock_at(ws.pixels / ".locks", f"{key}.lock")
