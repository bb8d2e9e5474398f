"""Augmentation at work: each photo changed by parameters of its own, drawn for all of a batch at once.  [no torch]

Photos are uint8 (H, W, 3), as the cache has them. OpenCV does the work, one photo after the other: such a square
stays in the processor's cache from step to step, and no thread waits for another, so that all of it can happen in
the background while the network computes. Each step is held to torchvision's of the same name (docs/adr/0010).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
)

Photo = NDArray[Any]  # uint8 (H, W, 3)
Numbers = NDArray[np.float64]
Colours = NDArray[Any]  # float32 (H, W, 3), 0 to 255
_GREY = np.array([[0.2989, 0.587, 0.114]], dtype=np.float32)  # ITU-R BT.601, as torchvision rounds it
_SAME = np.eye(3, dtype=np.float32)
_TRIES = 10  # cuts of the wrong shape that RandomResizedCrop draws before it takes the middle
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
_INTERPOLATION = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR}


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

    def uniform(self, low: float | Numbers = 0.0, high: float | Numbers = 1.0) -> Numbers:
        """(B,): evenly between `low` and `high`."""
        part: Numbers = (self.bits() >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * part

    def below(self, count: Numbers | int) -> Numbers:
        """(B,): whole numbers from 0 to below `count`."""
        whole: Numbers = np.floor(self.uniform() * count)
        return whole


def sample_seeds(seed: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint64]:
    """(B,): the seed of each photo in an epoch that has `seed`."""
    numbers = np.asarray(indices, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95) + np.uint64(seed)
    return Draws(numbers).bits()


class Pipeline:
    """Steps one after the other; called with pixels uint8 (B, S, S, 3) and seeds (B,), gives (B, size, size, 3)."""

    def __init__(self, steps: Sequence[AnyStep], size: int) -> None:
        self.steps, self.size = tuple(steps), size

    def __call__(self, pixels: Iterable[Photo], seeds: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Each photo changed as its seed says, whoever else is in the batch."""
        draws, photos = Draws(seeds), list(pixels)
        for step in self.steps:
            photos = apply(step, photos, draws, self.size)
        return np.stack([resized(photo, self.size) for photo in photos])


def apply(step: AnyStep, photos: Sequence[Photo], draws: Draws, size: int) -> list[Photo]:
    """`step` on each of `photos`, with the next numbers of its own from `draws`; `size` is the side in the end."""
    match step:
        case ColorJitter():
            return _color_jitter(step, photos, draws)
        case RandomHorizontalFlip():
            return [cv2.flip(p, 1) if it else p for p, it in zip(photos, draws.uniform() < step.p, strict=True)]
        case RandomVerticalFlip():
            return [cv2.flip(p, 0) if it else p for p, it in zip(photos, draws.uniform() < step.p, strict=True)]
        case RandomGrayscale():
            return [_grey(p) if it else p for p, it in zip(photos, draws.uniform() < step.p, strict=True)]
        case RandomCrop():
            return _random_crop(step, photos, draws)
        case RandomResizedCrop():
            cuts = np.stack(_cut(step, _sides(photos), draws), axis=1).astype(int).tolist()
            return [
                resized(photo[top : top + height, left : left + width], size, step.interpolation)
                for photo, (top, left, height, width) in zip(photos, cuts, strict=True)
            ]
        case RandomRotation():
            return _random_rotation(step, photos, draws)
        case Pad():
            return [_padded(photo, step.padding, step.padding, step.fill, step.padding_mode) for photo in photos]
        case RandomAffine():
            return _random_affine(step, photos, draws)
        case GaussianNoise():
            return [_noisy(step, photo, int(bits)) for photo, bits in zip(photos, draws.bits(), strict=True)]


def _sides(photos: Sequence[Photo]) -> list[Numbers]:
    """Height and width of each, (B,) both."""
    return [np.array([photo.shape[side] for photo in photos], dtype=np.float64) for side in (0, 1)]


# Colour: on floats from 0 to 255, rounded once at the end (torchvision cuts to whole levels in between as well).


def brightness(photo: Colours, factor: float) -> Colours:
    """A `factor` of 1 changes nothing, 0 makes black."""
    return _clipped(photo * np.float32(factor))


def contrast(photo: Colours, factor: float) -> Colours:
    """A `factor` of 1 changes nothing, 0 makes the mean grey."""
    mean = float(np.dot(_GREY[0], cv2.mean(photo)[:3]))
    return _clipped(photo * np.float32(factor) + np.float32(mean * (1 - factor)))


def saturation(photo: Colours, factor: float) -> Colours:
    """A `factor` of 1 changes nothing, 0 takes all colour."""
    return _clipped(cv2.transform(photo, _SAME * np.float32(factor) + _GREY * np.float32(1 - factor)))


def hue(photo: Colours, turn: float) -> Colours:
    """The colour wheel turned by `turn`: 0.5 is half of it, either way."""
    colours = cv2.cvtColor(photo, cv2.COLOR_RGB2HSV)
    colours[..., 0] += np.float32(360 * (turn % 1))  # OpenCV takes a second turn of the wheel for the first
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)


_JITTER = (brightness, contrast, saturation, hue)


def _clipped(photo: Colours) -> Colours:
    """`photo` itself, cut to what can be shown."""
    cv2.threshold(photo, 255, 0, cv2.THRESH_TRUNC, dst=photo)
    cv2.threshold(photo, 0, 0, cv2.THRESH_TOZERO, dst=photo)
    return photo


def _color_jitter(step: ColorJitter, photos: Sequence[Photo], draws: Draws) -> list[Photo]:
    """The four changes, in an order of its own for each photo."""
    strengths = (step.brightness, step.contrast, step.saturation)
    factors = [draws.uniform(max(0.0, 1 - s), 1 + s) for s in strengths] + [draws.uniform(-step.hue, step.hue)]
    order = np.argsort(np.stack([draws.uniform() for _ in _JITTER]), axis=0)  # (4, B): place → change
    used = {n for n, strength in enumerate((*strengths, step.hue)) if strength}
    changed = []
    for i, photo in enumerate(photos):
        colours = photo.astype(np.float32)
        for n in order[:, i]:
            if n in used:
                colours = _JITTER[n](colours, float(factors[n][i]))
        changed.append(_rounded(colours))
    return changed


def _rounded(photo: Colours) -> Photo:
    rounded: Photo = (photo + np.float32(0.5)).astype(np.uint8)
    return rounded


def _grey(photo: Photo) -> Photo:
    """Brightness in all three channels; cut to whole levels, as torchvision does."""
    level = cv2.transform(photo.astype(np.float32), _GREY).astype(np.uint8)
    grey: Photo = cv2.cvtColor(level, cv2.COLOR_GRAY2RGB)
    return grey


# Place: where a pixel of the result lies in the photo.


def _padded(photo: Photo, down: int, across: int, fill: int, mode: str) -> Photo:
    """`down` rows above and below, `across` columns left and right: constant, edge, reflect or symmetric."""
    return cv2.copyMakeBorder(photo, down, down, across, across, _BORDERS[mode], value=(fill,) * 3)


def _random_crop(step: RandomCrop, photos: Sequence[Photo], draws: Draws) -> list[Photo]:
    roomy = []
    for photo in photos:
        if step.padding:
            photo = _padded(photo, step.padding, step.padding, step.fill, step.padding_mode)
        short = [max(0, step.size - side) for side in photo.shape[:2]]
        if step.pad_if_needed and any(short):
            photo = _padded(photo, short[0], short[1], step.fill, step.padding_mode)
        roomy.append(photo)
    height, width = _sides(roomy)
    top, left = draws.below(height - step.size + 1).astype(int), draws.below(width - step.size + 1).astype(int)
    return [p[y : y + step.size, x : x + step.size] for p, y, x in zip(roomy, top, left, strict=True)]


def _cut(step: RandomResizedCrop, sides: Sequence[Numbers], draws: Draws) -> tuple[Numbers, ...]:
    """Top, left, height and width of each photo's cut: the first of ten draws that fits, or else the middle."""
    full_height, full_width = sides
    area = full_height * full_width
    low, high = math.log(step.ratio[0]), math.log(step.ratio[1])
    limited = np.clip(full_width / full_height, *step.ratio)
    height = np.minimum(full_height, full_width / limited).round()
    width = np.minimum(full_width, full_height * limited).round()
    found = np.zeros(len(draws), dtype=bool)
    for _ in range(_TRIES):
        wanted, ratio = area * draws.uniform(*step.scale), np.exp(draws.uniform(low, high))
        across, down = np.sqrt(wanted * ratio).round(), np.sqrt(wanted / ratio).round()
        fits = ~found & (across > 0) & (across <= full_width) & (down > 0) & (down <= full_height)
        height[fits], width[fits] = down[fits], across[fits]
        found |= fits
    top, left = draws.below(full_height - height + 1), draws.below(full_width - width + 1)
    middle_top, middle_left = (full_height - height) // 2, (full_width - width) // 2
    return np.where(found, top, middle_top), np.where(found, left, middle_left), height, width


def resized(photo: Photo, size: int, interpolation: str = "bilinear") -> Photo:
    """`photo` scaled to (size, size, 3); bilinear with antialiasing where it shrinks."""
    height, width = photo.shape[:2]
    if (height, width) == (size, size):
        return photo
    if interpolation == "nearest" or (height <= size and width <= size):
        return cv2.resize(photo, (size, size), interpolation=_INTERPOLATION[interpolation])
    rows = _weights(height, size) @ photo.reshape(height, width * 3).astype(np.float32)  # (size, W·3)
    both = _weights(width, size) @ rows.reshape(size, width, 3)  # (size, size, 3): a product for each row
    return _rounded(_clipped(both))


def _weights(side: int, size: int) -> NDArray[np.float32]:
    """(size, side): how much each pixel of a line of `side` counts in each of the `size` made of it.

    A triangle as wide as a step in the photo, at least one pixel.
    """
    step = side / size
    centre = (np.arange(size)[:, None] + 0.5) * step
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centre) / max(step, 1))
    scaled: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def _random_rotation(step: RandomRotation, photos: Sequence[Photo], draws: Draws) -> list[Photo]:
    turn = _whole if step.expand else warped
    return [
        turn(photo, -float(angle), interpolation=step.interpolation, fill=step.fill, center=step.center)
        for photo, angle in zip(photos, draws.uniform(*step.degrees), strict=True)
    ]


def _random_affine(step: RandomAffine, photos: Sequence[Photo], draws: Draws) -> list[Photo]:
    height, width = _sides(photos)
    most_across, most_down = step.translate[0] * width, step.translate[1] * height
    drawn = (
        draws.uniform(*step.degrees),
        np.round(draws.uniform(-most_across, most_across)),
        np.round(draws.uniform(-most_down, most_down)),
        draws.uniform(*step.scale),
        draws.uniform(*step.shear),
    )
    return [
        warped(photo, angle, across, down, scale, shear, step.interpolation, step.fill, step.center)
        for photo, angle, across, down, scale, shear in zip(photos, *(n.tolist() for n in drawn), strict=True)
    ]


def warped(
    photo: Photo, angle: float, across: float = 0, down: float = 0, scale: float = 1, shear: float = 0,
    interpolation: str = "bilinear", fill: int = 0, center: tuple[float, float] = MIDDLE,
    shape: tuple[int, int] | None = None,
) -> Photo:  # fmt: skip
    """`photo` turned and sheared by degrees, scaled, and shifted by pixels; what appears is `fill`.

    Forward: shift · rotation · shear · scale around `center`, a part of width and height; what is applied is its
    inverse, because for every pixel of the result the place it comes from is asked for. `shape` is the result's
    height and width around the same middle, the photo's own by default.
    """
    height, width = photo.shape[:2]
    to_height, to_width = shape or (height, width)
    (a, b), (c, d) = _inverse(angle, scale, shear)
    still_x, still_y = (center[0] - 0.5) * width, (center[1] - 0.5) * height  # px off the middle
    x, y = (to_width - 1) / 2 + still_x + across, (to_height - 1) / 2 + still_y + down  # where the still point goes
    matrix = np.array([
        [a, b, (width - 1) / 2 + still_x - a * x - b * y],
        [c, d, (height - 1) / 2 + still_y - c * x - d * y],
    ])  # fmt: skip
    flags = _INTERPOLATION[interpolation] | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(photo, matrix, (to_width, to_height), flags=flags, borderValue=(fill,) * 3)


def _inverse(angle: float, scale: float, shear: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The matrix from the result's x and y to the photo's."""
    turn, slant = math.radians(angle), math.tan(math.radians(shear))
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    return (cos - slant * sin, sin + slant * cos), (-sin, cos)


def _whole(photo: Photo, angle: float, interpolation: str, fill: int, center: tuple[float, float]) -> Photo:
    """`photo` turned and shown whole: as large as its corners reach, rounded outward as torchvision does."""
    height, width = photo.shape[:2]
    corners = np.array([[-1, -1, 1, 1], [-1, 1, 1, -1]]) * [[width / 2], [height / 2]]
    corners = np.linalg.inv(_inverse(angle, 1, 0)) @ corners
    reach = np.trunc(corners / 1e-3) * 1e-3  # what sticks out by less than a thousandth does not count
    across, down = (np.ceil(reach.max(axis=1)) - np.floor(reach.min(axis=1))).astype(int)
    return warped(photo, angle, interpolation=interpolation, fill=fill, center=MIDDLE, shape=(int(down), int(across)))


def _noisy(step: GaussianNoise, photo: Photo, bits: int) -> Photo:
    source = np.random.Generator(np.random.Philox(key=bits))
    grain = source.standard_normal(photo.shape, dtype=np.float32)
    noisy = np.rint((grain * np.float32(step.sigma) + np.float32(step.mean)) * np.float32(255) + photo)
    return (_clipped(noisy) if step.clip else noisy.astype(np.int16)).astype(np.uint8)  # what is not cut off wraps
