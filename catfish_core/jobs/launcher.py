"""What starts an attempt and knows whether it lives: on this machine, or later on a cluster.  [no torch]

The dispatcher knows the protocol alone. An attempt's key is its folder, so that submitting twice starts once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import psutil

from catfish_core.errors import storage_faults
from catfish_core.jobs import directory, shim
from catfish_core.process import python_path
from catfish_core.workspace import write_text

State = Literal["starting", "running", "ended", "lost"]


@dataclass(frozen=True)
class Spec:
    """What to run: a command that stands on its own, in an attempt's folder, with additions to the environment."""

    attempt: Path
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same attempt, whoever asks."""
        return os.fspath(self.attempt)


class Launcher(Protocol):
    """What the dispatcher asks of whatever runs its attempts."""

    def submit(self, spec: Spec) -> str:
        """Start `spec` unless it was started before; its key. Raises CatfishError where it cannot."""

    def poll(self, keys: Iterable[str]) -> dict[str, State]:
        """How each stands, without those that cannot be asked. *lost*: it ended without a word, or never began."""

    def stop(self, key: str, grace: float) -> None:
        """Ask it to stop; after `grace` seconds it is told, then made to."""

    def kill(self, key: str) -> bool:
        """End all of its processes now, whatever it was doing; whether there were any."""

    def logs(self, key: str, offset: int, limit: int) -> tuple[bytes, int]:
        """What it printed from byte `offset` on, at most `limit` bytes, and where to go on."""


class LocalLauncher:
    """Starts a shim for each attempt, in a session of its own that outlives this process."""

    def __init__(self) -> None:
        self._shims: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, spec: Spec) -> str:
        """Start a shim; one that finds the attempt claimed ends at once. Raises StorageError."""
        with storage_faults(spec.attempt / "log.txt"), open(spec.attempt / "log.txt", "ab") as log:
            self._shims[spec.key] = subprocess.Popen(
                [sys.executable, "-I", "-S", shim.__file__, spec.key, *spec.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment(spec.attempt), **spec.environment},
            )
        return spec.key

    def poll(self, keys: Iterable[str]) -> dict[str, State]:
        """How each stands, from its exit.json, the lock on its claim, and the shims started here."""
        gone = {key for key, begun in self._shims.items() if begun.poll() is not None}  # asked first, and seen off
        self._shims = {key: begun for key, begun in self._shims.items() if key not in gone}
        states: dict[str, State] = {}
        for key in keys:
            with suppress(OSError):
                states[key] = directory.stands(Path(key))
        return {key: "lost" if state == "starting" and key in gone else state for key, state in states.items()}

    def stop(self, key: str, grace: float) -> None:
        """Leave the wish to stop, with the patience the shim shall have."""
        write_text(Path(key) / "stop", f"{grace:g}")

    def kill(self, key: str) -> bool:
        """End every process that has this attempt in its environment: shim, worker, and whatever they started."""
        left = remains(Path(key))
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        return bool(left)

    def logs(self, key: str, offset: int, limit: int) -> tuple[bytes, int]:
        """What it printed from byte `offset` on."""
        try:
            with open(Path(key) / "log.txt", "rb") as log:
                log.seek(offset)
                said = log.read(limit)
        except FileNotFoundError:
            said = b""
        return said, offset + len(said)


def environment(attempt: Path) -> dict[str, str]:
    """What makes a process one of `attempt`'s, and lets it find CatFish."""
    return {shim.ATTEMPT: os.fspath(attempt), "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"}


def remains(attempt: Path) -> list[psutil.Process]:
    """The living processes of `attempt`, known by their environment: a pid may be another's by now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(shim.ATTEMPT) == os.fspath(attempt) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
