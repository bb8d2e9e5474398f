"""Every parameter belongs to exactly one part, and the table of sizes is that of the real networks."""

import json

import pytest
import torch

from catfish_core import catalog, parts
from catfish_core.catalog import ARCHITECTURES
from catfish_core.config import ModelConfig
from catfish_core.models import build, sizes

CASES = [(arch, known) for arch in ARCHITECTURES for known in (False, True) if arch.weights or not known]


def on_paper(arch, pretrained, classes=7, size=None):
    with torch.device("meta"):
        model = ModelConfig(arch=arch.id, pretrained=pretrained)
        return build.build_empty(model, classes, size or arch.native_size)


@pytest.mark.parametrize(("arch", "pretrained"), CASES, ids=lambda case: getattr(case, "id", case))
def test_every_parameter_belongs_to_exactly_one_part(arch, pretrained):
    network = on_paper(arch, pretrained)
    inside = build.parts(network, arch)
    assert tuple(inside) == arch.parts and all(inside.values())
    found = [id(p) for some in inside.values() for p in some]
    assert sorted(found) == sorted(id(p) for p in network.parameters())
    for name in arch.parts:  # what lies in a part is that part's, whatever else is
        assert {id(p) for p in network.get_submodule(name).parameters()} <= {id(p) for p in inside[name]}
    head = {id(p) for p in network.get_submodule(arch.head).parameters()}
    assert {id(p) for p in inside[arch.head]} == head


@pytest.mark.parametrize(("arch", "pretrained"), CASES, ids=lambda case: getattr(case, "id", case))
@pytest.mark.parametrize(("classes", "size"), [(2, None), (7, 299)])
def test_the_sizes_are_those_of_the_network(arch, pretrained, classes, size):
    network = on_paper(arch, pretrained, classes, size)
    build.drop_auxiliary(network)
    counted = {name: sum(p.numel() for p in some) for name, some in build.parts(network, arch).items()}
    assert parts.sizes(arch, pretrained, classes, size or arch.native_size) == counted


def test_the_file_is_what_the_networks_say():
    assert json.loads(json.dumps(sizes.table())) == json.loads(parts.SIZES.read_text())


def test_what_stands_between_two_stages_belongs_to_the_one_before():
    arch = catalog.arch("resnet18")
    network = on_paper(arch, True)
    inside = {name: {id(p) for p in some} for name, some in build.parts(network, arch).items()}
    assert {id(p) for p in network.bn1.parameters()} < inside["conv1"]
