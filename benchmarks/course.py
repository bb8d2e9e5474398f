"""The course's way, written from its description: every photo decoded in every epoch, numbers read off every batch.

Nothing of it is made slow on purpose and nothing quick: it is the loop that every introduction teaches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from catfish_core.augment import RandomResizedCrop
from catfish_core.catalog import Statistics
from catfish_core.config import RunConfig
from catfish_core.models import build
from catfish_core.torch_setup import torchvision

Loader = DataLoader[Any]
Batch = tuple[Tensor, Tensor]


def transform(config: RunConfig, *, augmented: bool) -> Callable[[Image.Image], Tensor]:
    """Resize, the augmentations where asked, ToTensor, Normalize: a photo to float32 (3, S, S)."""
    known, size = torchvision.transforms, config.data.image_size
    mean, std = build.normalization(config.data, config.model)
    steps = [known.Resize((size, size))]
    for step in config.augment.steps if augmented else ():
        options = step.model_dump(exclude={"kind"})
        if "interpolation" in options:
            options["interpolation"] = known.InterpolationMode(options["interpolation"])
        if isinstance(step, RandomResizedCrop):
            options["size"] = size
        steps.append(getattr(known, step.kind)(**options))
    composed: Callable[[Image.Image], Tensor] = known.Compose([*steps, known.ToTensor(), known.Normalize(mean, std)])
    return composed


def loader(folder: Path, config: RunConfig, split: str) -> Loader:
    """The photos of `split` in batches, the training photos shuffled; no workers."""
    training = split == "train"
    photos = torchvision.datasets.ImageFolder(str(folder / split), transform(config, augmented=training))
    return DataLoader(photos, batch_size=config.training.batch_size, shuffle=training)


def adam(model: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """The course's optimizer over what is trained."""
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=config.optimizer.lr)


def train_epoch(
    model: nn.Module, batches: Loader, optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[float, float]:
    """One epoch; mean loss and accuracy."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    running_loss, correct, total = 0.0, 0, 0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item() * labels.size(0)
        correct += (outputs.argmax(1) == labels).sum().item()
        total += labels.size(0)
    return running_loss / total, correct / total


def validate(model: nn.Module, batches: Loader, device: torch.device) -> tuple[float, float]:
    """Mean loss and accuracy in evaluation mode."""
    criterion = nn.CrossEntropyLoss()
    model.eval()
    running_loss, correct, total = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in batches:
            images, labels = images.to(device), labels.to(device)
            outputs = model(images)
            running_loss += criterion(outputs, labels).item() * labels.size(0)
            correct += (outputs.argmax(1) == labels).sum().item()
            total += labels.size(0)
    return running_loss / total, correct / total


def sweep(
    model: nn.Module, batches: Loader, optimizer: torch.optim.Optimizer, device: torch.device, rates: list[float]
) -> list[float]:
    """One step at each of `rates`, the loader begun anew whenever it is through; the loss before each step."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    losses = []
    again = itertools.chain.from_iterable(itertools.repeat(batches))  # a new pass decodes anew, as a new epoch does
    for rate, (images, labels) in zip(rates, again, strict=False):
        images, labels = images.to(device), labels.to(device)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def predict_cam(
    model: nn.Module,
    layer: nn.Module,
    photo: Path,
    size: int,
    stats: tuple[Statistics, Statistics],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """The probabilities (C,) of `photo`, and then its Grad-CAM heatmap (h, w) by hooks in a pass of its own."""
    known = torchvision.transforms
    steps = known.Compose([known.Resize((size, size)), known.ToTensor(), known.Normalize(*stats)])
    image = steps(Image.open(photo).convert("RGB")).unsqueeze(0).to(device)  # (1, 3, S, S)
    model.eval()
    with torch.no_grad():
        probabilities = model(image).softmax(1)[0]
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = layer.register_forward_hook(keep)
    try:
        model.zero_grad()
        model(image)[0, int(probabilities.argmax())].backward()
    finally:
        handle.remove()
    activation, gradient = kept[0].detach(), kept[0].grad
    assert gradient is not None
    heatmap = (gradient.mean(dim=(2, 3), keepdim=True) * activation).sum(1).relu()[0]
    return probabilities, heatmap / heatmap.max().clamp(min=1e-12)
