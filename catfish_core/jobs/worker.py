"""`python -m catfish_core.jobs.worker RUN_DIRECTORY`: train one run from its config.json alone.

The worker holds the run's lock while it lives, is the only writer of the directory, and ends its log with
exactly one of Completed, Stopped or Failed. torch is imported once the log says that work has begun.
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

from catfish_core.errors import CatfishError, RunError, out_of_memory
from catfish_core.events import Completed, Event, EventLog, Failed, Preparing, Stopped
from catfish_core.jobs.wish import StopWish
from catfish_core.runs import Run
from catfish_core.workspace import write_text

LOCK_WAIT = 5.0  # seconds; readers probe the lock for an instant


def work(run: Run, on_event: Callable[[Event], None] = lambda event: None, *, alone: bool = False) -> Event:
    """Train `run` to its end in this process and return its terminal event.

    `on_event` sees every event after it was written. SIGTERM and SIGINT are taken for the wish to stop. `alone`
    says that this process lives for the run only: it may then end itself when a batch takes too long to let go.
    Raises RunError when another worker holds the run.
    """
    try:
        lock = FileLock(run.lock_path, timeout=LOCK_WAIT, poll_interval=0.01).acquire()
    except Timeout:
        raise RunError("Another worker is training this run already.", "Its page shows how far it is.") from None
    with lock, EventLog(run.events_path) as log:
        return _Work(run, log, on_event).do(alone)


class _Work:
    """One attempt: the log it writes to, and the end that is written exactly once."""

    def __init__(self, run: Run, log: EventLog, on_event: Callable[[Event], None]) -> None:
        self.run, self.log, self.on_event = run, log, on_event
        self.began = time.time()
        self.kept_epoch: int | None = None
        self.epoch = 0
        self.writing = threading.RLock()

    def do(self, alone: bool) -> Event:
        write_text(self.run.attempt / "started.json", json.dumps({"pid": os.getpid(), "time": self.began}) + "\n")
        with StopWish(self.run, self.leave if alone else None) as stop, _signals(stop):
            self.say(Preparing(what="Starting up"))
            return self.say(self.outcome(stop))

    def outcome(self, stop: StopWish) -> Event:
        def steps() -> Iterator[Event]:
            from catfish_core.jobs.ranks import train  # torch: seconds

            return train(self.run, stop)

        return ending(steps, self.say) or self.stopped()

    def say(self, event: Event) -> Event:
        with self.writing:
            self.log.append(event)
            self.epoch = getattr(event, "epoch", self.epoch)
            if getattr(event, "improved", False):
                self.kept_epoch = self.epoch
            self.on_event(event)
        return event

    def stopped(self) -> Stopped:
        return Stopped(epoch=self.epoch, kept_epoch=self.kept_epoch, seconds=time.time() - self.began)

    def leave(self) -> None:
        """The loop did not answer the wish: end here. What was kept is on disk, written atomically."""
        with self.writing:
            self.log.append(self.stopped())
            os._exit(0)


def ending(steps: Callable[[], Iterator[Event]], say: Callable[[Event], object]) -> Event | None:
    """Say what the `steps` tell, but for their end: that is the value, Completed or Failed, None when stopped."""
    try:
        for event in steps():
            if isinstance(event, (Completed, Failed)):
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
    """SIGTERM and SIGINT are the wish to stop while a run trains in the main thread; afterwards as they were."""
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
    return Failed(
        what=f"Something unexpected happened: {type(error).__name__}: {str(error)[:300]}",
        hint="The log of this run has the whole story; a bug report with it is welcome.",
    )


def main(arguments: list[str]) -> int:
    """Train the run in the directory given; 0 when it completed or was stopped, 1 when it failed."""
    ended = work(Run(Path(arguments[0])), alone=True)
    return 1 if isinstance(ended, Failed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
