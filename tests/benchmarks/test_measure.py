"""Measuring: the warm-up does not count, sides take turns, the collector rests and works again."""

import gc

import torch
from torch import nn

from benchmarks.measure import measure
from benchmarks.observe import Observed, observing
from benchmarks.sides import Sides


def scripted(name, seconds, calls):
    """A side whose units take `seconds`, one after the other, and that notes its calls."""
    coming = iter(seconds)

    def side():
        assert not gc.isenabled()
        calls.append(name)
        return next(coming)

    return lambda *_: side


def test_medians_without_the_warm_up_and_sides_in_turn():
    calls: list[str] = []
    made = measure(
        Sides(
            photos=1,
            course=scripted("course", [99, 4, 9, 5], calls),
            engine=scripted("engine", [99, 1, 2, 3], calls),
            limit=scripted("limit", [99, 1, 1, 8], calls),
        ),
        rounds=3,
    )
    assert (made.course, made.engine, made.limit) == (5, 2, 1)
    assert calls[:3] == ["course", "engine", "limit"]
    assert [calls[k] for k in (3, 6, 9)] == ["course", "engine", "limit"]  # each begins a round
    assert gc.isenabled()


def test_without_an_engine_the_others_are_measured():
    calls: list[str] = []
    made = measure(Sides(1, scripted("course", [9, 4], calls), None, scripted("limit", [9, 2], calls)), rounds=1)
    assert (made.course, made.engine, made.limit) == (4, None, 2)


def test_the_limit_is_made_with_what_was_seen_of_the_engine():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, weight_decay=0.25)
    seen: list[Observed] = []

    def engine():
        with torch.autocast("cpu", torch.bfloat16):
            images = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
            model(images).float().sum().backward()
        optimizer.step()
        return 1.0

    def limit(observed):
        seen.append(observed)
        return lambda: 1.0

    measure(Sides(1, lambda: lambda: 1.0, lambda: engine, limit), rounds=1)
    assert seen[0].steps.dtype is torch.bfloat16 and seen[0].steps.channels_last
    assert seen[0].passes.dtype is torch.float32  # nothing ran without gradients
    again = seen[0].optimizer(model)
    assert type(again) is torch.optim.AdamW
    assert (again.defaults["lr"], again.defaults["weight_decay"]) == (0.5, 0.25)


def test_watching_leaves_nothing_behind():
    model = nn.Linear(2, 2)
    with observing() as seen:
        pass
    model.double()(torch.rand(1, 2).double())
    model.to(torch.bfloat16)(torch.rand(1, 2).bfloat16())
    assert seen == Observed()
