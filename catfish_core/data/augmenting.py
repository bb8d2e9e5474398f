"""The augmentations of a whole batch at once, every photo with random numbers of its own.

Each function does to uint8 (B, 3, H, W) what torchvision's transform of the same name does to one photo, within
two levels of 255 for the same parameters; the parameters are drawn from the same ranges by `Draws`. Why not
torchvision itself: docs/adr/0006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from catfish_core.augment import (
    MIDDLE,
    AnyStep,
    ColorJitter,
    GaussianNoise,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
)  # fmt: skip
from catfish_core.torch_setup import v2

Numbers = NDArray[np.float64]  # (B,): one a photo
_GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as torchvision rounds it
_PORTION = 32 * 64 * 64  # pixels that are changed together: more would not stay in the processor's cache
_TRIES = 10  # cuts of the wrong shape that RandomResizedCrop draws before it takes the middle


class Draws:
    """Random numbers for each photo of a batch that depend on that photo's seed alone.

    SplitMix64 (Steele, Lea, Flood 2014), all photos side by side: so neither batch size nor order matters.
    """

    def __init__(self, seeds: NDArray[np.uint64]) -> None:
        self._state = seeds.astype(np.uint64, copy=True)

    def __len__(self) -> int:
        return len(self._state)

    def bits(self) -> NDArray[np.uint64]:
        """(B,): 64 random bits for each photo."""
        self._state += np.uint64(0x9E3779B97F4A7C15)
        z = self._state.copy()
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
        return mixed

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Numbers:
        """(B,): evenly between `low` and `high`."""
        part: Numbers = (self.bits() >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * part

    def below(self, count: Numbers | int) -> Numbers:
        """(B,): whole numbers from 0 to below `count`."""
        whole: Numbers = np.floor(self.uniform() * count)
        return whole


def sample_seeds(seed: int, indices: Sequence[int]) -> NDArray[np.uint64]:
    """(B,): the seed of each photo in an epoch that has `seed`."""
    numbers = np.asarray(indices, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95) + np.uint64(seed)
    return Draws(numbers).bits()


class Pipeline:
    """Steps one after the other; called with pixels uint8 (B, 3, size, size) and seeds (B,), gives the same shape."""

    def __init__(self, steps: Sequence[AnyStep], size: int) -> None:
        self.steps, self.size = tuple(steps), size
        # A tilted photo that is shown whole has a size that depends on its angle: a batch has only one.
        self.one_by_one = any(isinstance(step, RandomRotation) and step.expand for step in steps)

    def __call__(self, pixels: Tensor, seeds: NDArray[np.uint64]) -> Tensor:
        """Each photo changed as its seed says, whoever else is in the batch."""
        most = 1 if self.one_by_one else max(1, _PORTION // (self.size * self.size))
        if len(pixels) > most:
            portions = [slice(i, i + most) for i in range(0, len(pixels), most)]
            return torch.cat([self(pixels[portion], seeds[portion]) for portion in portions])
        draws = Draws(seeds)
        pixels = pixels.contiguous()
        for step in self.steps:
            pixels = apply(step, pixels, draws, self.size)
        if pixels.shape[2:] == (self.size, self.size):
            return pixels
        back: Tensor = v2.functional.resize(pixels, [self.size, self.size], antialias=True)
        return back


def apply(step: AnyStep, pixels: Tensor, draws: Draws, size: int) -> Tensor:
    """`step` on pixels uint8 (B, 3, H, W), whose final side will be `size`; uint8 (B, 3, H', W')."""
    match step:
        case ColorJitter():
            return _color_jitter(step, pixels, draws)
        case RandomHorizontalFlip():
            return torch.where(_mask(draws, step.p), pixels.flip(3), pixels)
        case RandomVerticalFlip():
            return torch.where(_mask(draws, step.p), pixels.flip(2), pixels)
        case RandomGrayscale():
            return torch.where(_mask(draws, step.p), _grey(pixels).to(torch.uint8), pixels)
        case RandomCrop():
            return _random_crop(step, pixels, draws)
        case RandomResizedCrop():
            return resized_crop(pixels, *_cut(step, pixels, draws), size, step.interpolation)
        case RandomRotation():
            return _random_rotation(step, pixels, draws)
        case Pad():
            return _padded(pixels, [step.padding], step.fill, step.padding_mode)
        case RandomAffine():
            return _random_affine(step, pixels, draws)
        case GaussianNoise():
            return _gaussian_noise(step, pixels, draws)


def _mask(draws: Draws, p: float) -> Tensor:
    """(B, 1, 1, 1): which photos it happens to."""
    return torch.from_numpy(draws.uniform() < p).view(-1, 1, 1, 1)


def _column(numbers: Numbers) -> Tensor:
    return torch.from_numpy(numbers.astype(np.float32)).view(-1, 1, 1, 1)


# Colour: on floats from 0 to 255, rounded once at the end (torchvision cuts to whole levels in between as well).


def _grey(pixels: Tensor) -> Tensor:
    """Brightness, float (B, 1, H, W)."""
    red, green, blue = (pixels[:, n : n + 1].float() for n in range(3))
    return (red * _GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])


def _blend(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return (pixels * factor).add_(other * (1 - factor)).clamp_(0, 255)


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Float pixels, factor (B, 1, 1, 1): 1 changes nothing, 0 makes black."""
    return (pixels * factor).clamp_(0, 255)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Float pixels, factor (B, 1, 1, 1): 1 changes nothing, 0 makes the mean grey."""
    return _blend(pixels, _grey(pixels).mean(dim=(1, 2, 3), keepdim=True), factor)


def saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    """Float pixels, factor (B, 1, 1, 1): 1 changes nothing, 0 takes all colour."""
    return _blend(pixels, _grey(pixels), factor)


def hue(pixels: Tensor, factor: Tensor) -> Tensor:
    """Float pixels, factor (B, 1, 1, 1) in turns of the colour wheel.

    Value and chroma stay; each channel is value − chroma · clamp(min(k, 4 − k), 0, 1) with k = (n + 6 · hue) mod 6,
    n = 5, 3, 1 (the usual closed form of HSV to RGB).
    """
    value, low = pixels.amax(1, keepdim=True), pixels.amin(1, keepdim=True)
    chroma = value - low
    red, green, blue = (pixels[:, n : n + 1] for n in range(3))
    divisor = chroma.clamp(min=1e-3)
    sixths = torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    sixths = torch.where(value == red, (green - blue) / divisor, sixths) + 6 * factor
    k = (sixths + torch.tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)).remainder_(6)
    return value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)


_JITTER = (brightness, contrast, saturation, hue)


def _color_jitter(step: ColorJitter, pixels: Tensor, draws: Draws) -> Tensor:
    """The four changes, in an order of its own for each photo."""
    strengths = (step.brightness, step.contrast, step.saturation)
    factors = [draws.uniform(max(0.0, 1 - s), 1 + s) for s in strengths] + [draws.uniform(-step.hue, step.hue)]
    order = np.argsort(np.stack([draws.uniform() for _ in _JITTER]), axis=0)  # (4, B): place → change
    used = [n for n, strength in enumerate((*strengths, step.hue)) if strength]
    changed = pixels.float()
    for place in order:
        for n in used:
            chosen = np.flatnonzero(place == n)
            if len(chosen):
                at = torch.from_numpy(chosen)
                changed[at] = _JITTER[n](changed[at], _column(factors[n][chosen]))
    return changed.add_(0.5).to(torch.uint8)


# Place: where a pixel of the result lies in the photo.


def _padded(pixels: Tensor, padding: list[int], fill: int, mode: str) -> Tensor:
    padded: Tensor = v2.functional.pad(pixels, padding, fill=fill, padding_mode=mode)
    return padded


def _random_crop(step: RandomCrop, pixels: Tensor, draws: Draws) -> Tensor:
    if step.padding:
        pixels = _padded(pixels, [step.padding], step.fill, step.padding_mode)
    height, width = pixels.shape[2:]
    if step.pad_if_needed and (short := [max(0, step.size - side) for side in (width, height)]) != [0, 0]:
        pixels = _padded(pixels, short, step.fill, step.padding_mode)
        height, width = pixels.shape[2:]
    top, left = draws.below(height - step.size + 1), draws.below(width - step.size + 1)
    side = np.arange(step.size)
    rows = torch.from_numpy(top.astype(np.int64)[:, None] + side)  # (B, size)
    columns = torch.from_numpy(left.astype(np.int64)[:, None] + side)
    return _picked(pixels, rows, columns)


def _picked(pixels: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels at rows (B, H') and columns (B, W') of each photo: (B, 3, H', W')."""
    photo = torch.arange(len(pixels)).view(-1, 1, 1, 1)
    channel = torch.arange(pixels.shape[1]).view(1, -1, 1, 1)
    return pixels[photo, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _cut(step: RandomResizedCrop, pixels: Tensor, draws: Draws) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Top, left, height and width of each photo's cut: the first of ten draws that fits, or else the middle."""
    full_height, full_width = pixels.shape[2:]
    area = full_height * full_width
    low, high = math.log(step.ratio[0]), math.log(step.ratio[1])
    limited = min(max(full_width / full_height, step.ratio[0]), step.ratio[1])
    height = np.full(len(draws), round(min(full_height, full_width / limited)), dtype=np.float64)
    width = np.full(len(draws), round(min(full_width, full_height * limited)), dtype=np.float64)
    found = np.zeros(len(draws), dtype=bool)
    for _ in range(_TRIES):
        wanted, ratio = area * draws.uniform(*step.scale), np.exp(draws.uniform(low, high))
        across, down = np.round(np.sqrt(wanted * ratio)), np.round(np.sqrt(wanted / ratio))
        fits = ~found & (across > 0) & (across <= full_width) & (down > 0) & (down <= full_height)
        height[fits], width[fits] = down[fits], across[fits]
        found |= fits
    top, left = draws.below(full_height - height + 1), draws.below(full_width - width + 1)
    middle_top, middle_left = (full_height - height) // 2, (full_width - width) // 2
    return np.where(found, top, middle_top), np.where(found, left, middle_left), height, width


def resized_crop(
    pixels: Tensor, top: Numbers, left: Numbers, height: Numbers, width: Numbers, size: int, interpolation: str
) -> Tensor:
    """Each photo's cut, scaled to (size, size)."""
    if interpolation == "nearest":
        parts = (np.arange(size) / size)[None]
        rows = torch.from_numpy(np.floor(top[:, None] + parts * height[:, None]).astype(np.int64))
        columns = torch.from_numpy(np.floor(left[:, None] + parts * width[:, None]).astype(np.int64))
        return _picked(pixels, rows, columns)
    down = _weights(top, height, pixels.shape[2], size)[:, None]  # (B, 1, size, H)
    across = _weights(left, width, pixels.shape[3], size)[:, None].transpose(2, 3)  # (B, 1, W, size)
    return (down @ (pixels.float() @ across)).round_().clamp_(0, 255).to(torch.uint8)


def _weights(start: Numbers, length: Numbers, side: int, size: int) -> Tensor:
    """(B, size, side): how much each pixel of a line counts in each of the `size` made of its cut.

    Bilinear with antialiasing: a triangle as wide as a step in the photo, at least one pixel, within the cut.
    """
    first, many = (torch.from_numpy(n.astype(np.float32)).view(-1, 1, 1) for n in (start, length))
    step = many / size
    centre = first + (torch.arange(size).view(1, -1, 1) + 0.5) * step  # (B, size, 1)
    place = torch.arange(side).view(1, 1, -1)
    inside = (place >= first) & (place < first + many)  # (B, 1, side)
    weights = (place + 0.5 - centre).abs_().div_(-step.clamp(min=1)).add_(1).clamp_(min=0).mul_(inside)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _random_rotation(step: RandomRotation, pixels: Tensor, draws: Draws) -> Tensor:
    angle = draws.uniform(*step.degrees)
    if step.expand:  # the size depends on the angle: such pipelines get one photo at a time
        mode = v2.InterpolationMode(step.interpolation)
        turned: Tensor = v2.functional.rotate(pixels, float(angle[0]), mode, expand=True, fill=step.fill)
        return turned
    none = np.zeros(len(draws))
    return warped(pixels, -angle, none, none, none + 1, none, step.interpolation, step.fill, step.center)


def _random_affine(step: RandomAffine, pixels: Tensor, draws: Draws) -> Tensor:
    height, width = pixels.shape[2:]
    most_across, most_down = step.translate[0] * width, step.translate[1] * height
    return warped(
        pixels,
        draws.uniform(*step.degrees),
        np.round(draws.uniform(-most_across, most_across)),
        np.round(draws.uniform(-most_down, most_down)),
        draws.uniform(*step.scale),
        draws.uniform(*step.shear),
        step.interpolation,
        step.fill,
        step.center,
    )


def warped(
    pixels: Tensor, angle: Numbers, across: Numbers, down: Numbers, scale: Numbers, shear: Numbers,
    interpolation: str, fill: int, center: tuple[float, float] = MIDDLE,
) -> Tensor:  # fmt: skip
    """Each photo turned and sheared by degrees, scaled, and shifted by pixels; what appears is `fill`.

    Forward: shift · rotation · shear · scale around `center`, a part of width and height; what is applied is its
    inverse, because for every pixel of the result the place it comes from is asked for.
    """
    height, width = pixels.shape[2:]
    turn, slant = np.radians(angle), np.tan(np.radians(shear))
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    inverse = np.stack([cos - slant * sin, sin + slant * cos, -sin, cos], axis=1).reshape(-1, 2, 2)
    y, x = np.mgrid[0:height, 0:width] - np.array([height - 1, width - 1]).reshape(2, 1, 1) / 2
    still = (np.array(center) - 0.5).reshape(1, 2, 1) * np.array([width, height]).reshape(
        1, 2, 1
    )  # px off the middle
    places = (
        np.stack([x.ravel(), y.ravel()])[None] - still - np.stack([across, down], axis=1)[:, :, None]
    )  # (B, 2, H·W)
    sources = (inverse @ places + still) / (np.array([width, height]).reshape(1, 2, 1) / 2)  # −1..1 over the photo
    grid = torch.from_numpy(sources.astype(np.float32)).transpose(1, 2).reshape(-1, height, width, 2)
    with_mask = torch.cat([pixels.float(), torch.ones(len(pixels), 1, height, width)], dim=1)
    moved = grid_sample(with_mask, grid, mode=interpolation, padding_mode="zeros", align_corners=False)
    shown, mask = moved[:, :3], moved[:, 3:]
    if interpolation == "nearest":
        mask = (mask >= 0.5).float()
    return shown.sub_(fill).mul_(mask).add_(fill).round_().to(torch.uint8)


def _gaussian_noise(step: GaussianNoise, pixels: Tensor, draws: Draws) -> Tensor:
    grain, source = torch.empty(pixels.shape), torch.Generator()
    for seed, one in zip(draws.bits().tolist(), grain, strict=True):
        one.normal_(generator=source.manual_seed(seed >> 1))
    noisy = grain.mul_(step.sigma).add_(step.mean).mul_(255).add_(pixels).round_()
    return (noisy.clamp_(0, 255) if step.clip else noisy.short()).to(torch.uint8)  # what is not cut off wraps
