"""`train`: how options become a configuration, and a run from its start to its result."""

import json

import pytest

from catfish_core.cli.parser import parser
from catfish_core.cli.train import configuration
from catfish_core.config import RunConfig


def of(*arguments):
    return configuration(parser().parse_args(["train", *arguments]))


def test_without_options_is_the_default():
    assert of() == RunConfig()


def test_options_reach_their_fields():
    model = "--dataset d --arch efficientnet_lite0 --pretrained --frozen --image-size 96"
    training = "--epochs 3 --batch-size 8 --lr 0.01 --seed 0 --device cpu"
    made = of(*model.split(), *training.split(), "--name", "My “run”")
    assert made.data.model_dump(include={"dataset", "image_size"}) == {"dataset": "d", "image_size": 96}
    assert made.model.model_dump() == {"arch": "efficientnet_lite0", "pretrained": True, "frozen": True}
    assert (made.training.epochs, made.training.batch_size, made.training.seed) == (3, 8, 0)
    assert (made.optimizer.lr, made.training.device, made.name) == (0.01, "cpu", "My “run”")


@pytest.mark.parametrize(
    ("arch", "size"), [("simple_net", 64), ("simple_cnn", 64), ("resnet18", 128), ("inception_v3", 128)]
)
def test_photos_have_a_size_that_suits_the_network(arch, size):
    assert of("--arch", arch).data.image_size == size


def test_options_go_on_top_of_the_file_and_settings_on_top_of_both(tmp_path):
    path = tmp_path / "config.json"
    base = {"training": {"epochs": 7, "batch_size": 16, "seed": 5}, "data": {"image_size": 80}}
    path.write_text(json.dumps(base))
    made = of(str(path), "--arch", "resnet18", "--epochs", "8", "--set", "training.epochs=9")
    assert (made.training.epochs, made.training.batch_size, made.training.seed) == (9, 16, 5)
    assert (made.data.image_size, made.model.arch) == (80, "resnet18")


def test_the_courses_recipe():
    from catfish_core import augment

    assert of("--augment").augment.steps == augment.recommended()
