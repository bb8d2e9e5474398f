import pytest

from catfish_core import augment
from catfish_core.augment import STEPS
from catfish_core.config import TrainingConfig
from catfish_ui.forms import specs, spoken


def of(step):
    return {spec.name: spec for spec in specs(step)}


def test_every_parameter_of_every_step_is_asked_with_its_sentence():
    for step in STEPS:
        assert set(of(step)) == set(step.model_fields) - {"kind"}
        assert all(spec.help for spec in specs(step)), step


def test_a_pair_that_must_be_ordered_is_a_range_and_the_other_two_numbers():
    assert of(augment.RandomRotation)["degrees"].kind == "range"
    assert of(augment.RandomResizedCrop)["scale"].kind == "range"
    assert of(augment.RandomAffine)["translate"].kind == "pair"


def test_bounds_come_from_the_field():
    degrees = of(augment.RandomRotation)["degrees"]
    assert (degrees.low, degrees.high, degrees.default) == (-180, 180, (-15.0, 15.0))
    scale = of(augment.RandomResizedCrop)["scale"]
    assert scale.low == pytest.approx(0.01) and scale.high == 1  # 0 itself is not allowed
    assert of(augment.Pad)["padding"].kind == "integer" and of(augment.Pad)["padding"].low == 1


@pytest.mark.parametrize("step", STEPS)
def test_whatever_a_widget_can_give_the_step_takes(step):
    usual = step().model_dump()
    for spec in specs(step):
        ends = {
            "switch": [True, False],
            "choice": spec.options,
            "range": [(spec.low, spec.high), (spec.low, spec.low)],
            "pair": [(spec.low, spec.low), (spec.high, spec.high)],
            "integer": [int(spec.low), int(spec.high)],
            "number": [spec.low, spec.high],
        }[spec.kind]
        for value in ends:
            step.model_validate(usual | {spec.name: value})


def test_a_section_of_the_configuration_works_too():
    assert {spec.name: spec.kind for spec in specs(TrainingConfig)}["loss"] == "choice"


def test_names_are_spoken():
    assert spoken("RandomHorizontalFlip") == "Random horizontal flip" and spoken("pad_if_needed") == "Pad if needed"
