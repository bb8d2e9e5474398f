"""The course's photos, the whole way: what a student may expect to reach."""

import pytest

from catfish_core import runs, sweeps
from catfish_core.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, SweepConfig, TrainingConfig
from catfish_core.data import library
from catfish_core.events import Advised, Completed, EpochEnd, SweepCompleted, SweepPoint, Tested
from catfish_core.jobs import worker
from catfish_core.parts import PartsConfig
from catfish_core.training import lr_finder

pytestmark = pytest.mark.slow


def trained(workspace, photos_zip, monkeypatch, model, size, epochs, preset="everything"):
    monkeypatch.setenv("CATFISH_DATASET_URL", photos_zip.as_uri())
    for _ in library.prepare(workspace, "cats-vs-fish"):
        pass
    config = RunConfig(
        data=DataConfig(dataset="cats-vs-fish", image_size=size),
        model=model,
        parts=PartsConfig(preset=preset),
        optimizer=OptimizerConfig(name="adam", lr=1e-3),
        training=TrainingConfig(epochs=epochs),
    )
    run = runs.create(workspace, config)
    ended = worker.work(run)
    assert isinstance(ended, Completed), ended
    (tested,) = (e for e in run.events()[0] if isinstance(e, Tested))
    return ended.best_val_accuracy, tested.accuracy


def test_simple_cnn_is_right_four_times_in_five(workspace, photos_zip, monkeypatch):
    best, _ = trained(workspace, photos_zip, monkeypatch, ModelConfig(arch="simple_cnn"), 64, 20)
    assert best >= 0.80


def test_a_frozen_efficientnet_is_nearly_always_right(workspace, photos_zip, monkeypatch):
    lite0 = ModelConfig(arch="efficientnet_lite0", pretrained=True)
    _, test = trained(workspace, photos_zip, monkeypatch, lite0, 128, 10, "head_only")
    assert test >= 0.97


def simple_net(lr, seed):
    return RunConfig(
        data=DataConfig(dataset="cats-vs-fish", image_size=64),
        model=ModelConfig(arch="simple_net"),
        optimizer=OptimizerConfig(name="adam", lr=lr),
        training=TrainingConfig(epochs=5, seed=seed),
    )


def last_val_loss(workspace, config):
    run = runs.create(workspace, config)
    assert isinstance(worker.work(run), Completed)
    return [event.val_loss for event in run.events()[0] if isinstance(event, EpochEnd)][-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_recommended_rate_beats_one_too_high_and_one_too_low(workspace, photos_zip, monkeypatch, seed):
    monkeypatch.setenv("CATFISH_DATASET_URL", photos_zip.as_uri())
    for _ in library.prepare(workspace, "cats-vs-fish"):
        pass
    sweep = sweeps.create(workspace, simple_net(1e-3, seed), SweepConfig(init=1e-6, final=1.0))
    assert isinstance(worker.work(sweep), SweepCompleted)
    told = sweep.events()[0]
    curve = lr_finder.curve((e for e in told if isinstance(e, SweepPoint)), sweep.settings())
    phases = lr_finder.phases(curve.lrs, curve.smoothed)
    assert 1e-6 < phases.too_small_until < phases.diverges_from < 1.0
    first, *_, last = [event.rate for event in told if isinstance(event, Advised)]
    assert 3e-5 <= first <= 1e-3 and 3e-5 <= last <= 1e-3
    recommended = last_val_loss(workspace, simple_net(last, seed))
    for other in (1e-2, 1e-6):
        assert recommended <= last_val_loss(workspace, simple_net(other, seed)), other
