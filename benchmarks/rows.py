"""What is measured, as a table: a row each, with the sentence that is printed under the result.  [no torch]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from catfish_core import augment
from catfish_core.config import AugmentConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.parts import PartsConfig

DATASET = "photos"  # the id under which the photos are imported
BATCH = 64


@dataclass(frozen=True)
class Plan:
    """How much is measured: `rounds` counted ones, `epochs` of a frozen network, `steps` of a sweep; one
    prediction is so short that a round takes the mean of `repeats`."""

    rounds: int = 5
    epochs: int = 20
    steps: int = 100
    repeats: int = 20


@dataclass(frozen=True)
class Row:
    """One row: `kind` says what a unit of it is, `compares` says it in a sentence."""

    name: str
    kind: Literal["epoch", "frozen", "sweep", "predict"]
    compares: str
    arch: str = "simple_cnn"
    size: int = 64  # px
    augmented: bool = False
    pretrained: bool = False
    warm: bool = False

    def config(self, epochs: int = 1) -> RunConfig:
        """The configuration of the run: what the Train page would write, Adam at 1e-3 and batches of 64."""
        return RunConfig(
            data=DataConfig(dataset=DATASET, image_size=self.size),
            model=ModelConfig(arch=self.arch, pretrained=self.pretrained),
            parts=PartsConfig(preset="head_only" if self.kind == "frozen" else "everything"),
            augment=AugmentConfig(steps=augment.recommended() if self.augmented else ()),
            training=TrainingConfig(epochs=epochs, batch_size=BATCH),
        )


_EPOCH = "One epoch: every training photo once, then a pass over the validation photos, on all three sides."
_FROZEN = (
    "{epochs} epochs of the new head on the frozen network, with validation; the course's side is one epoch, decoded "
    "and run through the whole network as in every epoch, times {epochs}. "
)

ROWS: tuple[Row, ...] = (
    Row("simple_net", "epoch", f"SimpleNet at 64 px. {_EPOCH}", arch="simple_net"),
    Row("simple_cnn", "epoch", f"SimpleCNN at 64 px. {_EPOCH}"),
    Row(
        "simple_cnn_augmented",
        "epoch",
        f"SimpleCNN at 64 px with the recommended augmentations. {_EPOCH} The limit's photos were augmented "
        "beforehand: it pays for none of it.",
        augmented=True,
    ),
    Row("resnet18", "epoch", f"ResNet-18 from scratch at 64 px. {_EPOCH}", arch="resnet18"),
    Row(
        "lite0_frozen_cold",
        "frozen",
        f"EfficientNet-Lite0 at 128 px, nothing cached. {_FROZEN}The engine starts in a workspace where neither "
        "pixels nor features are cached. The limit: every file decoded once by hand, on all cores and as small as "
        "the engine's promise on pixels allows, once through the backbone, then the head alone.",
        arch="efficientnet_lite0",
        size=128,
        pretrained=True,
    ),
    Row(
        "lite0_frozen_warm",
        "frozen",
        f"EfficientNet-Lite0 at 128 px, the same run once more. {_FROZEN}The engine finds what the run before it "
        "left. The limit: the head alone, on features in memory.",
        arch="efficientnet_lite0",
        size=128,
        pretrained=True,
        warm=True,
    ),
    Row(
        "lr_sweep",
        "sweep",
        "SimpleCNN at 64 px. {steps} steps of the learning-rate range test, 1e-7 to 1, the training photos "
        "over and over.",
    ),
    Row(
        "predict_cam",
        "predict",
        "EfficientNet-Lite0 at 128 px. One photo from its file to probabilities and a Grad-CAM heatmap, mean of "
        "{repeats}; the course predicts first and makes the heatmap in a second pass, backward through the whole "
        "network. The limit: one forward and one whole backward pass on a tensor in memory, no photo read; the "
        "engine goes back to the heatmap's layer only, so it may be quicker than that.",
        arch="efficientnet_lite0",
        size=128,
        pretrained=True,
    ),
)
BY_NAME = {row.name: row for row in ROWS}
