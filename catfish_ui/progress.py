"""How a run is getting on: its events folded, as they come, into what the live page shows.  [no streamlit]"""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Generic, Protocol, TypeVar, cast

from catfish_core import events
from catfish_core.events import BatchEnd, EpochEnd, Event, Resumed, Started, Tested, Unfrozen
from catfish_core.jobs.directory import Job

POINTS = 1000  # as many as a chart has pixels; every second each of them travels to all who watch
RECENT = 5  # epochs whose mean length foretells the next
FORWARD = 1 / 3  # of a step's work is the forward pass, all that validation needs: a guess until one has been seen


class Thinned:
    """A curve of any length in at most `limit` points: each is the mean of `stride` neighbours.

    When it is full, neighbours are joined in pairs and the stride doubles, so that a run of a million steps
    costs as much memory and drawing as one of a thousand.
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


@dataclass(frozen=True)
class Lap:
    """What an epoch took by the clock, in seconds: its steps with what was saved before them, and its validation."""

    steps: float
    validation: float


@dataclass(frozen=True)
class Break:
    """A run was interrupted and went on when `at` epochs were done, in parts: 2.5 is the middle of the third."""

    at: float
    why: str


BREAKS: dict[type[Event], str] = {
    events.Paused: "paused",
    events.Stopped: "stopped",
    events.Completed: "trained longer",
}


@dataclass
class Progress:
    """A run as far as its events have been told. Epochs and batches count from 0, as in the events.

    `trained` is how many parameters are trained now, `parts` the rate of each part, as in `Started`.
    """

    started: Started | None = None
    trained: int = 0
    parts: Mapping[str, float] = field(default_factory=dict)
    batch: BatchEnd | None = None
    epochs: list[EpochEnd] = field(default_factory=list)
    laps: list[Lap] = field(default_factory=list)
    loss: Thinned = field(default_factory=Thinned)
    rate: Thinned = field(default_factory=Thinned)
    breaks: list[Break] = field(default_factory=list)
    early_stop: events.EarlyStop | None = None
    tested: Tested | None = None
    ended: Event | None = None
    last: Event | None = None
    _began: float = 0.0  # when the epoch under way began
    _first: BatchEnd | None = None  # the first step of this attempt, which takes longer than others
    _rest: Event | None = None  # how the attempt before ended, if it said so

    def take(self, event: Event) -> None:
        """Fold in one event."""
        self.last = event
        self.ended = event if isinstance(event, events.TERMINAL) else None
        self._rest = self.ended or self._rest
        if isinstance(event, BatchEnd):
            self._step(event)
        elif isinstance(event, EpochEnd):
            self.epochs = [e for e in self.epochs if e.epoch < event.epoch] + [event]
            self._lap(event)
        elif isinstance(event, Started):
            self.started, self.trained, self.parts = event, event.trained, event.parts
            self._began, self._first = event.time, None
        elif isinstance(event, Resumed):
            self._back_to(event)
            self._broken(event)
            self.early_stop = self.tested = None  # told again, unless it trains further now
        elif isinstance(event, Unfrozen):
            self.trained, self.parts = event.trained, event.parts
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
        self._first = self._first or event

    def _lap(self, event: EpochEnd) -> None:
        batch, first = self.batch, self._first
        if batch is None or first is None or batch.epoch != event.epoch:
            return
        steps = batch.time - self._began
        if first.epoch == event.epoch and batch.batch > first.batch:
            steps = min(steps, (batch.time - first.time) * (batch.batch + 1) / (batch.batch - first.batch))
        self.laps = [*self.laps[1 - RECENT :], Lap(max(0.0, steps), max(0.0, event.time - batch.time))]
        self._began = event.time

    def _back_to(self, event: BatchEnd | Resumed) -> None:
        at = event.epoch + (event.batch + 1) / max(1, self.batches)
        self.loss.cut(at)
        self.rate.cut(at)
        self.epochs = [e for e in self.epochs if e.epoch < event.epoch]

    def _broken(self, event: Resumed) -> None:
        at = event.epoch + event.batch / max(1, self.batches)
        why = BREAKS.get(type(self._rest), "interrupted") if self._rest else "interrupted"
        self.breaks = [known for known in self.breaks if known.at < at] + [Break(at, why)]
        self._rest = None

    @property
    def batches(self) -> int:
        """Batches in an epoch; 0 before the start."""
        return self.started.batches if self.started else 0

    @property
    def done(self) -> float:
        """Epochs trained so far, in parts: 2.5 is the middle of the third."""
        whole = float(len(self.epochs))
        if self.batch is not None and self.batch.epoch >= whole and self.batches and self._first:
            return self.batch.epoch + (self.batch.batch + 1) / self.batches
        return whole

    @property
    def seconds_left(self) -> float | None:
        """What is left will take at the pace so far, validation and test included; None while that cannot be told.

        Preparation and the time between two attempts are no part of the pace.
        """
        pace = self._pace()
        if self.started is None or pace is None:
            return None
        whole = len(self.epochs)
        epochs = 0 if self.early_stop else max(0, self.started.epochs - whole)
        left = epochs * (pace.steps + pace.validation) - min(epochs, self.done - whole) * pace.steps
        return max(0.0, left + pace.validation * self._share("test", "val") + self.started.test_seconds)

    def _pace(self) -> Lap | None:
        """The mean of recent epochs, or what the steps of the first one foretell."""
        if self.laps:
            return Lap(fmean(lap.steps for lap in self.laps), fmean(lap.validation for lap in self.laps))
        if self.batch is None or self._first is None or not self.batches:
            return None
        made = self.batch.batch - self._first.batch + 1  # by this attempt
        steps = (self.batch.time - self._began) * self.batches / made
        return Lap(steps, steps * FORWARD * self._share("val", "train")) if steps > 0 else None

    def _share(self, split: str, of: str) -> float:
        samples = self.started.samples if self.started else {}
        return samples.get(split, 0) / max(1, samples.get(of, 0))

    @property
    def images_per_second(self) -> float | None:
        """Photos learned from in a second: of recent epochs, or so far in the first; None before its first step."""
        rates = [e.images_per_second for e in self.epochs[-RECENT:] if e.images_per_second > 0]
        if rates:
            return len(rates) / math.fsum(1 / rate for rate in rates)
        return self.batch.images_per_second if self.batch else None

    @property
    def best(self) -> EpochEnd | None:
        """The last word on which epoch's weights are kept."""
        return self.epochs[-1] if self.epochs else None


class Folded(Protocol):
    """What takes events one after the other."""

    def take(self, event: Event) -> None: ...


P = TypeVar("P", bound=Folded)
V = TypeVar("V")


class Log(Generic[P]):
    """The progress of one run or sweep, read on from where it last was; several pages may share it.

    They share what is made of it too: twenty who watch a run cost little more than one.
    """

    def __init__(self, job: Job, progress: P) -> None:
        self.job = job
        self.progress = progress
        self._offset = 0
        self._lock = threading.RLock()
        self._read = -math.inf
        self._made: dict[Hashable, Any] = {}

    def refresh(self, within: float = 0.0) -> P:
        """Read what is new, unless somebody did so within that many seconds."""
        with self._lock:
            if time.monotonic() - self._read >= within:
                new, self._offset = self.job.events(self._offset)
                for event in new:
                    self.progress.take(event)
                self._read = time.monotonic()
                self._made.clear()
            return self.progress

    def made(self, make: Callable[..., V], *also: Hashable) -> V:
        """`make(progress, *also)`: once for all who ask, until the log is read again; nobody reads on meanwhile."""
        with self._lock:
            key = make, also
            if key not in self._made:
                self._made[key] = make(self.progress, *also)
            return cast(V, self._made[key])
