"""How a sweep is getting on: its events folded into a curve and what the curve says.  [no streamlit]"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from catfish_core import events
from catfish_core.config import SweepConfig
from catfish_core.events import Advised, Event, Preparing, ProbeEnd, SweepEnded, SweepPoint, SweepStarted
from catfish_core.training import lr_finder
from catfish_core.training.lr_finder import Advice, Curve, Phases

Points = tuple[list[float], list[float]]  # rates and losses
FALLEN = 0.95  # a growing curve says something once it is below this part of its start
SILENT = Advice({}, None, None, "")


@dataclass(frozen=True)
class Findings:
    """A curve, where its phases meet, and what it advises.

    The curve is of the seeds that are through. `running` is the smoothed loss of a further one on its way, `val` the
    validation loss where it was measured.
    """

    curve: Curve
    phases: Phases
    advice: Advice
    running: Points = ([], [])
    val: Points = ([], [])

    def at(self, rate: float) -> float | None:
        """The smoothed loss at the step nearest to `rate`; None beyond the steps made, or where it is no number."""
        lrs, smoothed = self.curve.lrs, self.curve.smoothed
        if not lrs or not lrs[0] / 1.001 <= rate <= lrs[-1] * 1.001:
            return None
        loss = smoothed[min(range(len(lrs)), key=lambda i: abs(math.log(lrs[i] / rate)))]
        return loss if math.isfinite(loss) else None

    @property
    def start(self) -> float:
        """The smoothed loss where the curve begins to tell something; nan of an empty curve."""
        return next(iter(lr_finder.settled(self.curve.lrs, self.curve.smoothed)[1]), math.nan)

    @property
    def lowest(self) -> tuple[float, float] | None:
        """The rate and the smoothed loss of the lowest point; None of an empty curve."""
        lrs, losses = lr_finder.settled(self.curve.lrs, self.curve.smoothed)
        loss, lr = min(zip(losses, lrs, strict=True), default=(math.nan, math.nan))
        return None if math.isnan(loss) else (lr, loss)


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
    _count: int = 0  # events that findings depend on

    def take(self, event: Event) -> None:
        """Fold in one event."""
        if isinstance(event, Preparing) and event.what == "Starting up":  # another attempt begins from the beginning
            self.started, self.points, self.ends, self.probes, self.advised = None, {}, {}, [], None
            self._count += 1
        self.last = event
        self._count += isinstance(event, (SweepPoint, SweepEnded, Advised))
        self.ended = event if isinstance(event, events.TERMINAL) else None
        if isinstance(event, SweepPoint):
            self.points.setdefault(event.seed, []).append(event)
        elif isinstance(event, SweepStarted):
            self.started = event
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
        """The curve so far and what it says; worked out once for the same measurements."""
        if self._found is None or self._found[0] != self._count:
            self._found = (self._count, self._find())
        return self._found[1]

    def _find(self) -> Findings:
        whole = {seed for seed, end in self.ends.items() if end.reason != "stopped"} or set(list(self.points)[:1])
        through = [self.points[seed] for seed in sorted(self.points) if seed in whole]
        further = [self.points[seed] for seed in sorted(self.points) if seed not in whole]
        curve = lr_finder.curve([point for points in through for point in points], self.settings)
        phases, advice = self._read(curve)
        running = lr_finder.curve(further[-1], self.settings) if further else None
        return Findings(
            curve,
            phases,
            advice,
            running=(running.lrs, running.smoothed) if running else ([], []),
            val=_validation(through),
        )

    def _read(self, curve: Curve) -> tuple[Phases, Advice]:
        """What the curve says; while it is growing, nothing until it has fallen beyond doubt."""
        told, readable = self.advised, lr_finder.settled(curve.lrs, curve.smoothed)
        if told is None and not min(readable[1], default=0.0) < FALLEN * next(iter(readable[1]), 0.0):
            return Phases(None, None), SILENT
        advice = lr_finder.advise(curve.lrs, curve.smoothed)
        if told is not None:
            advice = Advice(told.suggestions, told.recommended, told.rate, told.reason)
        known = any(rate is not None for rate in advice.suggestions.values())
        return lr_finder.phases(*readable) if known else Phases(None, None), advice


def _validation(through: Sequence[Sequence[SweepPoint]]) -> Points:
    """The mean validation loss at the steps at which it was measured."""
    measured: dict[float, list[float]] = {}
    for points in through:
        for point in points:
            if point.val_loss is not None:
                measured.setdefault(point.lr, []).append(point.val_loss)
    return list(measured), [math.fsum(losses) / len(losses) for losses in measured.values()]
