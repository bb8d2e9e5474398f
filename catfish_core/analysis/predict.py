"""Photos to probabilities and heatmaps, and heatmaps to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from catfish_core.analysis import gradcam
from catfish_core.data.loader import normalised
from catfish_core.data.photos import resized
from catfish_core.errors import ModelError
from catfish_core.models.build import split_outputs
from catfish_core.models.saved import Saved

Method = Literal["grad-cam", "input-gradients"]


@dataclass(frozen=True)
class Heatmap:
    """Where a network looked for class `target`: `values` float32 (h, w) from 0 to 1, the brightest place 1.

    All zeros says that nothing in the photo spoke for that class. `resize` tells which part of the photo the
    network saw.
    """

    values: NDArray[np.float32]
    layer: str | None
    target: int
    method: Method
    resize: Literal["squash", "crop"]


@torch.inference_mode()
def predict(saved: Saved, images: Sequence[Image.Image]) -> list[tuple[float, ...]]:
    """The probability of each class for each photo, all photos together in one pass."""
    if not images:
        return []
    logits, _ = split_outputs(saved.model(_batch(saved, images)))
    return _probabilities(logits)


def explain(
    saved: Saved, images: Sequence[Image.Image], layer: str | None = None, target: int | None = None
) -> list[Heatmap]:
    """Where the network looked in each photo, at `layer` (default: the architecture's) for class `target`.

    Without a target each photo is explained for its own most probable class. Raises ModelError for a layer or
    class that the model has not got.
    """
    return look(saved, images, layer, target)[1]


def look(
    saved: Saved, images: Sequence[Image.Image], layer: str | None = None, target: int | None = None
) -> tuple[list[tuple[float, ...]], list[Heatmap]]:
    """`predict` and `explain` at the price of one pass forward and one back."""
    if not images:
        return [], []
    name = _layer(saved, layer)
    batch = _batch(saved, images)
    targets = _targets(saved, target, len(images))
    if name is None:
        seen = gradcam.input_gradients(saved.model, batch, targets)
    else:
        seen = gradcam.grad_cam(saved.model, saved.model.get_submodule(name), batch, targets)
    method: Method = "input-gradients" if name is None else "grad-cam"
    heatmaps = [
        Heatmap(_scaled(one), name, int(chosen), method, saved.resize)
        for one, chosen in zip(seen.maps, seen.targets, strict=True)
    ]
    return _probabilities(seen.logits), heatmaps


def _batch(saved: Saved, images: Sequence[Image.Image]) -> Tensor:
    size = saved.image_size
    squares = [im if im.size == (size, size) else resized(im, size, saved.resize) for im in images]
    pixels = np.stack([np.asarray(square) for square in squares])
    return normalised(pixels, saved.mean, saved.std).to(saved.device)


def _probabilities(logits: Tensor) -> list[tuple[float, ...]]:
    return [tuple(row) for row in logits.softmax(1).cpu().tolist()]


def _layer(saved: Saved, layer: str | None) -> str | None:
    known = gradcam.layers(saved)
    if layer is not None and layer not in known:
        hint = f"There are: {', '.join(known)}." if known else f"{saved.arch.name} has no layer to choose."
        raise ModelError(f"{saved.arch.name} has no layer “{layer[:80]}”.", hint)
    return layer or saved.arch.cam_layer


def _targets(saved: Saved, target: int | None, count: int) -> Tensor | None:
    if target is None:
        return None
    if not 0 <= target < len(saved.classes):
        raise ModelError(f"This model has no class number {target}.", f"It has {len(saved.classes)}, counted from 0.")
    return torch.full((count,), target)


def _scaled(values: Tensor) -> NDArray[np.float32]:
    """(h, w) brought to 0..1 by its largest value; what is not a number becomes 0."""
    finite = values.detach().float().nan_to_num(0.0, 0.0, 0.0).cpu()
    top = finite.max()
    scaled: NDArray[np.float32] = (finite / top if top > 0 else finite).numpy()
    return scaled


def heatmap_png(heatmap: Heatmap, size: tuple[int, int]) -> bytes:
    """The heatmap in colour (blue cold, red hot) as a PNG of `size` (width, height), for a photo of that size.

    Where the network saw only the middle of the photo, the rest is transparent.
    """
    done, png = cv2.imencode(".png", cv2.cvtColor(_coloured(heatmap, size), cv2.COLOR_RGBA2BGRA))
    assert done
    return bytes(png)


def overlay(image: Image.Image, heatmap: Heatmap, opacity: float = 0.5) -> Image.Image:
    """`image` under its heatmap; `opacity` from 0 (the photo alone) to 1."""
    colours = _coloured(heatmap, image.size)
    colours[..., 3] = (colours[..., 3] * opacity).astype(np.uint8)
    below = image.convert("RGBA")
    return Image.alpha_composite(below, Image.fromarray(colours)).convert("RGB")


def _coloured(heatmap: Heatmap, size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGBA (height, width, 4)."""
    left, top, width, height = _seen_part(heatmap.resize, size)
    smooth = cv2.resize(heatmap.values, (width, height), interpolation=cv2.INTER_CUBIC)
    levels = (smooth.clip(0, 1) * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    whole = np.zeros((size[1], size[0], 4), dtype=np.uint8)
    whole[top : top + height, left : left + width, :3] = colours
    whole[top : top + height, left : left + width, 3] = 255
    return whole


def _seen_part(resize: Literal["squash", "crop"], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what the network saw of a photo of `size`."""
    width, height = size
    if resize == "squash":
        return 0, 0, width, height
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side
