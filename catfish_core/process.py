"""A module of CatFish as a process that neither the app's end nor its Ctrl-C touches; this process.  [no torch]"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from catfish_core.errors import storage_faults

_PROJECT = Path(__file__).resolve().parents[1]


def spawn(module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> int:
    """Run `python -m module arguments…` in a session of its own, its output appended to `log`; the pid.

    `environment` is added to this process's own. Raises StorageError where the log cannot be written.
    """
    with storage_faults(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {}), "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1"},
            )
    threading.Thread(target=child.wait, name="reap", daemon=True).start()  # or it would stay behind as a zombie
    return child.pid


def leave(code: int) -> NoReturn:
    """End this process, whose work is done, without taking torch apart first: half a second of every core it had."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python_path() -> str:
    """The project first, so that the module is found from whichever folder the app was started in."""
    return os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
