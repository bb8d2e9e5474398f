"""Each row's three sides as functions: one call is one unit of work, its value the seconds that count."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks import course, engine, limit
from benchmarks.observe import Observed
from benchmarks.photos import COURSE, untouched
from benchmarks.rows import DATASET, Plan, Row
from catfish_core import catalog, parts
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.data import library
from catfish_core.models import build
from catfish_core.training import optim
from catfish_core.training.lr_finder import ladder
from catfish_core.workspace import Workspace

Side = Callable[[], float]
LOWEST, HIGHEST = 1e-7, 1.0  # learning rates of the sweep


@dataclass(frozen=True)
class Sides:
    """What makes the sides of a row, when they are needed: the limit only when the engine has been seen at work.

    `photos` is how many of them one unit looks at; `engine` is None where the engine cannot do it yet.
    """

    photos: int
    course: Callable[[], Side]
    engine: Callable[[], Side] | None
    limit: Callable[[Observed], Side]


class Bench:
    """One row's material: the photos, the device, and networks that all begin with the same weights."""

    def __init__(self, row: Row, plan: Plan, workspace: Workspace) -> None:
        self.row, self.plan, self.workspace = row, plan, workspace
        self.device = optim.device("auto")
        self.dataset = library.load(workspace, DATASET)
        self.config = row.config()

    def photos(self, *splits: str) -> int:
        """How many photos `splits` have together."""
        return sum(len(self.dataset.splits[split].labels) for split in splits)

    def model(self, config: RunConfig | None = None) -> nn.Module:
        """The network, from the seed that the engine's run has too."""
        config = config or self.config
        torch.manual_seed(config.training.seed)
        classes = len(self.dataset.info.classes)
        network = build.build(config.model, classes, config.data.image_size, self.workspace)
        arch = catalog.arch(config.model.arch)
        build.freeze(network, arch, parts.shares(config.parts, arch, 0))
        return network.to(self.device)

    def loader(self, split: str) -> course.Loader:
        """The course's batches of `split`."""
        return course.loader(self.workspace.root / COURSE, self.config, split)

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds of `work`, with all that it left the device to do."""
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def rates(self) -> list[float]:
        """The learning rates of a sweep, evenly spread on a logarithmic scale."""
        return ladder(self.sweep())

    def sweep(self) -> SweepConfig:
        """The sweep alone: to its end, however it diverges, and nothing tried out."""
        return SweepConfig(init=LOWEST, final=HIGHEST, steps=self.plan.steps, divergence=None, probes=0)


def sides(row: Row, plan: Plan, workspace: Workspace) -> Sides:
    """The sides of `row` on the photos of `workspace`."""
    make = {"epoch": _epoch, "frozen": _frozen, "sweep": _sweep, "predict": _predict}[row.kind]
    return make(Bench(row, plan, workspace))


def _course_epoch(bench: Bench) -> Side:
    model, train, val = bench.model(), bench.loader("train"), bench.loader("val")
    optimizer = course.adam(model, bench.config)

    def epoch() -> None:
        course.train_epoch(model, train, optimizer, bench.device)
        course.validate(model, val, bench.device)

    return lambda: bench.timed(epoch)


def _epoch(bench: Bench) -> Sides:
    def of_engine() -> Side:
        epochs = bench.plan.rounds + 1  # one run that a round takes one epoch further; the first warms up
        return engine.engine_epochs(bench.workspace, bench.row.config(epochs)).__next__

    def of_limit(seen: Observed) -> Side:
        train = limit.in_memory(bench.loader("train"), bench.device, seen.steps)
        val = limit.in_memory(bench.loader("val"), bench.device, seen.passes)
        model = bench.model().to(memory_format=seen.steps.memory)  # type: ignore[call-overload]
        optimizer = seen.optimizer(model)
        return lambda: bench.timed(lambda: limit.epoch(model, optimizer, train, val, seen))

    return Sides(bench.photos("train", "val"), lambda: _course_epoch(bench), of_engine, of_limit)


def _frozen(bench: Bench) -> Sides:
    epochs = bench.plan.epochs

    def of_course() -> Side:
        epoch = _course_epoch(bench)
        return lambda: epochs * epoch()

    def run(workspace: Workspace) -> float:
        return sum(engine.engine_epochs(workspace, bench.row.config(epochs)))

    def cold() -> float:
        with untouched(bench.workspace) as fresh:
            return run(fresh)

    def of_engine() -> Side:
        return (lambda: run(bench.workspace)) if bench.row.warm else cold

    photos = epochs * bench.photos("train", "val")
    return Sides(photos, of_course, of_engine, lambda seen: _frozen_limit(bench, seen))


def _frozen_limit(bench: Bench, seen: Observed) -> Side:
    """Cold: every file once, the backbone once over what was in it, then the head; warm: the head alone."""
    model = bench.model().eval()
    head = catalog.arch(bench.config.model.arch).head
    learning = model.get_submodule(head)
    setattr(model, head, nn.Identity())
    model.to(memory_format=seen.passes.memory)  # type: ignore[call-overload]
    files = [bench.loader(split).dataset.samples for split in ("train", "val")]  # type: ignore[attr-defined]
    stats = build.normalization(bench.config.data, bench.config.model)

    def seen_once() -> list[list[limit.Batch]]:
        size, batch = bench.config.data.image_size, bench.config.training.batch_size
        batches = [limit.from_files(samples, size, stats, batch, seen.passes) for samples in files]
        return [
            limit.features(model, limit.in_memory(some, bench.device, seen.passes), seen.passes) for some in batches
        ]

    kept = seen_once()

    def run() -> None:
        ready = kept if bench.row.warm else seen_once()
        optimizer = seen.optimizer(learning)
        for _ in range(bench.plan.epochs):
            limit.epoch(learning, optimizer, ready[0], ready[1], seen)

    return lambda: bench.timed(run)


def _sweep(bench: Bench) -> Sides:
    rates = bench.rates()

    def of_course() -> Side:
        model, train = bench.model(), bench.loader("train")
        optimizer = course.adam(model, bench.config)
        return lambda: bench.timed(lambda: course.sweep(model, train, optimizer, bench.device, rates))

    def of_limit(seen: Observed) -> Side:
        model = bench.model().to(memory_format=seen.steps.memory)  # type: ignore[call-overload]
        train = limit.in_memory(bench.loader("train"), bench.device, seen.steps)
        optimizer = seen.optimizer(model)
        return lambda: bench.timed(lambda: limit.sweep(model, optimizer, train, seen, rates))

    def of_engine() -> Side:
        return lambda: engine.engine_sweep(bench.workspace, bench.config, bench.sweep())

    return Sides(len(rates) * bench.config.training.batch_size, of_course, of_engine, of_limit)


def _predict(bench: Bench) -> Sides:
    repeats, size = bench.plan.repeats, bench.config.data.image_size
    arch = catalog.arch(bench.config.model.arch)
    photo = bench.dataset.splits["val"].paths[0]
    assert arch.cam_layer is not None
    cam_layer: str = arch.cam_layer

    def mean(work: Callable[[], object]) -> Side:
        return lambda: bench.timed(lambda: [work() for _ in range(repeats)]) / repeats

    def of_course() -> Side:
        model, stats = bench.model(), build.normalization(bench.config.data, bench.config.model)
        layer = model.get_submodule(cam_layer)
        return mean(lambda: course.predict_cam(model, layer, photo, size, stats, bench.device))

    def of_engine() -> Side:
        model = engine.saved_model(bench.workspace, bench.config, bench.dataset.info.classes, bench.device)
        return mean(lambda: engine.predict_cam(model, photo))

    def of_limit(seen: Observed) -> Side:
        model = bench.model().eval().to(memory_format=seen.passes.memory)  # type: ignore[call-overload]
        image = limit.in_memory(bench.loader("val"), bench.device, seen.passes)[0][0][:1].clone()
        return mean(lambda: limit.forward_backward(model, image, seen.passes))

    return Sides(1, of_course, of_engine, of_limit)
