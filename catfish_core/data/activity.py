"""Long work on a dataset in a process of its own, and the log by which pages follow it.  [no torch]

The log holds `Preparing` events and ends with `Prepared` or `Failed`. While its writer lives it holds a lock
beside the log, so that a writer that died without a last word is not waited for.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from catfish_core import events
from catfish_core.errors import CatfishError, storage_faults
from catfish_core.events import EventLog, Failed, Prepared, Preparing
from catfish_core.process import spawn
from catfish_core.workspace import HOME, Workspace

START_GRACE = 20.0  # seconds from launch to the lock


def log_path(ws: Workspace, name: str) -> Path:
    """The log of the work called `name`."""
    return ws.datasets / ".activity" / f"{name}.jsonl"


def launch(ws: Workspace, name: str, arguments: list[str]) -> Path:
    """Start `python -m catfish_core.data.library` with `arguments`, logging under `name`; the log's path.

    It survives the end of this process. Where such work is under way already, its log is returned instead.
    """
    log = log_path(ws, name)
    if working(log):
        return log
    with storage_faults(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")  # what an earlier try said is over
        _lock_file(log).unlink(missing_ok=True)
        log.with_suffix(".txt").unlink(missing_ok=True)
    arguments = ["--log", str(log), *arguments]
    spawn("catfish_core.data.library", *arguments, log=log.with_suffix(".txt"), environment={HOME: str(ws.root)})
    return log


def working(log: Path) -> bool:
    """Whether somebody is writing `log` or has just been started to; false after its last word."""
    try:
        started = log.stat().st_mtime
    except FileNotFoundError:
        return False
    if any(isinstance(event, (Prepared, Failed)) for event in events.tail(log)[-1:]):
        return False
    return _held(log) or time.time() - started < START_GRACE and not _lock_file(log).exists()


def _lock_file(log: Path) -> Path:
    return log.with_suffix(".lock")


def _held(log: Path) -> bool:
    if not _lock_file(log).exists():
        return False
    try:
        with FileLock(_lock_file(log), timeout=0.03, poll_interval=0.01):
            return False
    except (Timeout, OSError):
        return True


def follow(log: Path, work: Generator[Preparing, None, Any], dataset: str | None) -> int:
    """Do `work`, writing what it says to `log`, a last word included; the exit code.

    The dataset that came of it is called `dataset`, or what the generator's value says.
    """
    with EventLog(log) as sink, FileLock(_lock_file(log)):
        try:
            made = events.drain(work, sink.append)
            sink.append(Prepared(dataset=dataset or made.id))
            return 0
        except CatfishError as error:
            sink.append(Failed(what=error.what, hint=error.hint))
        except Exception as error:  # the last line of defence of this process, as in a worker
            traceback.print_exc()
            what = f"Something went wrong that CatFish did not expect: {type(error).__name__}."
            sink.append(Failed(what=what, hint=f"Details are in {log.with_suffix('.txt')}."))
        return 1
