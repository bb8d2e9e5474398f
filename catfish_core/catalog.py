"""Architectures and built-in datasets as tables. To add a model, add a row to `ARCHITECTURES`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from catfish_core.errors import ConfigError

Statistics = tuple[float, float, float]
IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)
HALF: Statistics = (0.5, 0.5, 0.5)

Source = Literal["catfish", "torchvision", "timm"]
Preset = Literal["everything", "head_only", "course", "gradual", "own"]  # what is trained: see parts.py


@dataclass(frozen=True)
class Arch:
    """One architecture: what the select box shows, what the builder builds, where Grad-CAM looks.

    `head` is the dotted name of the last part, replaced for transfer learning; `stages` are the parts before
    it, first to last; `cam_layer` is where Grad-CAM looks by default (None: nothing convolutional, the page
    shows input gradients instead). `native_size` is the side of the photos the pretrained weights saw,
    `min_size` the smallest side the layers can take, both in pixels. `parameters` is the count with 1,000
    classes (the published figure), in millions. `weights` names what the source calls its ImageNet weights.
    `batch_norm` says that it compares the photos of a batch and cannot learn from one alone.
    """

    id: str
    name: str
    family: str
    year: int
    source: Source
    about: str
    head: str
    stages: tuple[str, ...]
    cam_layer: str | None
    native_size: int = 224
    min_size: int = 32
    parameters: float = 0.0
    weights: str | None = None
    bundled: bool = False
    batch_norm: bool = True
    mean: Statistics = IMAGENET_MEAN
    std: Statistics = IMAGENET_STD

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be trained or frozen by itself: the stages, first to last, and the head."""
        return (*self.stages, self.head)


ARCHITECTURES: tuple[Arch, ...] = (
    Arch(
        "simple_net", "SimpleNet", "Course", 2019, "catfish",
        "Three fully connected layers. Sees pixels, not shapes: the baseline everything else must beat.",
        head="fc3", stages=("fc1", "fc2"), cam_layer=None, native_size=64, min_size=8,
        batch_norm=False, parameters=1.09,
    ),
    Arch(
        "simple_cnn", "SimpleCNN", "Course", 2019, "catfish",
        "Three convolutions and a small head. Learns edges, fur and fins in a minute on any laptop.",
        head="classifier", stages=("conv1", "conv2", "conv3"), cam_layer="conv3",
        native_size=64, min_size=8, batch_norm=False, parameters=0.48,
    ),
    Arch(
        "efficientnet_lite0", "EfficientNet-Lite0", "EfficientNet", 2020, "timm",
        "Small, quick and already trained on a million photos; its weights come with CatFish.",
        head="classifier", stages=("conv_stem", *(f"blocks.{i}" for i in range(7)), "conv_head"),
        cam_layer="conv_head", parameters=4.65, weights="tf_efficientnet_lite0.in1k", bundled=True,
        mean=HALF, std=HALF,
    ),
    Arch(
        "resnet18", "ResNet-18", "ResNet", 2015, "torchvision",
        "The workhorse: short cuts between layers let a deep network learn.",
        head="fc", stages=("conv1", "layer1", "layer2", "layer3", "layer4"), cam_layer="layer4",
        parameters=11.69, weights="IMAGENET1K_V1",
    ),
    Arch(
        "resnet50", "ResNet-50", "ResNet", 2015, "torchvision",
        "The reference that most papers compare with; wants a GPU.",
        head="fc", stages=("conv1", "layer1", "layer2", "layer3", "layer4"), cam_layer="layer4",
        parameters=25.56, weights="IMAGENET1K_V2",
    ),
    Arch(
        "resnet152", "ResNet-152", "ResNet", 2015, "torchvision",
        "152 layers deep; accurate, heavy, slow without a GPU.",
        head="fc", stages=("conv1", "layer1", "layer2", "layer3", "layer4"), cam_layer="layer4",
        parameters=60.19, weights="IMAGENET1K_V2",
    ),
    Arch(
        "mobilenet_v3_small", "MobileNet v3 small", "MobileNet", 2019, "torchvision",
        "Made for phones: very quick, a little less exact.",
        head="classifier", stages=tuple(f"features.{i}" for i in range(13)), cam_layer="features.12",
        parameters=2.54, weights="IMAGENET1K_V1",
    ),
    Arch(
        "mobilenet_v3_large", "MobileNet v3 large", "MobileNet", 2019, "torchvision",
        "The bigger phone network, still quick on a laptop.",
        head="classifier", stages=tuple(f"features.{i}" for i in range(17)), cam_layer="features.16",
        parameters=5.48, weights="IMAGENET1K_V2",
    ),
    Arch(
        "efficientnet_b0", "EfficientNet-B0", "EfficientNet", 2019, "torchvision",
        "Depth, width and resolution balanced by search; a good first choice for a GPU.",
        head="classifier", stages=tuple(f"features.{i}" for i in range(9)), cam_layer="features.8",
        parameters=5.29, weights="IMAGENET1K_V1",
    ),
    Arch(
        "mnasnet1_0", "MNASNet 1.0", "MNASNet", 2018, "torchvision",
        "Designed by a search that measured real phones.",
        head="classifier", stages=tuple(f"layers.{i}" for i in (0, 3, 6, 8, 9, 10, 11, 12, 13, 14)),
        cam_layer="layers.14", parameters=4.38, weights="IMAGENET1K_V1",
    ),
    Arch(
        "squeezenet1_1", "SqueezeNet 1.1", "SqueezeNet", 2016, "torchvision",
        "AlexNet's accuracy with fifty times fewer parameters.",
        head="classifier", stages=tuple(f"features.{i}" for i in (0, 3, 4, 6, 7, 9, 10, 11, 12)),
        cam_layer="features.12", batch_norm=False, parameters=1.24, weights="IMAGENET1K_V1",
    ),
    Arch(
        "densenet121", "DenseNet-121", "DenseNet", 2016, "torchvision",
        "Every layer sees all the ones before it.",
        head="classifier",
        stages=("features.conv0", *(f"features.denseblock{i}" for i in range(1, 5)), "features.norm5"),
        cam_layer="features.norm5", parameters=7.98, weights="IMAGENET1K_V1",
    ),
    Arch(
        "googlenet", "GoogLeNet", "Inception", 2014, "torchvision",
        "Looks at several scales at once; two helper outputs keep early layers learning.",
        head="fc", stages=("conv1", "conv2", "conv3", "inception3a", "inception3b", "inception4a",
                           "inception4b", "inception4c", "inception4d", "inception4e", "inception5a",
                           "inception5b"),
        cam_layer="inception5b", parameters=6.62, weights="IMAGENET1K_V1",
    ),
    Arch(
        "inception_v3", "Inception v3", "Inception", 2015, "torchvision",
        "GoogLeNet grown up; made for photos of 299 px.",
        head="fc", stages=("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1",
                           "Conv2d_4a_3x3", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b",
                           "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"),
        cam_layer="Mixed_7c", native_size=299, min_size=75, parameters=27.16, weights="IMAGENET1K_V1",
    ),
    Arch(
        "convnext_tiny", "ConvNeXt-Tiny", "ConvNeXt", 2022, "torchvision",
        "A convolutional network rebuilt with what transformers taught.",
        head="classifier", stages=tuple(f"features.{i}" for i in range(8)), cam_layer="features.7",
        batch_norm=False, parameters=28.59, weights="IMAGENET1K_V1",
    ),
    Arch(
        "vgg16", "VGG-16", "VGG", 2014, "torchvision",
        "Plain and huge: 138 million numbers, most of them in two fully connected layers.",
        head="classifier", stages=tuple(f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
        cam_layer="features.29", batch_norm=False, parameters=138.36, weights="IMAGENET1K_V1",
    ),
    Arch(
        "alexnet", "AlexNet", "AlexNet", 2012, "torchvision",
        "The network that started it all.",
        head="classifier", stages=tuple(f"features.{i}" for i in (0, 3, 6, 8, 10)), cam_layer="features.11",
        min_size=63, batch_norm=False, parameters=61.10, weights="IMAGENET1K_V1",
    ),
    Arch(
        "nasnetalarge", "NASNet-A-Large", "NASNet", 2017, "timm",
        "Found by a machine in four days on 500 GPUs; the heaviest here.",
        head="last_linear",
        stages=("conv0", "cell_stem_0", "cell_stem_1", *(f"cell_{i}" for i in range(6)), "reduction_cell_0",
                *(f"cell_{i}" for i in range(6, 12)), "reduction_cell_1", *(f"cell_{i}" for i in range(12, 18))),
        cam_layer="act", native_size=331, parameters=88.75, weights="nasnetalarge.tf_in1k",
        mean=HALF, std=HALF,
    ),
)  # fmt: skip
_BY_ID = {arch.id: arch for arch in ARCHITECTURES}


def arch(id: str) -> Arch:
    """The row called `id`; raises ConfigError naming the rows there are."""
    try:
        return _BY_ID[id]
    except KeyError:
        known = ", ".join(_BY_ID)
        raise ConfigError(f"There is no architecture called “{id}”.", f"Choose one of: {known}.") from None


@dataclass(frozen=True)
class BuiltinDataset:
    """A dataset CatFish knows how to make or fetch by itself; `megabytes` is what the download weighs."""

    id: str
    name: str
    about: str
    classes: tuple[str, ...]
    megabytes: int = 0


SKETCHBOOK = BuiltinDataset(
    "sketchbook",
    "Sketchbook",
    "Cats and fish drawn by CatFish itself: 600 pictures in a few seconds, no network needed.",
    ("cat", "fish"),
)
CATS_VS_FISH = BuiltinDataset(
    "cats-vs-fish",
    "Cats vs Fish",
    "The course's photos: real cats, real fish, and the people who hold them.",
    ("cat", "fish"),
    megabytes=58,
)
BUILTIN_DATASETS: tuple[BuiltinDataset, ...] = (SKETCHBOOK, CATS_VS_FISH)


def dataset_url() -> str:
    """Where Cats vs Fish is fetched from: CATFISH_DATASET_URL (http, https or file), or the course's address."""
    return os.environ.get("CATFISH_DATASET_URL", "https://bit.ly/cat_vs_fish_dataset")
