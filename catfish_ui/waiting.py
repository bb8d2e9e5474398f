"""Why a run or sweep has not begun: its place in the queue, and who is at work before it."""

from __future__ import annotations

from catfish_core.jobs import queue
from catfish_core.jobs.directory import Job
from catfish_core.runs import Run
from catfish_ui import cache, lab_reading
from catfish_ui.status import Line


def line(job: Job) -> Line | None:
    """“Second in line.” and why; None for one that does not wait."""
    ws = cache.workspace()
    standing = queue.standing(ws, job)
    if standing is None:
        return None
    running = [cache.job(ws, entry.kind, entry.id) for entry in queue.overview(ws).running]
    left = {each.id: seconds for each in running if (seconds := _left(each)) is not None}
    titles = {each.id: cache.title(each) for each in running}
    text, hint = lab_reading.waiting(standing, titles, left.get)
    return Line(text, hint)


def _left(job: Job) -> float | None:
    return cache.run_log(job).refresh().seconds_left if isinstance(job, Run) else None
