import pytest

from catfish_core import catalog
from catfish_core.config import RunConfig, parse
from catfish_core.errors import ConfigError
from catfish_ui import train_form
from catfish_ui.settings import rows


def state(values: RunConfig) -> dict:
    """What the form's widgets hold when they show `values`."""
    held = {}
    for path in train_form.PATHS:
        section, field = path.split(".")
        held[f"train_{path}"] = getattr(getattr(values, section), field)
    held["train_training.patience"] = values.training.patience or 0
    return held


def test_the_form_gives_back_what_it_shows():
    values = parse(
        {
            "model": {"arch": "efficientnet_lite0", "pretrained": True},
            "parts": {"preset": "gradual", "every": 3},
            "data": {"image_size": 128, "resize": "crop"},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.5},
            "schedule": {"kind": "plateau", "patience": 7, "warmup_epochs": 0.5},
            "training": {
                "epochs": 3,
                "patience": 4,
                "seed": 9,
                "label_smoothing": 0.1,
                "mix": "cutmix",
                "mix_alpha": 1.0,
                "ema_decay": 0.999,
            },
        }
    )
    assert train_form.collect(state(values), []) == values


def test_every_field_of_the_configuration_can_be_asked():
    known = {
        f"{s}.{f}"
        for s in ("data", "model", "parts", "optimizer", "schedule", "training")
        for f in getattr(RunConfig(), s).__class__.model_fields
    }
    expert = {"compute.precision"}  # the rest of that section is for configuration files
    assert known - {"data.version", "parts.rates"} | expert == set(train_form.PATHS)


def test_every_choice_has_its_words():
    for question in (*train_form.COMMON, *train_form.MORE):
        assert question.about and set(question.options) <= set(train_form.WORDS)


@pytest.mark.parametrize("row", catalog.ARCHITECTURES, ids=lambda row: row.id)
def test_what_suits_a_network_can_be_trained(row):
    held = state(RunConfig()) | {f"train_{k}": v for k, v in train_form.sensible(row).items()}
    config = train_form.collect(held | {"train_model.arch": row.id}, [])
    assert config.model.pretrained == (row.weights is not None)


def test_lite0_gets_the_values_that_were_measured():
    suits = train_form.sensible(catalog.arch("efficientnet_lite0"))
    assert (suits["data.image_size"], suits["parts.preset"], suits["optimizer.lr"], suits["training.epochs"]) == (
        128,
        "head_only",
        1e-3,
        10,
    )


def test_frozen_is_forgotten_without_pretraining():
    held = state(RunConfig()) | {"train_parts.preset": "head_only"}
    assert train_form.collect(held, []).parts.preset == "everything"


def test_what_cannot_be_meant_is_a_sentence():
    with pytest.raises(ConfigError, match="75 px"):
        train_form.collect(state(RunConfig()) | {"train_model.arch": "inception_v3"}, [])


def test_settings_in_words():
    said = dict(rows(RunConfig(), "Sketchbook"))
    assert said["Network"] == "SimpleCNN" and said["Augmentations"] == "none" and "0.001" in said["Learning rate"]


def test_what_is_regularised_is_said():
    plain = dict(rows(RunConfig(), "Sketchbook"))
    assert (plain["Mixed photos"], plain["Averaged weights"]) == ("no", "no")
    made = parse({"schedule": {"warmup_epochs": 1.5}, "training": {"mix": "mixup", "ema_decay": 0.99}})
    said = dict(rows(made, "Sketchbook"))
    assert said["Learning rate"].endswith("constant, after a warm-up of 1.5 epochs")
    assert said["Mixed photos"] == "Blended (MixUp), alpha 0.4" and said["Averaged weights"] == "yes, decay 0.99"
