"""Where a network looked: Grad-CAM, and input gradients for networks without convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catfish_core.analysis.hooks import branched_at, evaluating
from catfish_core.errors import ModelError
from catfish_core.models.build import split_outputs
from catfish_core.models.saved import Saved

SMOOTHING = 3  # px, side of the box that input gradients are averaged over: single pixels mean little


@dataclass(frozen=True)
class Seen:
    """One pass of B photos: `maps` (B, h, w) ≥ 0, how much each place spoke for the class in `targets` (B,);
    `logits` (B, C)."""

    maps: Tensor
    logits: Tensor
    targets: Tensor


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, targets: Tensor | None = None) -> Seen:
    """Grad-CAM of `images` (B, 3, S, S) at `layer`, for `targets` (B,) or each photo's most probable class.

    Selvaraju et al. (2017): the layer's channels, weighted by the mean over the grid of the gradient of the
    class's logit, summed, negative values cut off. One forward pass, one backward pass from the logits to the
    layer; the model is in evaluation mode meanwhile and afterwards as it was, frozen or not.
    Raises ModelError for a layer whose output is no grid.
    """
    with evaluating(model), branched_at(layer) as seen:
        logits, _ = split_outputs(model(images))
        if not seen or seen[0].dim() != 4:
            raise ModelError("This layer has no picture to show.", "Choose a convolutional layer.")
        scores, targets = _scores(logits, targets)
        (gradients,) = torch.autograd.grad(scores.sum(), seen[0])
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # (B, channels, 1, 1)
    maps = (weights * seen[0].detach()).sum(1).relu()
    return Seen(maps, logits.detach(), targets)


def input_gradients(model: nn.Module, images: Tensor, targets: Tensor | None = None) -> Seen:
    """How much each pixel could change the class's logit: |gradient|, the largest of the channels, (B, S, S).

    Simonyan et al. (2014), lightly smoothed. What is left where there is no layer that keeps the picture's shape.
    """
    with evaluating(model), torch.enable_grad():
        pixels = images.detach().clone().requires_grad_(True)
        logits, _ = split_outputs(model(pixels))
        scores, targets = _scores(logits, targets)
        (gradients,) = torch.autograd.grad(scores.sum(), pixels)
    maps = gradients.abs().amax(1, keepdim=True)  # (B, 1, S, S)
    smooth = F.avg_pool2d(maps, SMOOTHING, stride=1, padding=SMOOTHING // 2, count_include_pad=False)
    return Seen(smooth.squeeze(1), logits.detach(), targets)


def _scores(logits: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor]:
    """The logit of each photo's target, and the targets. The sum of scores has each photo's own gradients."""
    chosen = logits.detach().argmax(1) if targets is None else targets.to(logits.device)
    return logits.gather(1, chosen.unsqueeze(1)), chosen


def layers(saved: Saved) -> list[str]:
    """The layers a heatmap can be made of, first to last; empty for a network without convolutions."""
    if saved.arch.cam_layer is None:
        return []
    names = [*saved.arch.stages, saved.arch.cam_layer]
    return list(dict.fromkeys(names))
