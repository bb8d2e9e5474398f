"""Grad-CAM against captum's, and the network left as it was found, bit for bit."""

import copy

import pytest
import torch
from captum.attr import LayerGradCam

from catfish_core import catalog
from catfish_core.analysis.gradcam import grad_cam, input_gradients
from catfish_core.config import ModelConfig
from catfish_core.errors import ModelError
from catfish_core.models.build import build_empty, freeze
from catfish_core.parts import PartsConfig, shares

CASES = [("simple_cnn", False), ("resnet18", False), ("resnet18", True)]


def network(id, frozen=False, size=64):
    torch.manual_seed(0)
    model, row = build_empty(ModelConfig(arch=id, pretrained=frozen), 3, size), catalog.arch(id)
    if frozen:
        freeze(model, row, shares(PartsConfig(preset="head_only"), row, 0))
    return model


def every(id):
    row = catalog.arch(id)
    return tuple(dict.fromkeys((*row.stages, row.cam_layer)))


def reference(model, name, images, targets):
    free = copy.deepcopy(model).eval().requires_grad_(True)
    cam = LayerGradCam(free, free.get_submodule(name))
    return cam.attribute(images, target=targets, relu_attributions=True).squeeze(1).detach()


@pytest.mark.parametrize(("id", "frozen"), [*CASES, ("simple_cnn", True)])
def test_it_equals_captum_at_every_stage(id, frozen):
    """Relative to each map's peak: untrained networks' maps are so faint that 1e-4 alone would prove nothing."""
    model = network(id, frozen and id != "simple_cnn")
    model.requires_grad_(not frozen or id != "simple_cnn")
    images, targets = torch.randn(6, 3, 64, 64), torch.tensor([0, 1, 2, 0, 1, 2])
    lit = 0
    for name in every(id):
        ours = grad_cam(model, model.get_submodule(name), images, targets).maps
        theirs = reference(model, name, images, targets)
        peak = theirs.max()
        lit += int(peak > 0)
        assert (ours - theirs).abs().max() <= 1e-4 * min(1.0, float(peak)), name
    assert lit >= 3  # the comparison had something to compare


@pytest.mark.parametrize("id", ["alexnet", "squeezenet1_1", "densenet121", "efficientnet_lite0"])
def test_relus_in_place_after_the_layer_do_not_disturb_it(id):
    model, layer = network(id, True, 96), catalog.arch(id).cam_layer
    images, targets = torch.randn(4, 3, 96, 96), torch.tensor([0, 1, 2, 0])
    theirs = reference(model, layer, images, targets)
    assert torch.allclose(
        grad_cam(model, model.get_submodule(layer), images, targets).maps, theirs, atol=0, rtol=1e-4
    )


def state(model):
    parts = list(model.modules())
    return (
        [(p.training, len(p._forward_hooks), len(p._forward_pre_hooks), len(p._backward_hooks)) for p in parts],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        [t.clone() for t in model.state_dict().values()],
    )


def same(a, b):
    return all(x is y is None or torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("id", "frozen"), CASES)
@pytest.mark.parametrize("fails", [False, True])
def test_it_leaves_the_network_as_it_was(id, frozen, fails):
    model = network(id, frozen).train()
    for part in list(model.modules())[::3]:
        part.training = False  # a mixture of modes, as in training a frozen network
    for p in model.parameters():
        p.grad = torch.randn_like(p) if p.requires_grad else None
    layer, images = model.get_submodule(every(id)[-1]), torch.randn(2, 3, 64, 64)
    before, random = state(model), torch.get_rng_state()
    if fails:
        with pytest.raises((RuntimeError, IndexError)):
            grad_cam(model, layer, images, torch.tensor([0, 99]))
    else:
        grad_cam(model, layer, images, torch.tensor([0, 2]))
        input_gradients(model, images, torch.tensor([0, 2]))
    after = state(model)
    assert before[:2] == after[:2] and same(before[2], after[2]) and same(before[3], after[3])
    assert torch.equal(random, torch.get_rng_state()) and torch.is_grad_enabled()


def test_each_photo_is_explained_by_itself():
    model, images = network("simple_cnn"), torch.randn(3, 3, 64, 64)
    targets = torch.tensor([2, 0, 1])
    together = grad_cam(model, model.conv3, images, targets).maps
    for k in range(3):
        alone = grad_cam(model, model.conv3, images[k : k + 1], targets[k : k + 1]).maps
        assert torch.allclose(together[k], alone[0], atol=1e-7)


def test_input_gradients_find_the_only_pixel_that_counts():
    model, images = network("simple_net", size=8), torch.rand(1, 3, 8, 8) + 0.1
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.fc1.weight[0, 8 * 3 + 5] = 1.0  # red, row 3, column 5
        model.fc2.weight[0, 0] = model.fc3.weight[1, 0] = 1.0
    found = input_gradients(model, images, torch.tensor([1])).maps[0]
    assert found.shape == (8, 8) and found[3, 5] == found.max() > 0
    assert found[0, 0] == found[7, 7] == 0
    assert input_gradients(model, images, torch.tensor([0])).maps.max() == 0


def test_a_layer_without_a_grid_is_refused():
    model = network("simple_cnn")
    with pytest.raises(ModelError):
        grad_cam(model, model.classifier, torch.randn(1, 3, 64, 64), torch.tensor([0]))
