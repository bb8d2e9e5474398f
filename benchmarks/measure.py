"""Measuring fairly: one process, the sides in turn, the first turn not counted, the garbage collector at rest."""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.observe import Observed, observing
from benchmarks.report import Seconds
from benchmarks.sides import Side, Sides

Tell = Callable[[str], None]


def measure(sides: Sides, rounds: int, tell: Tell = lambda _: None) -> Seconds:
    """The median of `rounds` counted rounds for each side.

    The warm-up comes first for all: it is where photos are decoded that stay in memory, libraries are loaded, and
    the engine is watched so that the limit can compute as it does. After it, every round begins with another
    side, so that a machine that warms up or is busy for a while favours none.
    """
    threads = torch.get_num_threads()
    tell("warm-up")
    chosen: dict[str, Side] = {"course": sides.course()}
    _quiet(chosen["course"], threads)
    seen = Observed()
    if sides.engine is not None:
        chosen["engine"] = sides.engine()
        with observing() as seen:
            _quiet(chosen["engine"], threads)
    chosen["limit"] = sides.limit(seen)
    _quiet(chosen["limit"], threads)
    taken: dict[str, list[float]] = {name: [] for name in chosen}
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for name in _rotated(list(chosen), number):
            taken[name].append(_quiet(chosen[name], threads))
    medians = {name: median(seconds) for name, seconds in taken.items()}
    return Seconds(medians["course"], medians.get("engine"), medians["limit"])


def _rotated(names: list[str], number: int) -> list[str]:
    first = number % len(names)
    return names[first:] + names[:first]


def _quiet(side: Side, threads: int) -> float:
    """One unit of `side` with as many threads as every other side, no garbage collected in the middle of it."""
    torch.set_num_threads(threads)
    gc.collect()
    gc.disable()
    try:
        return side()
    finally:
        gc.enable()
