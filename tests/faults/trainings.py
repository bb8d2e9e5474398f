"""What is trained: a small dataset of drawings, and configurations that differ in all that has to be resumed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from catfish_core.augment import ColorJitter, RandomHorizontalFlip, RandomResizedCrop
from catfish_core.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainingConfig,
)
from catfish_core.data import library, sketchbook
from catfish_core.events import drain
from catfish_core.parts import PartsConfig
from catfish_core.workspace import Workspace

COUNTS = {"train": 40, "val": 10, "test": 10}  # drawings of each animal
SIDE = 48  # px
CHANGES = AugmentConfig(steps=(RandomHorizontalFlip(), RandomResizedCrop(), ColorJitter()))


def drawn(workspace: Workspace) -> str:
    """A small Sketchbook in `workspace`; its id."""
    with TemporaryDirectory() as folder:
        number = 0
        for split, count in COUNTS.items():
            for kind in ("cat", "fish"):
                place = Path(folder) / split / kind
                place.mkdir(parents=True)
                for _ in range(count):
                    sketchbook.draw(kind, number, SIDE).save(place / f"{number:03}.jpg", quality=92)
                    number += 1
        return drain(library.add(workspace, "drawings", Path(folder))).id


def configurations(dataset: str) -> tuple[RunConfig, ...]:
    """Trainings of some seconds each; between them they have every kind of state that a checkpoint must hold."""

    def made(name: str, arch: str, size: int, training: TrainingConfig, **sections: object) -> RunConfig:
        about = {"data": DataConfig(dataset=dataset, image_size=size), "training": training, **sections}
        model = sections.get("model", ModelConfig(arch=arch))
        return RunConfig.model_validate({"name": name, **about, "model": model})

    def lasting(epochs: int, batch_size: int, **more: object) -> TrainingConfig:
        return TrainingConfig(epochs=epochs, batch_size=batch_size, device="cpu", **more)  # type: ignore[arg-type]

    return (
        made(
            "momentum along a cosine", "simple_net", 32, lasting(250, 8, seed=1),
            optimizer=OptimizerConfig(name="sgd", lr=0.003, weight_decay=1e-4), augment=CHANGES,
            schedule=ScheduleConfig(kind="cosine", warmup_epochs=2.5),
        ),
        made(
            "dropout and one cycle", "simple_cnn", 32, lasting(140, 8, seed=2),
            optimizer=OptimizerConfig(name="adamw", lr=3e-3, weight_decay=0.01), augment=CHANGES,
            schedule=ScheduleConfig(kind="one_cycle"),
        ),
        made(
            "averaged and mixed", "simple_cnn", 32, lasting(90, 8, seed=3, ema_decay=0.95, mix="either"),
            augment=CHANGES,
        ),
        made(
            "stopped early", "simple_cnn", 32, lasting(500, 16, seed=4, patience=120),
            optimizer=OptimizerConfig(name="rmsprop", lr=3e-4),
            schedule=ScheduleConfig(kind="plateau", gamma=0.8, patience=4),
        ),
        made(
            "long epochs", "simple_cnn", 48, lasting(40, 2, seed=5, label_smoothing=0.1), augment=CHANGES,
            optimizer=OptimizerConfig(name="adagrad", lr=5e-3), schedule=ScheduleConfig(kind="step", step_size=15),
        ),
        made(
            "thawing", "efficientnet_lite0", 32, lasting(60, 16, seed=6),
            model=ModelConfig(arch="efficientnet_lite0", pretrained=True),
            parts=PartsConfig(preset="gradual", every=20),
        ),
        made(
            "features of a frozen network", "efficientnet_lite0", 64, lasting(400, 8, seed=7),
            model=ModelConfig(arch="efficientnet_lite0", pretrained=True), parts=PartsConfig(preset="head_only"),
            schedule=ScheduleConfig(kind="cosine"),
        ),
    )  # fmt: skip
