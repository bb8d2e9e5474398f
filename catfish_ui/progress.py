"""How a run is getting on: its events folded, as they come, into what the live page shows.  [no streamlit]"""

from __future__ import annotations

import math
import threading
from array import array
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from catfish_core import events
from catfish_core.events import BatchEnd, EpochEnd, Event, Started, Tested
from catfish_core.jobs.directory import Job

POINTS = 2000  # as many as a chart draws without effort
RECENT = 5  # epochs whose mean length foretells the next


class Thinned:
    """A curve of any length in at most `limit` points: each is the mean of `stride` neighbours.

    When it is full, neighbours are joined in pairs and the stride doubles, so that a run of a million steps
    costs as much memory and drawing as one of two thousand.
    """

    def __init__(self, limit: int = POINTS) -> None:
        self.limit = limit
        self.stride = 1
        self.x, self.y = array("d"), array("d")
        self._open: list[tuple[float, float]] = []

    def add(self, x: float, y: float) -> None:
        self._open.append((x, y))
        if len(self._open) < self.stride:
            return
        self.x.append(self._open[-1][0])
        self.y.append(math.fsum(y for _, y in self._open) / len(self._open))
        self._open = []
        if len(self.x) >= self.limit:
            self._halve()

    def _halve(self) -> None:
        self.x = self.x[1::2]
        self.y = array("d", ((a + b) / 2 for a, b in zip(self.y[::2], self.y[1::2], strict=False)))
        self.stride *= 2

    def cut(self, x: float) -> None:
        """Forget what came at `x` and after: a resumed run goes that way again."""
        keep = sum(1 for known in self.x if known < x)
        del self.x[keep:], self.y[keep:]
        self._open = []


@dataclass
class Progress:
    """A run as far as its events have been told. Epochs and batches count from 0, as in the events."""

    started: Started | None = None
    batch: BatchEnd | None = None
    epochs: list[EpochEnd] = field(default_factory=list)
    loss: Thinned = field(default_factory=Thinned)
    rate: Thinned = field(default_factory=Thinned)
    early_stop: events.EarlyStop | None = None
    tested: Tested | None = None
    ended: Event | None = None
    last: Event | None = None

    def take(self, event: Event) -> None:
        """Fold in one event."""
        self.last = event
        self.ended = event if isinstance(event, events.TERMINAL) else None
        if isinstance(event, BatchEnd):
            self._step(event)
        elif isinstance(event, EpochEnd):
            self.epochs = [e for e in self.epochs if e.epoch < event.epoch] + [event]
        elif isinstance(event, Started):
            self.started = event
        elif isinstance(event, Tested):
            self.tested = event
        elif isinstance(event, events.EarlyStop):
            self.early_stop = event

    def _step(self, event: BatchEnd) -> None:
        if self.batch is not None and event.step <= self.batch.step:
            self._back_to(event)
        at = event.epoch + (event.batch + 1) / max(1, self.batches)
        self.loss.add(at, event.loss)
        self.rate.add(at, event.lr)
        self.batch = event

    def _back_to(self, event: BatchEnd) -> None:
        at = event.epoch + (event.batch + 1) / max(1, self.batches)
        self.loss.cut(at)
        self.rate.cut(at)
        self.epochs = [e for e in self.epochs if e.epoch < event.epoch]

    @property
    def batches(self) -> int:
        """Batches in an epoch; 0 before the start."""
        return self.started.batches if self.started else 0

    @property
    def done(self) -> float:
        """Epochs trained so far, in parts: 2.5 is the middle of the third."""
        whole = float(len(self.epochs))
        if self.batch is not None and self.batch.epoch >= whole and self.batches:
            return self.batch.epoch + (self.batch.batch + 1) / self.batches
        return whole

    @property
    def seconds_left(self) -> float | None:
        """What the rest of the training will take at the pace so far; None while that cannot be told."""
        if self.started is None or self.batch is None:
            return None
        left = self.started.epochs - self.done
        if self.epochs:
            recent = self.epochs[-RECENT:]
            return left * sum(e.seconds for e in recent) / len(recent)
        spent = self.batch.time - self.started.time
        return left * spent / self.done if self.done > 0 and spent > 0 else None

    @property
    def best(self) -> EpochEnd | None:
        """The last word on which epoch's weights are kept."""
        return self.epochs[-1] if self.epochs else None


class Folded(Protocol):
    """What takes events one after the other."""

    def take(self, event: Event) -> None: ...


P = TypeVar("P", bound=Folded)


class Log(Generic[P]):
    """The progress of one run or sweep, read on from where it last was; several pages may share it."""

    def __init__(self, job: Job, progress: P) -> None:
        self.job = job
        self.progress = progress
        self._offset = 0
        self._lock = threading.Lock()

    def refresh(self) -> P:
        """Read what is new."""
        with self._lock:
            new, self._offset = self.job.events(self._offset)
            for event in new:
                self.progress.take(event)
            return self.progress
