"""The course's photos, the whole way: what a student may expect to reach."""

import pytest

from catfish_core import runs
from catfish_core.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from catfish_core.data import library
from catfish_core.events import Completed, Tested
from catfish_core.jobs import worker
from catfish_core.parts import PartsConfig

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
