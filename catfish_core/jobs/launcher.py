"""Start the worker of a run.  [no torch]"""

from __future__ import annotations

import os

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.errors import RunError, storage_faults
from catfish_core.process import spawn
from catfish_core.runs import Run
from catfish_core.workspace import Workspace


def submit(workspace: Workspace, config: RunConfig) -> Run:
    """A new run with `config`, its worker on the way."""
    run = runs.create(workspace, config)
    launch(run)
    return run


def launch(run: Run) -> None:
    """Start a worker on `run`; a run that was interrupted goes on from its last whole epoch.

    Every start has a folder of its own under attempts/. Raises RunError while a worker is at it already.
    """
    if run.alive():
        raise RunError("This run is training already.", "Its page shows how far it is.")
    attempt = run.attempt
    if (attempt / "log.txt").exists():
        attempt = attempt.with_name(str(int(attempt.name) + 1))
    with storage_faults(attempt):
        attempt.mkdir(parents=True, exist_ok=True)
    spawn("catfish_core.jobs.worker", os.fspath(run.path), log=attempt / "log.txt")
