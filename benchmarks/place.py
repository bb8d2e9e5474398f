"""Where a benchmark of the whole app happens: an empty workspace, and the app at work on it.  [no torch]"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.peak import ROOT
from catfish_core.errors import CatfishError, RunError
from catfish_core.jobs import queue
from catfish_core.lab.settings import LAB
from catfish_core.workspace import HOME, Workspace

PATIENCE = 90.0  # seconds for the app to begin


@contextmanager
def empty(prefix: str) -> Iterator[Workspace]:
    """An empty workspace that is gone afterwards; CATFISH_HOME points at it meanwhile."""
    before = os.environ.get(HOME)
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        os.environ[HOME] = folder
        try:
            yield Workspace(Path(folder).resolve())
        finally:
            os.environ.pop(HOME)
            if before is not None:
                os.environ[HOME] = before


@contextmanager
def app(workspace: Workspace) -> Iterator[tuple[psutil.Process, int]]:
    """The app at work on `workspace`, and its port; it and all that it started end afterwards."""
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    child = subprocess.Popen(
        [*command, "--server.headless", "true"], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={**os.environ, HOME: str(workspace.root), LAB: ""},
    )  # fmt: skip
    try:
        _wait_for(child, f"http://127.0.0.1:{port}/_stcore/health")
        yield psutil.Process(child.pid), port
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(10)
        child.kill()
        child.wait()
        _end_work(workspace)


def _wait_for(child: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(address, timeout=1):
            return
        time.sleep(0.05)
    raise RunError("The app did not start.", "Its output above says why.")


def _end_work(workspace: Workspace) -> None:
    """End the dispatcher, then the shims and workers, which it would start again."""
    with suppress(CatfishError, psutil.Error):
        if pid := queue.health(workspace).pid:
            psutil.Process(pid).kill()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("CATFISH_ATTEMPT", "").startswith(f"{workspace.root}{os.sep}"):
                process.kill()


def _free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
