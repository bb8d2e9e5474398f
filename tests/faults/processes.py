"""Who lives: workers, shims and dispatcher of a workspace, as the system tells it and not CatFish; and the app."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from catfish_core.workspace import HOME, Workspace

ROOT = Path(__file__).resolve().parents[2]
LOOK = 0.03  # seconds between two looks at who lives
WORKER, DISPATCHER = "catfish_core.jobs.worker", "catfish_core.jobs.dispatcher"


@dataclass(frozen=True)
class Process:
    """A living process: `born` is the tick in which it began, `about` the run it belongs to, or the workspace."""

    pid: int
    born: str
    parent: int
    kind: str
    about: str

    def lives(self) -> bool:
        """Whether it is there still; one that is being taken apart is not."""
        return _stat(self.pid)[::2] == (self.born, True)

    def send(self, number: int) -> bool:
        """Send it a signal; False where it has gone."""
        with suppress(ProcessLookupError):
            if self.lives():
                os.kill(self.pid, number)
                return True
        return False

    def kill(self) -> bool:
        """End it with SIGKILL and wait until it has gone; False where it had gone before."""
        if not self.send(signal.SIGKILL):
            return False
        while self.lives():
            time.sleep(0.001)
        return True


def _stat(pid: int) -> tuple[str, int, bool]:
    """When the process `pid` began, its parent, and whether it lives; ("", 0, False) where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0, False
    return fields[19], int(fields[1]), fields[0] not in "ZX"


def living(workspace: Workspace) -> list[Process]:
    """The workers, shims and dispatchers of `workspace`, known by how they were called."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            call = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            continue
        if kind := _kind(call, os.fspath(workspace.root)):
            born, parent, lives = _stat(pid)
            if lives:
                found.append(Process(pid, born, parent, kind, Path(call[-1]).name))
    workers = {process.pid for process in found if process.kind == "worker"}
    return [process for process in found if process.parent not in workers]  # a child of one that is to be another


def _kind(call: list[str], root: str) -> str:
    if len(call) < 3 or not call[-1].startswith(root):
        return ""
    if call[-2] == DISPATCHER:
        return "dispatcher"
    if call[-2] != WORKER:
        return ""
    return "shim" if any(word.endswith("shim.py") for word in call) else "worker"


@dataclass
class Watch:
    """A thread that looks all the time whether one run has two workers; it asks the system, not CatFish.

    `doubled` says where that was seen; `most` are the most workers seen at once, `looks` how often was looked and
    `longest` the longest time between two looks, in seconds.
    """

    workspace: Workspace
    doubled: list[str] = field(default_factory=list)
    most: int = 0
    looks: int = 0
    longest: float = 0.0
    _seen: set[tuple[int, ...]] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(LOOK):
            self.look()
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now

    def look(self) -> None:
        """Look once."""
        theirs: dict[str, list[Process]] = defaultdict(list)
        for process in living(self.workspace):
            if process.kind == "worker":
                theirs[process.about].append(process)
        self.looks += 1
        self.most = max(self.most, sum(map(len, theirs.values())))
        for run, workers in theirs.items():
            pids = tuple(sorted(worker.pid for worker in workers))
            if len(workers) > 1 and pids not in self._seen and all(worker.lives() for worker in workers):
                self._seen.add(pids)
                self.doubled.append(f"{run} had {len(workers)} workers at once: processes {pids}")


class App:
    """The server that people use, `streamlit run app.py`, which starts a dispatcher where there is none."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.starts = 0
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def lives(self) -> bool:
        """Whether it is up, or coming up."""
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Start it, on a free port of this machine alone."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {"address": "127.0.0.1", "port": port, "headless": "true", "fileWatcherType": "none"}
        call = [word for name, value in options.items() for word in (f"--server.{name}", str(value))]
        with open(self.workspace.root / "app.log", "ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app.py", *call, "--browser.gatherUsageStats", "false"],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, HOME: os.fspath(self.workspace.root)},
            )  # fmt: skip
        self.starts += 1

    def kill(self) -> bool:
        """End it with SIGKILL; False where it was not there."""
        if self._server is None or self._server.poll() is not None:
            return False
        self._server.kill()
        self._server.wait()
        return True


def end_all(workspace: Workspace) -> list[Process]:
    """End whatever lives of `workspace`, the dispatcher first; what that was."""
    ended: list[Process] = []
    while found := sorted(living(workspace), key=lambda process: process.kind):
        ended += [process for process in found if process.kill()]
    return ended
