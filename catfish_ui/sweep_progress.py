"""How a sweep is getting on: its events folded into a curve and what the curve says.  [no streamlit]"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from catfish_core import events
from catfish_core.config import SweepConfig
from catfish_core.events import Advised, Event, ProbeEnd, SweepEnded, SweepPoint, SweepStarted
from catfish_core.training import lr_finder
from catfish_core.training.lr_finder import Advice, Phases

Points = tuple[list[float], list[float]]  # rates and losses


@dataclass(frozen=True)
class Curve:
    """Loss over rate, one value a step; losses that are no numbers are nan.

    With several seeds `raw` and `smooth` are their means and `low` to `high` is the band of their smoothed losses,
    as far as all of them came. `running` is the smoothed loss of a further seed still on its way, `val` the
    validation loss where it was measured.
    """

    lrs: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    smooth: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    running: Points = ([], [])
    val: Points = ([], [])

    def at(self, rate: float) -> float | None:
        """The smoothed loss at the step nearest to `rate`; None beyond the steps made, or where it is no number."""
        if not self.lrs or not self.lrs[0] / 1.001 <= rate <= self.lrs[-1] * 1.001:
            return None
        nearest = min(range(len(self.lrs)), key=lambda i: abs(math.log(self.lrs[i] / rate)))
        return self.smooth[nearest] if math.isfinite(self.smooth[nearest]) else None


@dataclass(frozen=True)
class Findings:
    """A curve, where its phases meet, and what it advises; `final` once the sweep itself has said so."""

    curve: Curve
    phases: Phases
    advice: Advice
    final: bool = False


@dataclass
class SweepProgress:
    """A sweep as far as its events have been told."""

    settings: SweepConfig
    started: SweepStarted | None = None
    points: dict[int, list[SweepPoint]] = field(default_factory=dict)  # by seed
    ends: dict[int, SweepEnded] = field(default_factory=dict)
    probes: list[ProbeEnd] = field(default_factory=list)
    advised: Advised | None = None
    ended: Event | None = None
    last: Event | None = None
    _found: tuple[int, Findings] | None = None
    _count: int = 0

    def take(self, event: Event) -> None:
        """Fold in one event."""
        self.last = event
        self._count += 1
        self.ended = event if isinstance(event, events.TERMINAL) else None
        if isinstance(event, SweepPoint):
            self.points.setdefault(event.seed, []).append(event)
        elif isinstance(event, SweepStarted):  # another start begins from the beginning
            self.started, self.points, self.ends, self.probes, self.advised = event, {}, {}, [], None
        elif isinstance(event, SweepEnded):
            self.ends[event.seed] = event
        elif isinstance(event, ProbeEnd):
            self.probes.append(event)
        elif isinstance(event, Advised):
            self.advised = event

    @property
    def made(self) -> int:
        """Steps made so far, of all seeds."""
        return sum(len(points) for points in self.points.values())

    @property
    def step(self) -> SweepPoint | None:
        """The newest point."""
        return self.points[max(self.points)][-1] if self.points else None

    @property
    def findings(self) -> Findings:
        """The curve so far and what it says; worked out once for the same events."""
        if self._found is None or self._found[0] != self._count:
            count, found = self._count, self._find()
            self._found = (count, found)
        return self._found[1]

    def _find(self) -> Findings:
        curve = self._curve()
        smooth = lr_finder.finite(curve.lrs, curve.smooth)
        advice, told = lr_finder.advise(*smooth), self.advised
        if told is not None:
            advice = Advice(told.suggestions, told.recommended, told.rate, told.reason)
        return Findings(curve, lr_finder.phases(*smooth), advice, told is not None)

    def _curve(self) -> Curve:
        whole = {seed for seed, end in self.ends.items() if end.reason != "stopped"}
        done = [self.points[seed] for seed in sorted(self.points) if seed in whole]
        running = [self.points[seed] for seed in sorted(self.points) if seed not in whole]
        if not done:
            done, running = running[:1], running[1:]
        if not done:
            return Curve()
        length = min(len(points) for points in done)
        losses = [[_number(point.loss) for point in points] for points in done]
        smooth = [self.smoothed(each)[:length] for each in losses]
        steps = list(zip(*smooth, strict=True))
        return Curve(
            lrs=[point.lr for point in done[0][:length]],
            raw=[_mean(step) for step in zip(*(each[:length] for each in losses), strict=True)],
            smooth=[_mean(step) for step in steps],
            low=[min(step) if math.isfinite(sum(step)) else math.nan for step in steps],
            high=[max(step) if math.isfinite(sum(step)) else math.nan for step in steps],
            running=self._running(running),
            val=_validation(done),
        )

    def _running(self, running: list[list[SweepPoint]]) -> Points:
        if not running:
            return [], []
        points = running[-1]
        return [point.lr for point in points], self.smoothed([_number(point.loss) for point in points])

    def smoothed(self, losses: Sequence[float]) -> list[float]:
        """`losses` smoothed as this sweep was asked to."""
        if self.settings.smoothing == "rolling":
            return lr_finder.rolling(losses, self.settings.window)
        return lr_finder.exponential(losses, self.settings.beta)


def _validation(done: list[list[SweepPoint]]) -> Points:
    """The mean validation loss at the steps at which it was measured."""
    measured: dict[float, list[float]] = {}
    for points in done:
        for point in points:
            if point.val_loss is not None:
                measured.setdefault(point.lr, []).append(point.val_loss)
    lrs = sorted(measured)
    return lrs, [_mean(measured[lr]) for lr in lrs]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(loss: float | None) -> float:
    return math.nan if loss is None else loss
