"""Speed is not paid for with accuracy: the same configuration with and without each cache."""

import json
import shutil
import statistics

import pytest

from catfish_core import runs
from catfish_core.augment import ColorJitter, RandomAffine, RandomHorizontalFlip, RandomResizedCrop
from catfish_core.config import (
    AugmentConfig,
    ComputeConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
)
from catfish_core.data import library, photos, pixels
from catfish_core.events import BatchEnd, Completed, EpochEnd, Preparing
from catfish_core.jobs import worker
from catfish_core.parts import PartsConfig
from catfish_core.training import compute
from catfish_core.workspace import Workspace

LITE0 = ModelConfig(arch="efficientnet_lite0", pretrained=True)
CHANGES = (RandomHorizontalFlip(), ColorJitter(brightness=0.2, contrast=0.2, hue=0.05), RandomAffine())
SEEDS = (0, 1, 2)
MANY = range(12)  # for a network whose best accuracy differs by more than a point from seed to seed
POINT = 0.01


def configured(dataset, model, size, epochs, batch_size=64, steps=(), seed=0, **how):
    return RunConfig(
        data=DataConfig(dataset=dataset, image_size=size),
        model=model,
        parts=PartsConfig(preset="head_only" if model.pretrained else "everything"),
        augment=AugmentConfig(steps=steps),
        optimizer=OptimizerConfig(lr=1e-3),
        training=TrainingConfig(epochs=epochs, batch_size=batch_size, device="cpu", seed=seed),
        compute=ComputeConfig(**{"precision": "fp32", **how}),
    )


def trained(workspace, config):
    """Losses and what the network says of the test photos; best validation accuracy; what was prepared."""
    run = runs.create(workspace, config)
    ended = worker.work(run)
    assert isinstance(ended, Completed), ended
    told = run.events()[0]
    losses = [e.loss for e in told if isinstance(e, BatchEnd)]
    losses += [loss for e in told if isinstance(e, EpochEnd) for loss in (e.train_loss, e.val_loss)]
    answers = [p for a in json.loads(run.report_path.read_text())["predictions"] for p in a["probabilities"]]
    return [*losses, *answers], ended.best_val_accuracy, {e.what for e in told if isinstance(e, Preparing)}


@pytest.mark.parametrize("steps", [(), CHANGES], ids=["plain", "augmented"])
def test_pixels_kept_or_read_anew_are_the_same_to_the_last_digit(workspace, tiny_dataset, monkeypatch, steps):
    config = configured("tiny", ModelConfig(), 16, 3, 8, steps)
    cold, _, made = trained(workspace, config)
    warm, _, found = trained(workspace, config)
    pixels.forget(workspace, library.info(workspace, "tiny").version)
    monkeypatch.setenv(pixels.BUDGET, "0")
    none, _, without = trained(workspace, config)
    assert cold == warm == none
    assert "Preparing the photos" in made - found and any("read anew" in what for what in without)


@pytest.mark.parametrize(("steps", "views"), [((), 0), (CHANGES, 3)], ids=["plain", "augmented"])
def test_features_kept_or_computed_anew_are_the_same(workspace, tiny_dataset, steps, views):
    """With as many views as epochs, augmentation included."""
    how = {"model": LITE0, "size": 32, "epochs": 3, "batch_size": 8, "steps": steps}
    cold, _, made = trained(workspace, configured("tiny", feature_views=views, **how))
    warm, _, found = trained(workspace, configured("tiny", feature_views=views, **how))
    none, _, without = trained(workspace, configured("tiny", feature_cache=False, **how))
    assert cold == warm and cold == pytest.approx(none, abs=1e-4)
    assert sum("frozen backbone" in what for what in made) and not sum("backbone" in what for what in found | without)


@pytest.fixture(scope="module")
def real(photos_zip, tmp_path_factory):
    """A workspace with the real photos."""
    workspace = Workspace(tmp_path_factory.mktemp("real"))
    for _ in library.add(workspace, "real", photos_zip):
        pass
    return workspace


def emptied(workspace):
    """Its caches are gone."""
    for folder in (workspace.pixels, workspace.features):
        shutil.rmtree(folder, ignore_errors=True)


def compared(workspace, capsys, name, one, other, between=lambda: None, seeds=SEEDS):
    """Best validation accuracies over the seeds, of `one` way and the `other`; `between` is done between the two."""
    ours = [trained(workspace, one(seed)) for seed in seeds]
    between()
    theirs = [trained(workspace, other(seed)) for seed in seeds]
    best = [[accuracy for _, accuracy, _ in side] for side in (ours, theirs)]
    with capsys.disabled():
        print(f"\n{name}: {' '.join(f'{a:.4f}' for a in best[0])} against {' '.join(f'{a:.4f}' for a in best[1])}")
    assert abs(statistics.mean(best[0]) - statistics.mean(best[1])) <= POINT
    return [numbers for numbers, _, _ in ours], [numbers for numbers, _, _ in theirs]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("model", "epochs", "seeds"),
    [(LITE0, 8, SEEDS), (ModelConfig(arch="simple_cnn"), 10, MANY)],
    ids=["lite0", "simple_cnn"],
)
def test_photos_decoded_smaller_teach_as_well(request, real, capsys, monkeypatch, model, epochs, seeds):
    def whole():
        emptied(real)
        monkeypatch.setattr(photos, "DRAFT", 10**4)  # no JPEG has so many pixels to spare

    emptied(real)  # also of what a test before may have left
    request.addfinalizer(lambda: emptied(real))
    way = lambda seed: configured("real", model, 64, epochs, seed=seed)  # noqa: E731
    smaller, full = compared(real, capsys, f"{model.arch}, decoded smaller", way, way, whole, seeds)
    assert smaller != full  # or nothing was compared


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_features_of_real_photos_teach_as_well(real, capsys):
    kept, computed = compared(
        real,
        capsys,
        "lite0, features kept",
        lambda seed: configured("real", LITE0, 64, 4, seed=seed),
        lambda seed: configured("real", LITE0, 64, 4, seed=seed, feature_cache=False),
    )
    for one, other in zip(kept, computed, strict=True):
        assert one == pytest.approx(other, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_few_augmented_views_teach_as_well_as_ever_new_ones(real, capsys):
    steps = (RandomHorizontalFlip(), RandomResizedCrop(scale=(0.7, 1.0)))
    compared(
        real,
        capsys,
        "lite0, three augmented views kept",
        lambda seed: configured("real", LITE0, 64, 6, seed=seed, steps=steps, feature_views=3),
        lambda seed: configured("real", LITE0, 64, 6, seed=seed, steps=steps),
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not compute._cpu_has_bf16(), reason="this processor computes in fp32 by itself")
def test_what_auto_chooses_teaches_as_well_as_full_length(real, capsys):
    model = ModelConfig(arch="simple_cnn")
    compared(
        real,
        capsys,
        "simple_cnn, bf16",
        lambda seed: configured("real", model, 64, 15, seed=seed, precision="auto"),
        lambda seed: configured("real", model, 64, 15, seed=seed),
    )
