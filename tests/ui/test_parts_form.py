"""The choice of parts in words and figures, and its way into a configuration."""

import pytest

from catfish_core import catalog, parts
from catfish_core.catalog import ARCHITECTURES
from catfish_core.parts import PartsConfig
from catfish_ui import parts_form

RESNET = catalog.arch("resnet18")
SIZES = parts.sizes(RESNET, True, 2, 128)


def held(preset, shares=None):
    """What the widgets hold."""
    state = {parts_form.PRESET: preset, parts_form.EVERY: 2}
    for name in RESNET.parts:
        share = (shares or {}).get(name, 0.0)
        state |= {f"train_part_{name}": share > 0, f"train_share_{name}": share or 1.0}
    return state


def test_own_rates_are_those_of_the_parts_switched_on():
    rates = {"layer4": 0.25, "fc": 1.0}
    found = PartsConfig(**parts_form.collect(held("own", rates), RESNET, True))
    assert found == PartsConfig(preset="own", rates=rates)
    assert parts_form.collect(held("course", rates), RESNET, True) == {"preset": "course", "every": 2}


def test_from_scratch_nothing_stays_switched_off():
    found = parts_form.collect(held("own", {"fc": 1.0, "layer4": 0.5}), RESNET, False)
    assert set(found["rates"]) == set(RESNET.parts) and found["rates"]["layer4"] == 0.5
    assert parts_form.collect(held("gradual"), RESNET, False)["preset"] == "everything"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (PartsConfig(), "All **11,242,434** parameters are trained."),
        (PartsConfig(preset="head_only"), "**65,922** of 11,242,434 parameters are trained (0.6 %)."),
        (
            PartsConfig(preset="gradual", every=4),
            "**65,922** parameters are trained at first, **10,559,362** in the end, of 11,242,434.",
        ),
    ],
)
def test_how_many_are_trained(chosen, said):
    assert parts_form.trained(chosen, RESNET, 10, SIZES).replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (PartsConfig(), "Everything"),
        (PartsConfig(preset="head_only"), "Head only (fc); the rest stays as it is"),
        (
            PartsConfig(preset="course"),
            "Course recipe: fc at 0.001, layer4 at 0.000333 and layer3 at 0.000111; the rest is frozen",
        ),
        (
            PartsConfig(preset="gradual", every=4),
            "Gradual: fc from epoch 1, layer4 from epoch 5 and layer3 from epoch 9; the rates are halved each time",
        ),
        (PartsConfig(preset="own", rates={"fc": 2}), "My own: fc at 0.002; the rest is frozen"),
    ],
)
def test_the_choice_in_words(chosen, said):
    assert parts_form.words(chosen, RESNET, 0.001, 10) == said


@pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)
def test_every_network_has_sizes_for_the_page(row):
    for pretrained in (False, True)[: 1 + bool(row.weights)]:
        assert all(parts.sizes(row, pretrained, 2, 128).values())
