"""`python -m catfish_core.jobs.worker DIRECTORY`: do one run or one sweep from what lies in its directory alone.

The worker holds the directory's lock while it lives, is its only writer, and ends its log with exactly one
of Completed, SweepCompleted, Paused, Stopped or Failed. torch is imported once the log says that work has begun.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from catfish_core import runs
from catfish_core.errors import CatfishError, RunError, disk_full, out_of_memory
from catfish_core.events import (
    BatchEnd,
    Completed,
    EpochEnd,
    Event,
    EventLog,
    Failed,
    MemorySaved,
    Paused,
    Preparing,
    Stopped,
    SweepCompleted,
    Unfrozen,
)
from catfish_core.jobs.directory import Job
from catfish_core.jobs.shim import ATTEMPT, die_with
from catfish_core.jobs.wish import StopWish
from catfish_core.process import leave
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import write_text

LOCK_WAIT = 5.0  # seconds; readers probe the lock for an instant


def work(job: Job, on_event: Callable[[Event], None] = lambda event: None, *, alone: bool = False) -> Event:
    """Do `job` to its end in this process and return its terminal event.

    `on_event` sees every event after it was written. SIGTERM and SIGINT are taken for the wish to stop. `alone`
    says that this process lives for the job only: it may then end itself when a batch takes too long to let go.
    Raises RunError when another worker holds it, StorageError when the disk takes no more of its log.
    """
    try:
        lock = FileLock(job.lock_path, timeout=LOCK_WAIT, poll_interval=0.01).acquire()
    except Timeout:
        what = f"Another worker is at this {job.noun} already."
        raise RunError(what, "Its page shows how far it is.") from None
    with lock, EventLog(job.events_path) as log:
        return _Work(job, log, on_event).do(alone)


def job_at(path: Path) -> Job:
    """The sweep or the run whose directory `path` is."""
    sweep = Sweep(path)
    return sweep if sweep.settings_path.exists() else Run(path)


def _steps(job: Job, stop: StopWish) -> Iterator[Event]:
    """What the engine tells while it does `job`. It is imported here: torch takes seconds."""
    if isinstance(job, Sweep):
        from catfish_core.training.search import search

        return search(job, stop)
    from catfish_core.jobs.ranks import train

    assert isinstance(job, Run)
    return train(job, stop)


class _Work:
    """One attempt: the log it writes to, and the end that is written exactly once."""

    def __init__(self, job: Job, log: EventLog, on_event: Callable[[Event], None]) -> None:
        self.job, self.log, self.on_event = job, log, on_event
        self.began = time.time()
        self.kept_epoch = runs.kept_epoch(job) if isinstance(job, Run) else None
        self.epoch = 0
        self.unsaved = False  # whether steps were made since the state was last written down, as far as is told
        self.writing = threading.RLock()

    def do(self, alone: bool) -> Event:
        if ATTEMPT not in os.environ:  # else the shim has written it
            write_text(self.job.attempt / "started.json", json.dumps({"pid": os.getpid(), "time": self.began}) + "\n")
        self.stop = StopWish(self.job, self.leave if alone else None, lambda: self.unsaved)
        with self.stop, _signals(self.stop):
            self.say(Preparing(what="Starting up"))
            return self.say(self.outcome())

    def outcome(self) -> Event:
        return ending(lambda: _steps(self.job, self.stop), self.say) or self.stopped()

    def say(self, event: Event) -> Event:
        with self.writing:
            self.log.append(event)
            self.epoch = getattr(event, "epoch", self.epoch)
            if getattr(event, "improved", False):
                self.kept_epoch = self.epoch
            self.unsaved = isinstance(event, (BatchEnd, EpochEnd, MemorySaved, Unfrozen))
            self.on_event(event)
        return event

    def stopped(self) -> Stopped | Paused:
        """The end that was wished for; a sweep cannot rest, because it begins anew."""
        rests = self.stop.kind == "pause" and isinstance(self.job, Run)
        kind = Paused if rests else Stopped
        return kind(epoch=self.epoch, kept_epoch=self.kept_epoch, seconds=time.time() - self.began)

    def leave(self) -> None:
        """The loop did not answer the wish: end here. What was kept is on disk, written atomically."""
        with self.writing:
            try:
                self.log.append(self.stopped())
            finally:
                os._exit(0)


def ending(steps: Callable[[], Iterator[Event]], say: Callable[[Event], object]) -> Event | None:
    """Say what the `steps` tell, but for their end: that is the value, None when stopped."""
    try:
        for event in steps():
            if isinstance(event, (Completed, SweepCompleted, Failed)):
                return event
            say(event)
        return None
    except CatfishError as error:
        traceback.print_exc()
        return Failed(what=error.what, hint=error.hint)
    except Exception as error:  # the one place that catches everything: whatever it was, the log says so
        traceback.print_exc()
        return _unexpected(error)


@contextmanager
def _signals(stop: StopWish) -> Iterator[None]:
    """SIGTERM and SIGINT are the wish to stop while a job is done in the main thread; afterwards as they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop.wish) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unexpected(error: Exception) -> Failed:
    """What a person is told of a fault nobody foresaw; the traceback is in the log."""
    if out_of_memory(error):
        return Failed(
            what="There was not enough memory for this network with this many photos at once.",
            hint="Halve the batch size, take smaller photos or a smaller network.",
        )
    if disk_full(error):
        return Failed(
            what="The disk is full: what this training keeps could not be written.",
            hint="Free some space (the Runs page can delete old runs) and start it again; it goes on where it was.",
        )
    return Failed(
        what=f"Something unexpected happened: {type(error).__name__}: {str(error)[:300]}",
        hint="The log has the whole story; a bug report with it is welcome.",
    )


def main(arguments: list[str]) -> int:
    """Do the run or sweep in the directory given; 0 when it completed or was stopped, 1 when it failed."""
    if ATTEMPT in os.environ:
        die_with(os.getppid())
    ended = work(job_at(Path(arguments[0])), alone=True)
    return 1 if isinstance(ended, Failed) else 0


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
