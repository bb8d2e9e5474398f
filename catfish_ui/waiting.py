"""Why a run or sweep has not begun: its place in the queue, and who is at work before it."""

from __future__ import annotations

from dataclasses import dataclass

from catfish_core.jobs import queue
from catfish_core.jobs.directory import Job
from catfish_core.runs import Run
from catfish_ui import cache, status
from catfish_ui.status import Line


@dataclass(frozen=True)
class Wait:
    """A place in the queue in words; `long` where something else has to end first."""

    line: Line
    long: bool


def of(job: Job) -> Wait | None:
    """Where `job` waits; None for one that does not."""
    ws = cache.workspace()
    standing = queue.standing(ws, job)
    if standing is None:
        return None
    running = [entry.job(ws) for entry in queue.overview(ws).running]
    before = {cache.title(each): seconds for each in running if (seconds := _left(each)) is not None}
    line = status.waiting(standing.position, standing.reason, before)
    return Wait(line, bool(running) or standing.position > 1)


def _left(job: Job) -> float | None:
    return cache.run_log(job).refresh().seconds_left if isinstance(job, Run) else None
