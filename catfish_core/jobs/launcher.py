"""Start the worker of a run or of a sweep.  [no torch]"""

from __future__ import annotations

import os

from catfish_core import runs, sweeps
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.errors import RunError, storage_faults
from catfish_core.jobs.directory import Job
from catfish_core.process import spawn
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace


def submit(workspace: Workspace, config: RunConfig) -> Run:
    """A new run with `config`, its worker on the way."""
    run = runs.create(workspace, config)
    launch(run)
    return run


def submit_sweep(workspace: Workspace, config: RunConfig, settings: SweepConfig) -> Sweep:
    """A new sweep over the rates for `config`, its worker on the way."""
    sweep = sweeps.create(workspace, config, settings)
    launch(sweep)
    return sweep


def launch(job: Job) -> None:
    """Start a worker on `job`; a run that was interrupted goes on from its last whole epoch.

    Every start has a folder of its own under attempts/. Raises RunError while a worker is at it already.
    """
    if job.alive():
        raise RunError(f"This {job.noun} is {job.doing} already.", "Its page shows how far it is.")
    attempt = job.attempt
    if (attempt / "log.txt").exists():
        attempt = attempt.with_name(str(int(attempt.name) + 1))
    with storage_faults(attempt):
        attempt.mkdir(parents=True, exist_ok=True)
    spawn("catfish_core.jobs.worker", os.fspath(job.path), log=attempt / "log.txt")
