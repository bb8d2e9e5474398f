"""Watching a network from inside, and leaving it as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every part of `model` in evaluation mode inside, in its own mode again afterwards."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def branched_at(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What `layer` puts out becomes the root of a new graph; the list holds it after the forward pass.

    Nothing before the layer is recorded, so frozen networks and trained ones are the same to whoever asks for
    gradients, no `.grad` is touched, and the backward pass ends here. What follows gets a copy, so that a ReLU
    in place cannot change what was seen.
    """
    seen: list[Tensor] = []

    def branch(_: nn.Module, __: object, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)  # from here on; the context below sets it back
        root = output.detach().requires_grad_(True)
        seen.append(root)
        return root.clone()

    with torch.no_grad():
        handle = layer.register_forward_hook(branch)
        try:
            yield seen
        finally:
            handle.remove()
