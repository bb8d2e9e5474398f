"""The wish to stop or to rest: a small file, a signal or a call, heard within a blink.  [no torch]"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from catfish_core.jobs.directory import Job

POLL = 0.1  # seconds between two looks at the files
PATIENCE = 1.2  # seconds whatever is being done has to answer
SAVING = 7.0  # seconds where steps would be lost: a batch may end and be saved; who started it ends it after ten


class StopWish:
    """Called, says whether the job shall end, to stop or to rest. As a context it listens.

    `overdue` is called when nobody answered within PATIENCE seconds, SAVING where something is `at_stake`. Listening
    happens in a thread, so that a wish is heard while a single batch computes for a minute.
    """

    def __init__(
        self, job: Job, overdue: Callable[[], None] | None = None, at_stake: Callable[[], bool] = lambda: False
    ) -> None:
        self._job = job
        self._overdue, self._at_stake = overdue, at_stake
        self._wished = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True, name="stop-wish")

    def __call__(self) -> bool:
        """Whether the job shall end."""
        return self._wished.is_set()

    @property
    def kind(self) -> Literal["stop", "pause"]:
        """What was wished for. A signal alone is a wish to stop; to stop is more than to rest."""
        return "pause" if self._job.wished("pause") and not self._job.wished("stop") else "stop"

    def wish(self, *_: object) -> None:
        """Ask to end; also serves as a signal handler."""
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
        while not (self._wished.is_set() or self._done.is_set()):
            if self._job.wished("stop") or self._job.wished("pause"):
                self.wish()
            else:
                self._done.wait(POLL)
        heard = time.monotonic()
        while self._overdue and not self._done.wait(min(POLL, PATIENCE)):
            if time.monotonic() - heard >= (SAVING if self._at_stake() else PATIENCE):
                self._overdue()
                return
