"""MixUp and CutMix: photos of a batch mixed in pairs, and their labels in the same shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from catfish_core.data.loader import mixed


class Source(Protocol):
    """Batches of photos (B, 3, S, S) and their classes (B,)."""

    def __len__(self) -> int: ...
    def epoch(self, n: int, first: int = 0, /) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `n`, counted from 0, from the batch `first` on."""
        ...


class Mixed:
    """The batches of `batches`, each photo mixed with its neighbour; labels become shares, float32 (B, classes).

    mixup (Zhang et al., 2018): share · photo + (1 - share) · neighbour; cutmix (Yun et al., 2019): a rectangle of
    the neighbour, whose area decides the shares; either: one of the two, drawn for each batch. A batch has one
    share, drawn from Beta(alpha, alpha). All draws depend on seed, epoch and batch alone, and leave torch's own
    random numbers as they were.
    """

    def __init__(
        self, batches: Source, how: Literal["mixup", "cutmix", "either"], alpha: float, classes: int, seed: int
    ) -> None:
        self.batches, self.seed = batches, seed
        self.transform = _transform(how, alpha, classes)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.epoch(0)

    def epoch(self, n: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `n`, counted from 0, from the batch `first` on."""
        for number, (images, labels) in enumerate(self.batches.epoch(n, first), first):
            with torch.random.fork_rng(devices=()):
                torch.default_generator.manual_seed(mixed(self.seed, n, number))  # torch.manual_seed: GPUs as well
                images, labels = self.transform(images, labels)
            yield images, labels


def _transform(how: str, alpha: float, classes: int) -> Any:
    from catfish_core.torch_setup import v2  # a second, for those who mix

    mixup, cutmix = (kind(alpha=alpha, num_classes=classes) for kind in (v2.MixUp, v2.CutMix))
    return {"mixup": mixup, "cutmix": cutmix}.get(how) or v2.RandomChoice([mixup, cutmix])
