"""The wish to stop: a small file, a signal or a call, heard within a blink.  [no torch]"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from catfish_core.jobs.directory import Job

POLL = 0.1  # seconds between two looks at the file
PATIENCE = 1.2  # seconds the loop has to answer; one batch of a large network can take longer


class StopWish:
    """Called, says whether the job shall stop. As a context it listens; `overdue` is called when nobody answered.

    Listening happens in a thread, so that a wish is heard while a single batch computes for a minute.
    """

    def __init__(self, job: Job, overdue: Callable[[], None] | None = None) -> None:
        self._job = job
        self._overdue = overdue
        self._wished = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True, name="stop-wish")

    def __call__(self) -> bool:
        """Whether the job shall stop."""
        return self._wished.is_set()

    def wish(self, *_: object) -> None:
        """Ask to stop; also serves as a signal handler."""
        self._wished.set()

    def __enter__(self) -> StopWish:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._done.is_set():
            if self._job.wished("stop"):
                self.wish()
            if self._wished.is_set():
                if self._overdue and not self._done.wait(PATIENCE):
                    self._overdue()
                return
            self._done.wait(POLL)
