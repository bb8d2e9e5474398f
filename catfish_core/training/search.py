"""One search for a learning rate, from its directory to its advice: prepare, sweep, try the suggestions out."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace

from catfish_core.config import RunConfig, SweepConfig
from catfish_core.events import Advised, Event, ProbeEnd, SweepCompleted, SweepEnded, SweepPoint, SweepStarted
from catfish_core.sweeps import Sweep
from catfish_core.training import lr_finder, optim, session
from catfish_core.training.compute import keep_memory, threads
from catfish_core.training.features import Sources
from catfish_core.training.loop import ShouldStop, TrainState
from catfish_core.training.lr_finder import Advice
from catfish_core.training.session import Session
from catfish_core.training.sweep import probe, sweep
from catfish_core.workspace import Workspace


def search(job: Sweep, should_stop: ShouldStop) -> Iterator[Event]:
    """Sweep the rates for the configuration of `job`, advise, try out, advise again.

    The last event is SweepCompleted, or there is none when it was asked to stop: then the advice is on what there
    was. Raises CatfishError for everything that a person can mend.
    """
    began = time.time()
    keep_memory()
    config, settings, workspace = job.config(), job.settings(), Workspace(job.path.parents[1])
    made = yield from session.opened(config, workspace, should_stop)
    if made is None:
        return
    with closing(made):
        yield from _searched(made, settings, workspace, should_stop)
    if not should_stop():
        yield SweepCompleted(seconds=time.time() - began)


def _searched(made: Session, settings: SweepConfig, workspace: Workspace, should_stop: ShouldStop) -> Iterator[Event]:
    """The sweeps of all seeds, the advice, the trials from the first seed's start, and the advice after them."""
    points: list[SweepPoint] = []
    starts: list[_Start] = []
    for number in range(settings.seeds):
        start = yield from _start(made, number, workspace, should_stop)
        if start is None:
            break
        if not starts:
            yield _started(made, settings, start)
        starts = starts or [start]
        told: list[SweepPoint] = []
        for event in start.sweep(settings, number, should_stop):
            if isinstance(event, SweepPoint):
                told.append(event)
            elif isinstance(event, SweepEnded) and not (points and event.reason == "stopped"):
                points += told  # a seed that was stopped would cut the others' curve short
            yield event
    if not points:
        return
    curve = lr_finder.curve(points, settings)
    advice = lr_finder.advise(curve.lrs, curve.smoothed)
    yield _advised(advice)
    probes = yield from starts[0].probes(advice, settings, should_stop)
    if (checked := lr_finder.judged(advice, probes)) != advice:
        yield _advised(checked)


@dataclass(frozen=True)
class _Start:
    """A network before its first step, what it trains on and by which loss."""

    state: TrainState
    sources: Sources
    loss_fn: optim.Loss

    def sweep(self, settings: SweepConfig, seed: int, should_stop: ShouldStop) -> Iterator[Event]:
        """Its loss over the rates."""
        with threads(self.sources.threads):
            train, val = self.sources.train, self.sources.val
            yield from sweep(self.state, train, val, self.loss_fn, settings, seed, should_stop)

    def probes(
        self, advice: Advice, settings: SweepConfig, should_stop: ShouldStop
    ) -> Generator[Event, None, list[ProbeEnd]]:
        """Short trainings with the suggestions; those that came to their end."""
        ended: list[ProbeEnd] = []
        train, val, steps = self.sources.train, self.sources.val, settings.probe_steps
        with threads(self.sources.threads):
            for name, lr in lr_finder.candidates(advice, settings.probes).items():
                done = yield from probe(self.state, train, val, self.loss_fn, name, lr, steps, should_stop)
                if done is None:
                    break
                yield done
                ended.append(done)
        return ended


def _start(
    made: Session, number: int, workspace: Workspace, should_stop: ShouldStop
) -> Generator[Event, None, _Start | None]:
    """What training would begin with if its seed were `number` higher; None when asked to stop.

    Averaged weights are left out: over so few steps they are mostly the first ones.
    """
    training = made.config.training
    training = training.model_copy(update={"seed": (training.seed + number) % 2**63, "ema_decay": 0.0})
    seeded = replace(made, config=made.config.model_copy(update={"training": training}))
    state = session.first_state(seeded, workspace)
    sources = yield from session.sources_for(state, seeded, workspace, should_stop)
    return _Start(state, sources, optim.loss_function(training)) if sources else None


def _started(made: Session, settings: SweepConfig, start: _Start) -> SweepStarted:
    samples, batches = len(made.dataset.splits["train"].labels), len(start.sources.train)
    notes = [start.sources.note]
    if batches == 1:
        notes.append(
            f"All {samples:,} photos fit into one batch, so every step sees the same ones: a smaller batch size "
            "makes the curve more telling."
        )
    return SweepStarted(
        steps=settings.steps,
        seeds=settings.seeds,
        rates=_shares(made.config),
        device=str(made.device),
        samples=samples,
        batches=batches,
        note=" ".join(filter(None, notes)),
    )


def _shares(config: RunConfig) -> dict[str, float]:
    """The rate of every part that is trained as a multiple of the head's."""
    rates = {name: rate for name, rate in optim.rates(config).items() if rate}
    head = list(rates.values())[-1]
    return {name: rate / head for name, rate in rates.items()}


def _advised(advice: Advice) -> Advised:
    return Advised(**asdict(advice))
