"""Which parts are trained when, at which share of the learning rate, and what is refused before anything runs."""

import pytest

from catfish_core import catalog, config, parts
from catfish_core.config import RunConfig
from catfish_core.errors import ConfigError
from catfish_core.parts import PartsConfig, ever, head_alone, shares, thaws

RESNET = catalog.arch("resnet18")
NET = catalog.arch("simple_net")


def in_order(preset, epoch=0, **more):
    return tuple(shares(PartsConfig(preset=preset, **more), RESNET, epoch).values())


def test_presets_by_hand():
    assert tuple(shares(PartsConfig(), RESNET, 0)) == ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")
    assert in_order("everything") == (1, 1, 1, 1, 1, 1)
    assert in_order("head_only") == (0, 0, 0, 0, 0, 1)
    assert in_order("course") == pytest.approx((0, 0, 0, 1 / 9, 1 / 3, 1))
    assert in_order("own", rates={"fc": 2, "layer1": 0.5, "conv1": 0}) == (0, 0.5, 0, 0, 0, 2)


def test_gradual_thaws_one_stage_at_a_time_and_halves_until_all_are_thawed():
    by_epoch = [in_order("gradual", epoch, every=3) for epoch in range(20)]
    assert by_epoch[:3] == [(0, 0, 0, 0, 0, 1)] * 3
    assert by_epoch[3:6] == [(0, 0, 0, 0, 0.5, 0.5)] * 3
    assert by_epoch[6] == (0, 0, 0, 0.25, 0.25, 0.25)
    assert by_epoch[15:] == [(1 / 32,) * 6] * 5
    gradual = PartsConfig(preset="gradual", every=3)
    assert thaws(gradual, RESNET, 8) == {"layer3": 6, "layer4": 3, "fc": 0}
    assert ever(gradual, RESNET, 8) == dict(zip(RESNET.parts, by_epoch[7], strict=True))


def test_a_recipe_longer_than_the_network_trains_all_of_it():
    assert list(shares(PartsConfig(preset="course"), NET, 0).values()) == pytest.approx([1 / 9, 1 / 3, 1])


@pytest.mark.parametrize(
    ("preset", "more", "alone"),
    [
        ("head_only", {}, True),
        ("everything", {}, False),
        ("course", {}, False),
        ("own", {"rates": {"fc": 0.5}}, True),
        ("gradual", {"every": 10}, True),
        ("gradual", {"every": 9}, False),
    ],
)
def test_whether_the_head_is_alone_for_the_whole_run(preset, more, alone):
    assert head_alone(PartsConfig(preset=preset, **more), RESNET, 10) is alone


def made(pretrained=True, arch="resnet18", **section):
    return config.parse({"model": {"arch": arch, "pretrained": pretrained}, "parts": section})


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"preset": "own"}, ["every part of ResNet-18 is frozen", "nothing to train"]),
        ({"preset": "own", "rates": {"fc": 0}}, ["nothing to train"]),
        ({"preset": "own", "rates": {"layer5": 1, "fc": 1}}, ["layer5", "conv1, layer1", "layer4, fc"]),
        ({"preset": "own", "rates": {"layer4": 1}}, ["head", "new", '"fc": 1']),
        ({"preset": "own", "rates": {"fc": -1}}, ["parts.rates.fc", "-1"]),
        ({"preset": "own", "rates": {"fc": float("inf")}}, ["parts.rates.fc", "finite"]),
        ({"preset": "course", "rates": {"fc": 1}}, ["parts.rates", "course", "own"]),
    ],
)
def test_what_cannot_be_meant_is_refused(section, words):
    with pytest.raises(ConfigError) as refusal:
        made(**section)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("section", [{"preset": "course"}, {"preset": "own", "rates": {"fc": 1}}])
def test_from_scratch_nothing_is_frozen(section):
    with pytest.raises(ConfigError, match="stay random"):
        made(pretrained=False, **section)
    own = {name: 0.1 for name in RESNET.parts}
    assert made(pretrained=False, preset="own", rates=own).parts.rates == own


@pytest.mark.parametrize("version", [{}, {"schema_version": 1}])
@pytest.mark.parametrize(("frozen", "preset"), [(True, "head_only"), (False, "everything")])
def test_configurations_from_before_there_were_parts_are_understood(version, frozen, preset):
    old = {**version, "model": {"arch": "resnet18", "pretrained": True, "frozen": frozen}}
    read = config.parse(old)
    assert read.parts.preset == preset and read.schema_version == 2
    assert old["model"]["frozen"] is frozen  # the caller's is left alone
    with pytest.raises(ConfigError, match="frozen"):
        config.parse({**old, "schema_version": 2})
    with pytest.raises(ConfigError, match="maybe"):
        config.parse({**old, "model": {**old["model"], "frozen": "maybe"}})


def test_settings_on_the_command_line():
    base = RunConfig(model=config.ModelConfig(arch="resnet18", pretrained=True))
    own = config.with_settings(base, ["parts.preset=own", 'parts.rates={"fc": 1, "layer4": 0.1}'])
    assert own.parts == PartsConfig(preset="own", rates={"fc": 1, "layer4": 0.1})


def test_a_size_for_every_part_of_any_number_of_classes_and_pixels():
    assert parts.sizes(NET, False, 5, 32) == {"fc1": 84 * (3 * 32 * 32 + 1), "fc2": 4250, "fc3": 51 * 5}
    assert parts.sizes(RESNET, True, 3, 64)["fc"] == 512 * 128 + 128 + 128 * 3 + 3
    assert parts.sizes(RESNET, False, 3, 64)["fc"] == 512 * 3 + 3
