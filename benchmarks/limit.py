"""The bare limit, by hand: the same network stepping on tensors that lie in memory, and nothing else.

Nothing is shuffled, normalised or copied, no number is read off a batch, and only the row that begins with files
reads any. What the network, its optimizer, its precision and its order in memory cost is all that is left.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.observe import Format, Observed
from catfish_core.catalog import Statistics
from catfish_core.data.photos import DRAFT

Batch = tuple[Tensor, Tensor]


def from_files(
    samples: Sequence[tuple[str, int]], size: int, stats: tuple[Statistics, Statistics], batch: int, format: Format
) -> list[Batch]:
    """The photos of `samples` (path, class), each decoded once on all cores, as batches that lie in memory."""

    def square(path: str) -> Tensor:
        with Image.open(path) as image:
            image.draft("RGB", (DRAFT * size, DRAFT * size))  # as small as the engine's promise on pixels allows
            pixels = np.array(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
        return torch.from_numpy(pixels).permute(2, 0, 1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = torch.stack(list(pool.map(square, [path for path, _ in samples])))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in stats)
    images = ((pixels / 255 - mean) / std).contiguous(memory_format=format.memory)
    labels = torch.tensor([label for _, label in samples])
    return list(zip(images.split(batch), labels.split(batch), strict=True))


def in_memory(batches: Iterable[Batch], device: torch.device, format: Format) -> list[Batch]:
    """`batches` where they are needed and in the order they are needed in."""
    return [(images.to(device, memory_format=format.memory), labels.to(device)) for images, labels in batches]


def epoch(
    model: nn.Module, optimizer: Optimizer, train: Sequence[Batch], val: Sequence[Batch], seen: Observed
) -> float:
    """One epoch over `train`, then a pass over `val`; the accuracy there, the one number that is read."""
    model.train()
    for images, labels in train:
        _step(model, optimizer, images, labels, seen.steps)
    model.eval()
    right = torch.zeros((), dtype=torch.int64, device=val[0][1].device)
    with torch.inference_mode(), seen.passes.casting(right.device):
        for images, labels in val:
            right += (model(images).argmax(1) == labels).sum()
    return float(right) / sum(len(labels) for _, labels in val)


def sweep(
    model: nn.Module, optimizer: Optimizer, train: Sequence[Batch], seen: Observed, rates: Sequence[float]
) -> list[float]:
    """One step at each of `rates`; the losses, read at the end."""
    model.train()
    losses = []
    for rate, (images, labels) in zip(rates, itertools.cycle(train), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses.append(_step(model, optimizer, images, labels, seen.steps))
    return torch.stack(losses).tolist()


def _step(model: nn.Module, optimizer: Optimizer, images: Tensor, labels: Tensor, format: Format) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    with format.casting(images.device):
        loss = F.cross_entropy(model(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def features(backbone: nn.Module, batches: Sequence[Batch], format: Format) -> list[Batch]:
    """`batches` once through the frozen part, float32 (B, features)."""
    with torch.no_grad(), format.casting(batches[0][0].device):  # inference tensors could not be trained on
        return [(backbone(images).float(), labels) for images, labels in batches]


def forward_backward(model: nn.Module, image: Tensor, format: Format) -> None:
    """One pass of `image` (1, 3, S, S) there, and from its highest logit all the way back."""
    model.zero_grad(set_to_none=True)
    with format.casting(image.device):
        best = model(image).max()
    best.backward()
