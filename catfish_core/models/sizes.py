"""How many parameters each part of every architecture has, counted on the networks themselves.

`python -m catfish_core.models.sizes` writes the table that `catfish_core.parts.sizes` reads, so that a page needs no
torch to show them. Run it after a change of the catalogue; a test compares the two.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from catfish_core.catalog import ARCHITECTURES, Arch
from catfish_core.config import ModelConfig
from catfish_core.models import build
from catfish_core.parts import SIZES
from catfish_core.workspace import write_text


def table() -> dict[str, Any]:
    """Architecture → its stages' sizes, and its head's from scratch and pretrained as (fixed, more per class)."""
    return {arch.id: _row(arch) for arch in ARCHITECTURES}


def _row(arch: Arch) -> dict[str, Any]:
    size = arch.native_size
    two, three, larger = counted(arch, 2, size), counted(arch, 3, size), counted(arch, 2, size + 1)
    pixels = {name: (larger[name] - two[name]) // (2 * size + 1) for name in arch.stages if larger[name] != two[name]}
    stages = {name: two[name] - pixels.get(name, 0) * size**2 for name in arch.stages}
    head = {"scratch": _affine(two[arch.head], three[arch.head])}
    if arch.weights is not None:
        ours = (counted(arch, classes, size, pretrained=True)[arch.head] for classes in (2, 3))
        head["pretrained"] = _affine(*ours)
    return {"stages": stages, "head": head, **({"per_pixel": pixels} if pixels else {})}


def _affine(two: int, three: int) -> tuple[int, int]:
    """What is there whatever the number of classes, and what each of them adds."""
    return two - 2 * (three - two), three - two


def counted(arch: Arch, classes: int, image_size: int, pretrained: bool = False) -> dict[str, int]:
    """Part → how many parameters the real network has there, but for helper outputs; no memory is taken for it."""
    with torch.device("meta"):
        network = build.build_empty(ModelConfig(arch=arch.id, pretrained=pretrained), classes, image_size)
    build.drop_auxiliary(network)
    return {name: sum(p.numel() for p in inside) for name, inside in build.parts(network, arch).items()}


if __name__ == "__main__":
    write_text(SIZES, json.dumps(table(), indent=1) + "\n")
