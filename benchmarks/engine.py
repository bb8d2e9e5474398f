"""The engine's side: the product's own functions, the way the worker and the service call them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from unittest import mock

import torch

from catfish_core import runs, sweeps
from catfish_core.analysis import predict
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.data import photos
from catfish_core.events import EpochEnd, Event
from catfish_core.models import build, saved
from catfish_core.models.saved import Saved
from catfish_core.training import checkpoint, session
from catfish_core.training.search import search
from catfish_core.workspace import Workspace

# What a run does beside learning, and the course's loop and the limit do not: the clock stands still meanwhile.
NOT_COUNTED: tuple[tuple[Any, str], ...] = (
    (build, "build"),
    (saved, "save"),
    (checkpoint, "save"),
    (session, "_write_environment"),
    (session, "TensorBoard"),
)


@dataclass
class Pause:
    """Seconds that do not count, and how often they were taken."""

    seconds: float = 0.0
    count: int = 0

    def over(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time added to the pause."""

        def paused(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began
                self.count += 1

        return paused


@contextmanager
def not_counted() -> Iterator[Pause]:
    """The time that goes into NOT_COUNTED inside."""
    pause = Pause()
    with ExitStack() as stack:
        for owner, name in NOT_COUNTED:
            stack.enter_context(mock.patch.object(owner, name, pause.over(getattr(owner, name))))
        yield pause


def engine_epochs(workspace: Workspace, config: RunConfig) -> Iterator[float]:
    """Seconds of each epoch of a real run of `config`, the first with all that the run prepares before it.

    It is the run that the worker would iterate, so whatever is cached is used. The run is left at its last
    epoch: the report on the test photos is nobody else's either.
    """
    started = session.train(runs.create(workspace, config), lambda: False)
    with closing(cast(Generator[Event, None, None], started)) as events:
        for _ in range(config.training.epochs):
            with not_counted() as pause:
                began = time.perf_counter()
                next(event for event in events if isinstance(event, EpochEnd))  # its losses are numbers: all is done
                took = time.perf_counter() - began - pause.seconds
            yield took


def engine_sweep(workspace: Workspace, config: RunConfig, settings: SweepConfig) -> float:
    """Seconds of a real search for a learning rate with `settings`, as the worker does it."""
    events = search(sweeps.create(workspace, config, settings), lambda: False)
    with not_counted() as pause:
        began = time.perf_counter()
        for _ in events:
            pass
        return time.perf_counter() - began - pause.seconds


def predict_cam(model: Saved, photo: Path) -> None:
    """What the service does with one photo: probabilities and heatmap together."""
    predict.look(model, [photos.open_photo(photo)])


def saved_model(workspace: Workspace, config: RunConfig, classes: tuple[str, ...], device: torch.device) -> Saved:
    """The network of `config` with a new head, saved and loaded again as a run's model is."""
    torch.manual_seed(config.training.seed)
    model = build.build(config.model, len(classes), config.data.image_size, workspace)
    run = runs.create(workspace, config)
    saved.save(run.path, model, config, classes, *build.normalization(config.data, config.model))
    return saved.load(run.path, device)


def missing_features() -> str | None:
    """A warning where warm and cold cannot differ by features."""
    if importlib.util.find_spec("catfish_core.training.features") is None:
        return "lite0_frozen_*: the engine keeps no features yet; every epoch goes through the whole network."
    return None
