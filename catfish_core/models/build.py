"""From a row of the catalogue to a network: built, given a new head, taken apart, frozen in part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from catfish_core import catalog
from catfish_core.catalog import Arch, Statistics
from catfish_core.config import DataConfig, ModelConfig
from catfish_core.models import weights
from catfish_core.models.simple import SimpleCNN, SimpleNet
from catfish_core.workspace import Workspace

AUX_WEIGHT = 0.3  # of each auxiliary loss, as Szegedy et al. (2015) have it
INCEPTION_AUX_SIZE = 299  # px; below that the auxiliary head's 5×5 convolution finds too few cells
IMAGENET_CLASSES = 1000


def build(model: ModelConfig, classes: int, image_size: int, workspace: Workspace) -> nn.Module:
    """The network that `model` describes, for `classes` classes and square photos of `image_size` pixels.

    From scratch its weights come from torch's random state; pretrained, from files that `weights.ensure` brought
    here, with the course's head in place of the old one. Raises WeightsError where they are missing.
    """
    arch = catalog.arch(model.arch)
    if not model.pretrained:
        return _bare(arch, classes, image_size)
    network = _bare(arch, IMAGENET_CLASSES, image_size, pretrained=True)
    weights.load(network, arch, workspace)
    return _adapted(network, arch, classes)


def build_empty(model: ModelConfig, classes: int, image_size: int) -> nn.Module:
    """The same network as `build` makes, with weights that mean nothing: for those of a saved model."""
    arch = catalog.arch(model.arch)
    if not model.pretrained:
        return _bare(arch, classes, image_size, initialise=False)
    return _adapted(_bare(arch, IMAGENET_CLASSES, image_size, pretrained=True), arch, classes)


def _adapted(network: nn.Module, arch: Arch, classes: int) -> nn.Module:
    """An ImageNet network made ours: helper outputs out, the new head in."""
    drop_auxiliary(network)
    _replace_head(network, arch, classes)
    return network


def parts(network: nn.Module, arch: Arch) -> dict[str, list[nn.Parameter]]:
    """The parameters of each part of `network`, first stage to head.

    A layer between two stages, such as the first BatchNorm of a ResNet, belongs to the stage before it.
    """
    found: dict[str, list[nn.Parameter]] = {name: [] for name in arch.parts}
    latest = arch.parts[0]
    for name, parameter in network.named_parameters():
        latest = next((part for part in found if name.startswith(f"{part}.")), latest)
        found[latest].append(parameter)
    return found


def freeze(network: nn.Module, arch: Arch, shares: Mapping[str, float]) -> None:
    """Freeze the parts whose share of the learning rate is 0, and let the others learn."""
    for name, inside in parts(network, arch).items():
        for parameter in inside:
            parameter.requires_grad_(shares[name] > 0)


def _bare(
    arch: Arch, classes: int, image_size: int, *, pretrained: bool = False, initialise: bool = True
) -> nn.Module:
    """The network with random weights; `pretrained` asks for exactly the parts that the weights file has."""
    if arch.source == "catfish":
        return SimpleNet(classes, image_size) if arch.id == "simple_net" else SimpleCNN(classes)
    if arch.source == "timm":
        from catfish_core.torch_setup import timm  # half a second that other networks need not wait for

        assert arch.weights is not None
        made: nn.Module = timm.create_model(arch.weights.partition(".")[0], num_classes=classes)
        return made
    from catfish_core.torch_setup import torchvision

    options: dict[str, Any] = {"num_classes": classes}
    if arch.family == "Inception":
        options["aux_logits"] = pretrained or arch.id == "googlenet" or image_size >= INCEPTION_AUX_SIZE
        options["init_weights"] = initialise and not pretrained  # slow, and a file would replace them
        options["transform_input"] = pretrained  # their weights expect (-1, 1), made from ImageNet's statistics
    network: nn.Module = torchvision.models.get_model(arch.id, weights=None, **options)
    return network


def drop_auxiliary(network: nn.Module) -> None:
    """Take out helper outputs for other classes: a pretrained network no longer needs them."""
    if getattr(network, "aux_logits", False):
        network.aux_logits = False  # type: ignore[assignment]
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)


def _replace_head(network: nn.Module, arch: Arch, classes: int) -> None:
    """Put the course's block where the old classifier was, keeping the pooling and norms that stood before it."""
    parent, _, name = arch.head.rpartition(".")
    owner = network.get_submodule(parent)
    old = getattr(owner, name)
    setattr(owner, name, _new_head(old, classes))


def _new_head(old: nn.Module, classes: int) -> nn.Module:
    if isinstance(old, nn.Linear):
        return head(old.in_features, classes)
    first = next(layer for layer in old.modules() if isinstance(layer, (nn.Linear, nn.Conv2d)))
    if isinstance(first, nn.Conv2d):  # SqueezeNet's head is a convolution over the grid
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(first.in_channels, classes))
    kept = []
    for layer in old.children():
        if layer is first:
            break
        if not isinstance(layer, nn.Dropout):  # the new head brings its own
            kept.append(layer)
    return nn.Sequential(*kept, head(first.in_features, classes))


def head(features: int, classes: int) -> nn.Sequential:
    """The course's block: (B, features) → 128, ReLU, dropout 0.3, → logits (B, classes)."""
    return nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, classes))


def split_outputs(output: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The logits and the auxiliary logits of what a network returned: GoogLeNet and Inception train with both."""
    if isinstance(output, tuple):  # torchvision's named tuples: logits first, None for parts left out
        logits, *auxiliary = (part for part in output if part is not None)
        return logits, tuple(auxiliary)
    return output, ()


def train_mode(model: nn.Module) -> None:
    """Training mode, except for parts whose parameters are all frozen: those go on as in evaluation.

    Frozen is not unchanged: BatchNorm in training mode would go on updating its running statistics, and
    dropout or stochastic depth inside a frozen part would blur what the head learns from.
    """
    model.train()
    for part in _frozen_parts(model):
        part.eval()


def _frozen_parts(part: nn.Module, name: str = "") -> dict[nn.Module, str]:
    """The largest parts of `part` whose parameters are all frozen, and what they are called in it."""
    if any(p.requires_grad for p in part.parameters()):
        prefix = f"{name}." if name else ""
        children = (_frozen_parts(child, prefix + of).items() for of, child in part.named_children())
        return {inner: called for found in children for inner, called in found}
    return {part: name} if next(part.parameters(), None) is not None else {}


def fixed(model: nn.Module) -> set[str]:
    """The names in the state of `model` that training cannot change: those of parts that are all frozen."""
    return {
        f"{prefix}.{name}" if prefix else name
        for part, prefix in _frozen_parts(model).items()
        for name in part.state_dict()
    }


def count(model: nn.Module) -> tuple[int, int]:
    """How many parameters there are, and how many of them are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained)


def normalization(data: DataConfig, model: ModelConfig) -> tuple[Statistics, Statistics]:
    """Mean and standard deviation per channel, on a scale where white is 1."""
    if data.normalize == "none":
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if data.normalize == "imagenet":
        return catalog.IMAGENET_MEAN, catalog.IMAGENET_STD
    arch = catalog.arch(model.arch)
    return arch.mean, arch.std
