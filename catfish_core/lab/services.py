"""The processes beside the runs: the one that answers with predictions, the one that starts runs.  [no torch]"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

from catfish_core.errors import ServiceError
from catfish_core.jobs import queue
from catfish_core.serving import address, client
from catfish_core.workspace import Workspace

PATIENCE = 5.0  # seconds a process may take to end when it is asked to


@dataclass(frozen=True)
class Service:
    """A living process: since when (seconds since 1970), and the bytes of memory it takes."""

    pid: int
    since: float
    memory: int


def predictions(workspace: Workspace) -> Service | None:
    """The inference service, as its process says; None while it sleeps. Raises ServiceError where it is not ours."""
    known = address.read(workspace)
    process = _ours(known.pid, "catfish_core.serving.service") if known else None
    if process is None:
        return None
    try:
        return Service(process.pid, process.create_time(), process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return None


def restart_predictions(workspace: Workspace) -> None:
    """End the inference service and have a new one started; raises ServiceError where it will not go."""
    known = address.read(workspace)
    if known and (process := _ours(known.pid, "catfish_core.serving.service")):
        _end(process)
        address.withdraw(workspace, known)
    client.warm_up(workspace)


def restart_queue(workspace: Workspace) -> None:
    """End the dispatcher and have a new one started; runs go on. Raises ServiceError where it will not go."""
    pid = queue.health(workspace).pid
    if pid and (process := _ours(pid, "catfish_core.jobs.dispatcher")):
        _end(process)
    queue.ensure_dispatcher(workspace)


def _ours(pid: int, module: str) -> psutil.Process | None:
    """The process `pid`, if it runs `module`: a pid may have been given to somebody else since."""
    try:
        process = psutil.Process(pid)
        ours = module in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        return process if ours else None
    except psutil.Error:
        return None


def _end(process: psutil.Process) -> None:
    try:
        process.terminate()
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(PATIENCE)
            return
        process.kill()
        process.wait(PATIENCE)
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise ServiceError("It would not end.", "Restart the computer, or ask who runs it.") from error
