"""Reading zips and folders that strangers made: names are data, never paths.  [no torch]

A source lists its files as entries with clean, slash-separated names and gives the bytes of each. Nothing is
ever extracted under a name that came with it.
"""

from __future__ import annotations

import os
import stat
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from catfish_core.errors import DatasetError, PhotoError

MAX_ENTRIES = 1_000_000
MAX_TOTAL = 50_000_000_000  # bytes unpacked
MAX_FILE = 512_000_000  # bytes: a 64-megapixel TIFF of 16 bits and three channels fits
MAX_RATIO = 200  # unpacked to packed, judged on files large enough to hurt
RATIO_FROM = 8_000_000  # bytes, one file
TOTAL_FROM = 1_000_000_000  # bytes, all files together

_ANEW = "Make the zip anew from the folder with your photos."


@dataclass(frozen=True)
class Entry:
    """A file in a source: its clean name, its unpacked size in bytes, and how to read it."""

    name: str
    size: int
    read: Callable[[], bytes]


class Source(Protocol):
    """Where photos are imported from."""

    def entries(self) -> list[Entry]:
        """The files that count: no folders, nothing hidden, nothing a Mac leaves behind."""

    def close(self) -> None:
        """Give it back."""


def open_source(path: Path) -> Source:
    """The zip or folder at `path`; raises DatasetError for anything else and for a zip that is unsafe."""
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise DatasetError(f"There is nothing at {path}.", "Give the path of a zip or of a folder with photos.")
    return ZipSource(path)


def clean(name: str) -> str:
    """`name` fit to be shown and written down: valid Unicode in its composed form, without control characters."""
    valid = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    composed = unicodedata.normalize("NFC", valid)
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in composed)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


class FolderSource:
    """A folder and all below it; linked folders are not followed, so that no loop catches us."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self) -> list[Entry]:
        """Every file below the folder that is not hidden."""
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(f for f in folders if not _hidden(f))
            for file in sorted(f for f in files if not _hidden(f)):
                path = Path(folder, file)
                if path.is_file():  # no sockets, no devices, no links into nowhere
                    found.append(self._entry(path))
        return found

    def _entry(self, path: Path) -> Entry:
        def read() -> bytes:
            if path.stat().st_size > MAX_FILE:
                raise PhotoError(f"“{path.name[-80:]}” is larger than {MAX_FILE // 10**6} MB.")
            try:
                return path.read_bytes()
            except OSError as error:
                raise PhotoError(f"“{path.name[-80:]}” cannot be opened.") from error

        return Entry(clean(path.relative_to(self.root).as_posix()), path.stat().st_size, read)

    def close(self) -> None:
        """Nothing is held."""


class ZipSource:
    """A zip, looked through before anything is unpacked; raises DatasetError where it is damaged or unsafe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path.name} is not a zip, or it is damaged.", "Make it anew, or give the folder itself."
            ) from error
        self._lock = threading.Lock()
        try:
            self._check()
        except DatasetError:
            self._zip.close()
            raise

    def _check(self) -> None:
        infos = self._zip.infolist()
        if len(infos) > MAX_ENTRIES:
            raise DatasetError(
                f"{self.path.name} holds more than {MAX_ENTRIES:,} files.", "Split it into smaller sets."
            )
        total = sum(info.file_size for info in infos)
        if total > MAX_TOTAL:
            raise DatasetError(
                f"{self.path.name} would unpack to {total / 1e9:,.0f} GB; the limit is {MAX_TOTAL // 10**9}.",
                "Make the photos smaller, or split the set.",
            )
        if total > TOTAL_FROM and total > MAX_RATIO * self.path.stat().st_size:
            raise DatasetError(
                f"{self.path.name} was refused: it would unpack to over {MAX_RATIO} times its size.", _ANEW
            )
        for info in infos:
            if problem := _unsafe(info):
                shown = clean(info.filename)[:80]
                raise DatasetError(f"{self.path.name} was refused: “{shown}” {problem}.", _ANEW)

    def entries(self) -> list[Entry]:
        """Every file in the zip that is not hidden."""
        return [
            Entry(name, info.file_size, lambda info=info: self._read(info))  # type: ignore[misc]
            for info in self._zip.infolist()
            if not info.is_dir() and not _hidden(name := _name(info))
        ]

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        try:
            with self._lock, self._zip.open(info) as file:  # one reader at a time: the rest is decoding
                return file.read(info.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
            shown = clean(info.filename.rsplit("/", 1)[-1])[-80:]
            raise PhotoError(f"“{shown}” is damaged inside the zip.", _ANEW) from error

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _name(info: zipfile.ZipInfo) -> str:
    parts = clean(info.filename.replace("\\", "/")).split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _unsafe(info: zipfile.ZipInfo) -> str:
    """What is wrong with an entry, to go after its name; empty when nothing is."""
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or name[1:2] == ":":
        return "is an absolute path"
    if ".." in name.split("/"):
        return "leads out of the archive"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is locked with a password"
    if info.file_size > MAX_FILE:
        return f"is larger than {MAX_FILE // 10**6} MB"
    if info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return f"would unpack to over {MAX_RATIO} times its size"
    return ""
