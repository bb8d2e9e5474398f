"""The configuration: what it accepts, what it refuses, and in which words."""

import json

import pytest

from catfish_core import augment, config
from catfish_core.config import RunConfig
from catfish_core.errors import ConfigError
from catfish_core.parts import PartsConfig


def test_a_trip_through_json_gives_an_equal_configuration():
    full = RunConfig(
        name="my run",
        model=config.ModelConfig(arch="efficientnet_lite0", pretrained=True),
        parts=PartsConfig(preset="own", rates={"classifier": 1, "conv_head": 0.1}),
        augment=config.AugmentConfig(steps=tuple(step() for step in augment.STEPS)),
        training=config.TrainingConfig(patience=3, seed=2**40),
    )
    assert config.parse(json.loads(config.dump(full))) == full


def test_defaults_are_valid_and_frozen():
    made = RunConfig()
    with pytest.raises(ValueError):
        made.training.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.epochs=0", ["training.epochs", "0", "greater than or equal to 1"]),
        ("training.epochs=many", ["training.epochs", "'many'", "integer"]),
        ("optimizer.lr=-1", ["optimizer.lr", "-1", "greater than 0"]),
        ("optimizer.lr=NaN", ["optimizer.lr", "finite"]),
        ("optimizer.name=lion", ["optimizer.name", "'lion'", "adamw"]),
        ("model.arch=resnet19", ["resnet19", "resnet18"]),
        ("parts.preset=head_only", ["frozen", "pretrained"]),
        ("parts.preset=none", ["parts.preset", "'none'", "course"]),
        ("parts.every=0", ["parts.every", "0"]),
        ('parts.rates={"conv3":1}', ["parts.rates", "own", "everything"]),
        ("model.pretrained=true", ["SimpleCNN", "no pretrained weights"]),
        ("data.image_size=4", ["data.image_size", "4"]),
        ("trainig.epochs=3", ["trainig.epochs", "not a field", "training"]),
        ("training.epoch=3", ["training.epoch ", "not a field", "epochs"]),
        ("training.epochs", ["training.epochs", "section.field=value"]),
        ('augment.steps=[{"kind":"RandomCrop","size":99}]', ["99 px", "64 px"]),
        ('augment.steps=[{"kind":"Pad","padding":500},{"kind":"Pad","padding":500}]', ["2064 px", "2048"]),
        ('augment.steps=[{"kind":"Sparkle"}]', ["Sparkle", "ColorJitter"]),
        ('augment.steps=[{"kind":"Pad","padding":-1}]', ["padding", "-1"]),
        ('augment.steps=[{"kind":"RandomRotation","degrees":[20,10]}]', ["degrees", "20", "10"]),
        ("schedule.warmup_epochs=-1", ["schedule.warmup_epochs", "-1", "greater than or equal to 0"]),
        ("schedule.warmup_epochs=10", ["schedule.warmup_epochs", "warm-up of 10", "shorter", "run of 10"]),
        ("training.mix=blend", ["training.mix", "'blend'", "cutmix"]),
        ("training.mix_alpha=0", ["training.mix_alpha", "greater than 0"]),
        ("training.ema_decay=1", ["training.ema_decay", "less than 1"]),
        ("schema_version=7", ["schema version 7"]),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(setting, words):
    with pytest.raises(ConfigError) as refusal:
        config.with_settings(RunConfig(), [setting])
    for word in words:
        assert word in str(refusal.value)


def test_a_network_that_needs_larger_photos_says_how_large():
    with pytest.raises(ConfigError, match="AlexNet needs photos of at least 63 px, got 32"):
        config.with_settings(RunConfig(), ["model.arch=alexnet", "data.image_size=32"])


def test_one_photo_at_a_time_is_refused_where_photos_are_compared():
    config.with_settings(RunConfig(), ["training.batch_size=1"])
    with pytest.raises(ConfigError, match="ResNet-18 compares photos"):
        config.with_settings(RunConfig(), ["model.arch=resnet18", "training.batch_size=1"])


def test_mixing_needs_two_photos_and_one_cycle_no_warm_up():
    with pytest.raises(ConfigError, match="training.mix: photos are mixed with others"):
        config.with_settings(RunConfig(), ["training.mix=mixup", "training.batch_size=1"])
    config.with_settings(RunConfig(), ["schedule.kind=one_cycle", "schedule.warmup_epochs=10"])


def test_settings_reach_every_section():
    made = config.with_settings(
        RunConfig(), ["training.epochs=3", "model.arch=simple_net", "name=A name", "training.patience=null"]
    )
    assert (made.training.epochs, made.model.arch, made.name) == (3, "simple_net", "A name")


@pytest.mark.parametrize("content", ["", "[1]", "{", '"text"'])
def test_a_file_that_holds_no_configuration_is_said_so(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        config.load(path)


def test_the_title_is_the_name_or_made_of_the_parts():
    assert RunConfig().title == "SimpleCNN on sketchbook"
    assert RunConfig(name=" two\nlines ").title == "two lines"


def test_a_sweep_is_checked_at_birth():
    from catfish_core.config import SweepConfig, parse_sweep

    assert parse_sweep({}) == SweepConfig()
    assert parse_sweep(json.loads(SweepConfig(seeds=3, divergence=None).model_dump_json())).divergence is None
    faults = {
        "must be lower than the final rate": {"init": 1.0, "final": 0.1},
        "init: 0": {"init": 0},
        "init: -0.1": {"init": -0.1},
        "final: -1": {"final": -1},
        "steps: 1": {"steps": 1},
        "divergence: 1": {"divergence": 1},
        "rate is not a field": {"rate": 1},
    }
    for says, data in faults.items():
        with pytest.raises(ConfigError, match=says):
            parse_sweep(data)
    with pytest.raises(ConfigError, match="must be lower"):
        parse_sweep({"init": 0.5, "final": 0.5})
