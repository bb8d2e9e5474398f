"""From measured pieces to an estimate; who asks, how often, and what is remembered."""

import os

import pytest

from catfish_core import estimate
from catfish_core.augment import RandomHorizontalFlip
from catfish_core.config import (
    AugmentConfig,
    ComputeConfig,
    DataConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    with_settings,
)
from catfish_core.estimate import Estimate, Measured
from catfish_core.parts import PartsConfig

COUNTS = {"train": 100, "val": 20, "test": 10}


def measured(**changes):
    usual = {"ready": 5.0, "photo": 0.01, "features": 0.0, "step": 0.2, "checked": 0.005, "epoch": 0.1}
    return Measured(**(usual | changes))


def wanted(epochs=3, batch_size=50, **sections):
    return RunConfig(
        data=DataConfig(dataset="tiny", image_size=32),
        training=TrainingConfig(epochs=epochs, batch_size=batch_size),
        **sections,
    )


def test_an_estimate_by_hand():
    found = estimate.estimate(measured(), wanted(), COUNTS, decoded=False)
    assert found.ready == pytest.approx(5 + 120 * 0.01)  # the test's photos wait for their turn
    assert found.epoch == pytest.approx(0.1 + 2 * 0.2 + 20 * 0.005)
    assert found.total == pytest.approx(6.2 + 3 * 0.6 + 10 * (0.01 + 0.005))
    assert estimate.estimate(measured(), wanted(), COUNTS, decoded=True).ready == 5


def test_features_count_once_and_not_when_they_are_there():
    frozen = measured(features=0.1)
    assert estimate.estimate(frozen, wanted(), COUNTS, True).ready == pytest.approx(5 + 120 * 0.1)
    seen = estimate.estimate(measured(features=0.1, seen=True), wanted(), COUNTS, True)
    assert seen.ready == 5
    whole = estimate.estimate(frozen, wanted(), COUNTS, True)
    assert whole.total - seen.total == pytest.approx((120 + COUNTS["test"]) * 0.1)  # those of the test come last
    views = wanted(augment=AugmentConfig(steps=(RandomHorizontalFlip(),)), compute=ComputeConfig(feature_views=4))
    assert estimate.estimate(frozen, views, COUNTS, True).ready == pytest.approx(5 + 420 * 0.1)


@pytest.fixture
def spawned(monkeypatch):
    """What would have been started."""
    begun = []
    monkeypatch.setattr(estimate, "spawn", lambda module, *arguments, log: begun.append((module, arguments)))
    return begun


def test_one_process_is_started_for_as_long_as_somebody_waits(workspace, tiny_dataset, spawned):
    for _ in range(3):
        estimate.ask(workspace, wanted())
    assert len(spawned) == 1
    (wish,) = workspace.estimates.glob("*.wish")
    assert spawned[0][0] == "catfish_core.training.measuring" and spawned[0][1][1] == wish.stem
    os.utime(wish, (0, 0))  # nobody has asked for long: whoever measured has given up
    assert not estimate.waiting(wish)
    estimate.ask(workspace, wanted())
    assert len(spawned) == 2


def test_an_answer_is_found_by_whatever_has_the_same_pace(workspace, tiny_dataset, spawned):
    estimate.ask(workspace, wanted())
    estimate.answer(workspace, spawned[0][1][1], measured().__dict__)
    assert estimate.find(workspace, wanted()).total > 5
    same = with_settings(wanted(), ["training.epochs=9", "optimizer.lr=0.5", "name=Mine", "schedule.kind=cosine"])
    assert estimate.find(workspace, same).total > estimate.find(workspace, wanted()).total
    for setting in ("data.image_size=24", "training.batch_size=8", "model.arch=simple_net", "training.ema_decay=0.9"):
        assert estimate.find(workspace, with_settings(wanted(), [setting])) is None


def test_what_is_trained_at_the_end_decides_the_pace_and_its_rates_do_not(workspace):
    def place(preset, epochs=4, **more):
        model = ModelConfig(arch="efficientnet_lite0", pretrained=True)
        parts = PartsConfig(preset=preset, **more)
        config = RunConfig(model=model, parts=parts, training=TrainingConfig(epochs=epochs))
        return estimate._place(workspace, config)

    own = {"classifier": 1.0, "conv_head": 0.2}
    assert place("own", rates=own) == place("own", rates=own | {"conv_head": 0.7})
    assert place("own", rates=own) == place("gradual", every=2) != place("gradual", every=1)
    assert place("gradual", every=4) == place("head_only") != place("course")


def test_an_old_or_torn_answer_is_none(workspace, tiny_dataset, spawned):
    estimate.ask(workspace, wanted())
    key = spawned[0][1][1]
    estimate.answer(workspace, key, measured().__dict__)
    path = workspace.estimates / f"{key}.json"
    os.utime(path, (0, 0))
    assert estimate.find(workspace, wanted()) is None
    for content in ("", "[", '{"ready": 1}', '{"strange": 1}'):
        path.write_text(content)
        assert estimate.find(workspace, wanted()) is None


def test_photos_that_are_not_here_are_said_so(workspace):
    away = wanted().model_copy(update={"data": DataConfig(dataset="cats-vs-fish")})
    assert "once the photos are here" in estimate.find(workspace, away).why
    assert estimate.photos(workspace, "sketchbook") == {"train": 400, "val": 100, "test": 100}
    assert estimate.find(workspace, RunConfig()) is None  # the book can be drawn and so be measured


def test_why_it_is_not_known_is_passed_on(workspace, tiny_dataset, spawned):
    estimate.ask(workspace, wanted())
    estimate.answer(workspace, spawned[0][1][1], {"why": "Because."})
    assert estimate.find(workspace, wanted()) == Estimate(why="Because.")
