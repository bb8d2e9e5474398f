"""Where everything lives on disk, and how a file is written so that a power cut leaves the old or the new one."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from catfish_core.errors import storage_faults

HOME = "CATFISH_HOME"  # the environment variable that names the workspace


@dataclass(frozen=True)
class Workspace:
    """The folder that holds a person's or a lab's datasets, runs, weights and services."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """The folder named by CATFISH_HOME, or ~/.catfish."""
        named = os.environ.get(HOME)
        return cls(Path(named).expanduser().resolve() if named else Path.home() / ".catfish")

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.root / "runs"

    @property
    def sweeps(self) -> Path:
        """One folder a search for a learning rate."""
        return self.root / "sweeps"

    @property
    def datasets(self) -> Path:
        """One folder a dataset."""
        return self.root / "datasets"

    @property
    def downloads(self) -> Path:
        """Archives as they came, and the parts of those still coming."""
        return self.root / "downloads"

    @property
    def weights(self) -> Path:
        """Pretrained weights, downloaded or put there by hand."""
        return self.root / "weights"

    @property
    def pixels(self) -> Path:
        """Decoded photos: made again whenever they are missing."""
        return self.root / "cache" / "pixels"

    @property
    def features(self) -> Path:
        """What frozen backbones saw in photos; may be deleted at any time."""
        return self.root / "cache" / "features"

    @property
    def estimates(self) -> Path:
        """How long runs would take here; may be deleted at any time."""
        return self.root / "cache" / "estimates"

    @property
    def serving(self) -> Path:
        """The address and log of the inference service."""
        return self.root / "serving"


def slug(text: str, fallback: str = "untitled") -> str:
    """`text` as a safe, lower-case file name of at most 40 characters: letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].rstrip("-") or fallback


def lock_at(folder: Path, name: str) -> FileLock:
    """The lock called `name` in `folder`: whoever holds it loses it with its process, however that ends."""
    with storage_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / name, thread_local=False)


def acquired(lock: FileLock, seconds: float) -> bool:
    """Whether `lock` was taken within that time; raises StorageError when the disk refuses."""
    try:
        with storage_faults(Path(lock.lock_file)):
            lock.acquire(timeout=seconds, poll_interval=0.05)
        return True
    except Timeout:
        return False


@contextmanager
def atomic(path: Path, *, make_folder: bool = True) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; on success it is fsynced and takes its place in one step.

    Its folder is made unless `make_folder` says that it must be there. Whatever fails inside leaves `path` as it was
    and removes the temporary. Raises StorageError on a full or closed disk.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with storage_faults(path):
            if make_folder:
                path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by `content` in UTF-8, atomically."""
    write_bytes(path, content.encode())
