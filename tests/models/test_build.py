"""Every row of the catalogue against the real network; heads, freezing, auxiliary outputs."""

import pytest
import torch
from torch import nn

from catfish_core import catalog
from catfish_core.catalog import ARCHITECTURES
from catfish_core.config import DataConfig, ModelConfig
from catfish_core.models import build
from catfish_core.models.build import build_empty, count, split_outputs, train_mode
from catfish_core.parts import PartsConfig, shares

HEAVY = {"vgg16", "resnet152", "nasnetalarge"}  # built without memory, as torch's meta tensors
IDS = [arch.id for arch in ARCHITECTURES]


def bare(id, classes=2, size=None):
    arch = catalog.arch(id)
    return build_empty(ModelConfig(arch=id), classes, size or arch.native_size)


def pretrained(id, classes=3, frozen=True):
    """As `build` leaves a pretrained network, but for the values of its weights."""
    row = catalog.arch(id)
    network = build_empty(ModelConfig(arch=id, pretrained=True), classes, row.native_size)
    build.freeze(network, row, shares(PartsConfig(preset="head_only" if frozen else "everything"), row, 0))
    return network


@pytest.mark.parametrize("id", IDS)
def test_the_row_tells_the_truth(id):
    arch = catalog.arch(id)
    with torch.device("meta"):
        network = bare(id, classes=1000)
    names = {name for name, _ in network.named_modules()}
    for part in (arch.head, *arch.stages, arch.cam_layer):
        assert part is None or part in names
    normed = any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert arch.batch_norm is normed
    extra = [p for name, p in network.named_parameters() if name.startswith(("aux1", "aux2"))]
    published = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in extra)
    if id == "simple_net":
        published = 3 * 64 * 64 * 84 + 84 + 84 * 50 + 50 + 50 * 1000 + 1000
    assert published / 1e6 == pytest.approx(arch.parameters, abs=0.006)


@pytest.mark.parametrize("id", [i for i in IDS if i not in HEAVY])
@pytest.mark.parametrize("classes", [2, 7])
def test_every_network_learns_from_scratch_at_its_smallest_size(id, classes):
    arch = catalog.arch(id)
    torch.manual_seed(0)
    network = bare(id, classes, arch.min_size)
    images = torch.randn(2, 3, arch.min_size, arch.min_size)
    train_mode(network)
    logits, auxiliary = split_outputs(network(images))
    assert logits.shape == (2, classes) and all(extra.shape == (2, classes) for extra in auxiliary)
    (logits.sum() + sum(extra.sum() for extra in auxiliary)).backward()
    given = [(images, images.clone())]  # what is validated on is handed over without a copy
    network.get_submodule(arch.head).register_forward_pre_hook(
        lambda _, inputs: given.append((inputs[0].detach(), inputs[0].detach().clone()))
    )
    network.eval()
    assert network(images).shape == (2, classes)
    assert len(given) == 2 and all(torch.equal(now, before) for now, before in given)


@pytest.mark.parametrize("id", sorted(HEAVY))
def test_heavy_networks_give_logits_of_the_right_shape(id):
    with torch.device("meta"):
        network = bare(id, 7)
        images = torch.randn(2, 3, catalog.arch(id).min_size, catalog.arch(id).min_size)
    assert network.eval()(images).shape == (2, 7)


@pytest.mark.parametrize("id", [arch.id for arch in ARCHITECTURES if arch.weights and arch.id not in HEAVY])
def test_a_pretrained_network_gets_the_course_s_head_and_only_it_is_trained(id):
    arch = catalog.arch(id)
    network = pretrained(id)
    head = [type(layer) for layer in network.get_submodule(arch.head).modules()]
    block = [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert head[-4:] == block
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {f"{arch.head}.{name}" for name, _ in network.get_submodule(arch.head).named_parameters()}
    images = torch.randn(2, 3, max(64, arch.min_size), max(64, arch.min_size))
    train_mode(network)
    logits, auxiliary = split_outputs(network(images))
    assert logits.shape == (2, 3) and auxiliary == ()
    logits.sum().backward()


def test_simple_net_and_simple_cnn_are_the_published_ones():
    net, cnn = bare("simple_net", 2, 64), bare("simple_cnn", 2)
    assert [tuple(p.shape) for p in net.parameters() if p.dim() == 2] == [(84, 12288), (50, 84), (2, 50)]
    convolutions = [m for m in cnn.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.padding) for c in convolutions] == [
        (3, 32, (3, 3), (1, 1)),
        (32, 64, (3, 3), (1, 1)),
        (64, 128, (3, 3), (1, 1)),
    ]
    assert [tuple(p.shape) for p in cnn.classifier.parameters() if p.dim() == 2] == [(128, 2048), (2, 128)]
    assert [m.p for m in cnn.modules() if isinstance(m, nn.Dropout)] == [0.3]


@pytest.mark.parametrize(("id", "size", "extras"), [("googlenet", 64, 2), ("inception_v3", 75, 0)])
def test_auxiliary_outputs_in_training_only(id, size, extras):
    network = bare(id, 2, size)
    images = torch.randn(2, 3, size, size)
    network.train()
    assert len(split_outputs(network(images))[1]) == extras
    network.eval()
    assert split_outputs(network(images))[1] == ()


@pytest.mark.parametrize("size", [298, 299])
def test_inception_has_its_helper_where_the_photos_are_large_enough(size):
    with torch.device("meta"):
        network = bare("inception_v3", 2, size)
        images = torch.randn(2, 3, size, size)
    assert len(split_outputs(network.train()(images))[1]) == (1 if size >= 299 else 0)


def test_frozen_batchnorm_keeps_its_statistics_and_a_trained_one_does_not():
    images = torch.randn(4, 3, 64, 64)
    for frozen in (True, False):
        network = pretrained("resnet18", frozen=frozen)
        before = network.bn1.running_mean.clone()
        train_mode(network)
        network(images)
        assert torch.equal(network.bn1.running_mean, before) is frozen
        assert network.fc.training


def test_counting_parameters():
    everything, trained = count(pretrained("resnet18"))
    head = 512 * 128 + 128 + 128 * 3 + 3
    assert trained == head and everything == 11_689_512 - (512 * 1000 + 1000) + head


@pytest.mark.parametrize(
    ("normalize", "arch", "mean"),
    [
        ("none", "simple_cnn", (0.0, 0.0, 0.0)),
        ("imagenet", "efficientnet_lite0", catalog.IMAGENET_MEAN),
        ("model", "efficientnet_lite0", (0.5, 0.5, 0.5)),
        ("model", "resnet18", catalog.IMAGENET_MEAN),
    ],
)
def test_normalisation_is_imagenet_s_the_model_s_or_none(normalize, arch, mean):
    found, _ = build.normalization(DataConfig(normalize=normalize), ModelConfig(arch=arch))
    assert found == mean
