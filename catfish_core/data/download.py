"""Fetching a large file so that a broken connection costs nothing but the wait.  [no torch]"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from catfish_core.errors import DownloadError, StorageError, storage_faults
from catfish_core.events import Preparing

TIMEOUT = 30.0  # seconds without a byte
TRIES = 5  # in a row, as long as each brings something
CHUNK = 1 << 18  # bytes
EVERY = 0.1  # seconds between two reports
_KEPT = "Check the network and try again: what has arrived is kept, and it goes on from there."


def fetch(url: str, target: Path, what: str) -> Iterator[Preparing]:
    """Bring `url` (http, https or file) to `target`, saying how far it is, in megabytes.

    Nothing happens when `target` is there. Until it is whole, it grows in a `.part` file beside it; a later
    call goes on where that one ends, provided the server vouches (Range with If-Range) that the file is
    still the same. Of two callers at once one fetches and the other waits. `what` names it in messages.

    Raises DownloadError, and StorageError for a disk that is full or closed.
    """
    if target.exists():
        return
    with storage_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"), thread_local=False)
    try:
        yield from _locked(lock, what)
        if target.exists():  # fetched by the other one while we waited
            return
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme == "file":
            yield from _copy(url, target, what)
        elif scheme in ("http", "https"):
            yield from _download(url, target, what)
        else:
            raise DownloadError(
                f"{what} cannot be fetched from “{url[:200]}”.", "An http, https or file address is needed."
            )
    finally:
        lock.release()


def _locked(lock: FileLock, what: str) -> Iterator[Preparing]:
    while True:
        try:
            lock.acquire(timeout=0.5, poll_interval=0.1)
            return
        except Timeout:
            yield Preparing(what=f"Waiting while {what} is fetched elsewhere")


def _copy(url: str, target: Path, what: str) -> Iterator[Preparing]:
    source = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
    part = target.with_suffix(".part")
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below; opened apart from the writing, whose faults differ
    except OSError as error:
        raise DownloadError(
            f"{what} is not at {source}.", "Correct the address: a file that can be read is needed."
        ) from error
    with closing(file):
        yield from _write(file, part, "wb", 0, source.stat().st_size, what)
    _finish(part, target)


def _download(url: str, target: Path, what: str) -> Iterator[Preparing]:
    part, mark = target.with_suffix(".part"), target.with_suffix(".etag")
    for _ in range(TRIES):
        before = _size(part)
        try:
            if (yield from _attempt(url, part, mark, what)):
                mark.unlink(missing_ok=True)
                _finish(part, target)
                return
        except _BROKEN as error:
            if _size(part) <= before:
                raise _unreachable(url, what, error) from error
    raise DownloadError(f"{what} broke off at {_size(part) / 1e6:.1f} MB.", _KEPT)


_BROKEN = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


def _unreachable(url: str, what: str, error: Exception) -> DownloadError:
    host = urllib.parse.urlsplit(url).hostname or url[:100]
    if isinstance(error, urllib.error.HTTPError):
        with closing(error):
            return DownloadError(
                f"{what} could not be fetched: {host} answered {error.code} {error.reason}.", f"Asked for {url}."
            )
    return DownloadError(f"{what} could not be fetched: {host} does not answer.", _KEPT)


def _attempt(url: str, part: Path, mark: Path, what: str) -> Generator[Preparing, None, bool]:
    """One request; true (as the generator's value) when the file is whole afterwards."""
    request = urllib.request.Request(url, headers={"User-Agent": "CatFish", "Accept-Encoding": "identity"})
    have = _size(part)
    if have and (validator := _read_mark(mark)):
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - the scheme was looked at
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        part.unlink(missing_ok=True)  # what is here is longer than what is there: begin again
        return False
    with closing(answer):
        start = _start(answer)
        if start not in (0, have):  # not the piece that was asked for
            part.unlink(missing_ok=True)
            return False
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else 0
        _room(part, total - start)
        _write_mark(mark, answer.headers)
        yield from _write(answer, part, "ab" if start else "wb", start, total, what)
    return total in (0, _size(part))


def _start(answer: Any) -> int:
    """The offset the body begins at."""
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if answer.status == 206 and found else 0


def _write(source: IO[bytes], part: Path, mode: str, start: int, total: int, what: str) -> Iterator[Preparing]:
    """Append what `source` gives to `part`, with a report now and then, first and last included."""
    done, said = start, 0.0
    with storage_faults(part), open(part, mode) as file:
        while True:
            if time.monotonic() - said >= EVERY:
                said = time.monotonic()
                yield _report(what, done, total)
            piece = source.read(CHUNK)
            if not piece:
                break
            file.write(piece)
            done += len(piece)
        file.flush()
        os.fsync(file.fileno())
    yield _report(what, done, total)


def _report(what: str, done: int, total: int) -> Preparing:
    whole = -(-total // 10**6)
    return Preparing(what=f"Fetching {what}", done=whole if done == total else done // 10**6, total=whole, unit="MB")


def _room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise StorageError(
            f"The disk has room for {free / 1e6:,.0f} MB; this download needs {needed / 1e6:,.0f}.",
            "Free some space, or set CATFISH_HOME to a folder on another disk.",
        )


def _finish(part: Path, target: Path) -> None:
    with storage_faults(target):
        part.replace(target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_mark(mark: Path) -> str:
    return mark.read_text(encoding="latin-1").strip() if mark.exists() else ""


def _write_mark(mark: Path, headers: Any) -> None:
    """Keep what tells this version of the file from another; a weak ETag cannot, so the date stands in for it."""
    etag = headers.get("ETag", "")
    validator = headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
    with storage_faults(mark):
        mark.write_text(validator, encoding="latin-1")
