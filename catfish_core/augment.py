"""The augmentation pipeline as data.  [no torch]

Each step is a frozen, checked record with the parameters of the torchvision transform of the same name; the
pages draw their widgets from the same fields. Only `build` and `preview` need OpenCV: data/augmenting.py does the
work.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from catfish_core.errors import ConfigError

if TYPE_CHECKING:
    from catfish_core.data.augmenting import Photo, Pipeline

MAX_SIDE = 2048  # px, of a photo between two steps: twenty frames in a row must not eat the memory
Interpolation = Literal["nearest", "bilinear"]
PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]
Chance = Annotated[float, Field(ge=0, le=1)]
Grey = Annotated[int, Field(ge=0, le=255)]
P: Any = Field(0.5, ge=0, le=1, description="How often it happens: 0 never, 1 always.")
MIDDLE = (0.5, 0.5)
CENTER: Any = Field(MIDDLE, description="The point that stays where it is, as a part of the photo: 0.5 the middle.")
FILL: Any = Field(0, ge=0, le=255, description="Grey level of the pixels that appear: 0 black, 255 white.")
INTERPOLATION: Any = Field("bilinear", description="How pixels between pixels are made.")


class Step(BaseModel):
    """What every augmentation shares: it cannot change, and it knows no field it was not given."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def side_after(self, side: int, image_size: int) -> int:
        """The side in pixels of what becomes of a square of `side` in a pipeline for photos of `image_size`.

        Where it depends on the draw, the smallest. Raises ValueError where this step cannot take the square.
        """
        return side


def _ordered(name: str, pair: tuple[float, float]) -> None:
    if pair[0] > pair[1]:
        raise ValueError(f"{name} must run from small to large, got {pair[0]:g} to {pair[1]:g}")


def _mirrorable(kind: str, mode: PaddingMode, padding: int, side: int) -> None:
    """A mirror can show no more than there is: reflect leaves out the edge itself, symmetric does not."""
    most = {"reflect": side - 1, "symmetric": side}.get(mode, padding)
    if padding > most:
        raise ValueError(f"augment.{kind}.padding: {mode} can add at most {most} px to a photo of {side} px")


class ColorJitter(Step):
    """Changes light and colour a little, as another camera or another hour would."""

    kind: Literal["ColorJitter"] = "ColorJitter"
    brightness: float = Field(0.2, ge=0, le=2, description="0 none; 0.2 darkens or brightens by up to 20 %.")
    contrast: float = Field(0.2, ge=0, le=2, description="0 none; 0.2 flattens or sharpens by up to 20 %.")
    saturation: float = Field(0.2, ge=0, le=2, description="0 none; 0.2 fades or deepens colours by up to 20 %.")
    hue: float = Field(0.02, ge=0, le=0.5, description="Turns the colour wheel: 0.5 is half a turn either way.")


class RandomHorizontalFlip(Step):
    """Mirrors left and right: a cat looking left is still a cat."""

    kind: Literal["RandomHorizontalFlip"] = "RandomHorizontalFlip"
    p: float = P


class RandomVerticalFlip(Step):
    """Turns the photo upside down; useful where up has no meaning."""

    kind: Literal["RandomVerticalFlip"] = "RandomVerticalFlip"
    p: float = P


class RandomGrayscale(Step):
    """Takes the colour away now and then, so that shape has to do."""

    kind: Literal["RandomGrayscale"] = "RandomGrayscale"
    p: float = Field(0.1, ge=0, le=1, description="How often it happens: 0 never, 1 always.")


class RandomCrop(Step):
    """Cuts out a square of fixed size at a random place; the result is scaled back to the image size."""

    kind: Literal["RandomCrop"] = "RandomCrop"
    size: int = Field(56, ge=4, le=1024, description="Side of the square, in pixels.")
    padding: int = Field(0, ge=0, le=512, description="Pixels added on every side first.")
    pad_if_needed: bool = Field(False, description="Add pixels where the photo is smaller than the square.")
    padding_mode: PaddingMode = Field("constant", description="What the added pixels show.")
    fill: int = FILL

    def side_after(self, side: int, image_size: int) -> int:
        """The size of the cut; ValueError where it does not fit into the photo."""
        room = side + 2 * self.padding
        if self.size > room and not self.pad_if_needed:
            raise ValueError(f"augment.RandomCrop.size: {self.size} px do not fit into a photo of {room} px")
        # added on each side in one go, so the mirror stands at the photo's own edge
        added = self.padding + max(0, self.size - room)
        _mirrorable("RandomCrop", self.padding_mode, added, side)
        return self.size


class RandomResizedCrop(Step):
    """Cuts out a random part and scales it back: the subject nearer or farther, here or there."""

    kind: Literal["RandomResizedCrop"] = "RandomResizedCrop"
    scale: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = Field(
        (0.6, 1.0), description="How much of the area is kept, from and to."
    )
    ratio: tuple[Annotated[float, Field(ge=0.1, le=10)], Annotated[float, Field(ge=0.1, le=10)]] = Field(
        (0.75, 1.3333), description="Width divided by height of the cut, from and to."
    )
    interpolation: Interpolation = INTERPOLATION

    @model_validator(mode="after")
    def _ranges(self) -> RandomResizedCrop:
        _ordered("scale", self.scale)
        _ordered("ratio", self.ratio)
        return self

    def side_after(self, side: int, image_size: int) -> int:
        """The image size, whatever came in; ValueError where the narrowest cut would be thinner than a pixel."""
        if round(min(side * self.ratio[1], side / self.ratio[0])) < 1:
            raise ValueError(f"augment.RandomResizedCrop.ratio: too narrow for a photo of {side} px")
        return image_size


class RandomRotation(Step):
    """Tilts the photo by a random angle."""

    kind: Literal["RandomRotation"] = "RandomRotation"
    degrees: tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-180, le=180)]] = Field(
        (-15.0, 15.0), description="The angle in degrees, from and to; positive turns counter-clockwise."
    )
    expand: bool = Field(False, description="Show the whole tilted photo, smaller, instead of cutting corners.")
    center: tuple[Chance, Chance] = CENTER
    interpolation: Interpolation = INTERPOLATION
    fill: int = FILL

    @model_validator(mode="after")
    def _ranges(self) -> RandomRotation:
        _ordered("degrees", self.degrees)
        return self


class Pad(Step):
    """Adds a frame around the photo; the result is scaled back to the image size."""

    kind: Literal["Pad"] = "Pad"
    padding: int = Field(4, ge=1, le=512, description="Width of the frame, in pixels.")
    padding_mode: PaddingMode = Field("constant", description="What the frame shows.")
    fill: int = FILL

    def side_after(self, side: int, image_size: int) -> int:
        """The side with the frame on both ends."""
        _mirrorable("Pad", self.padding_mode, self.padding, side)
        return side + 2 * self.padding


class RandomAffine(Step):
    """Turns, shifts, scales and shears in one go."""

    kind: Literal["RandomAffine"] = "RandomAffine"
    degrees: tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-180, le=180)]] = Field(
        (-10.0, 10.0), description="The angle in degrees, from and to."
    )
    translate: tuple[Chance, Chance] = Field(
        (0.1, 0.1), description="Largest shift sideways and up or down, as a part of the photo."
    )
    scale: tuple[Annotated[float, Field(ge=0.01, le=4)], Annotated[float, Field(ge=0.01, le=4)]] = Field(
        (0.9, 1.1), description="Size, from and to: 1 leaves it as it is."
    )
    shear: tuple[Annotated[float, Field(ge=-60, le=60)], Annotated[float, Field(ge=-60, le=60)]] = Field(
        (0.0, 0.0), description="Slant in degrees, from and to."
    )
    center: tuple[Chance, Chance] = CENTER
    interpolation: Interpolation = INTERPOLATION
    fill: int = FILL

    @model_validator(mode="after")
    def _ranges(self) -> RandomAffine:
        for name in ("degrees", "scale", "shear"):
            _ordered(name, getattr(self, name))
        return self


class GaussianNoise(Step):
    """Adds grain, as a camera does in the dark."""

    kind: Literal["GaussianNoise"] = "GaussianNoise"
    mean: float = Field(0.0, ge=-1, le=1, description="Shift of all values, on a scale where white is 1.")
    sigma: float = Field(0.05, ge=0, le=1, description="Strength of the grain, on a scale where white is 1.")
    clip: bool = Field(True, description="Cut off what gets darker than black or brighter than white; off, it wraps.")


AnyStep = Annotated[
    ColorJitter
    | RandomHorizontalFlip
    | RandomVerticalFlip
    | RandomGrayscale
    | RandomCrop
    | RandomResizedCrop
    | RandomRotation
    | Pad
    | RandomAffine
    | GaussianNoise,
    Field(discriminator="kind"),
]
STEPS: tuple[type[Step], ...] = (
    ColorJitter, RandomHorizontalFlip, RandomVerticalFlip, RandomGrayscale, RandomCrop,
    RandomResizedCrop, RandomRotation, Pad, RandomAffine, GaussianNoise,
)  # fmt: skip


def recommended() -> tuple[AnyStep, ...]:
    """The course's recipe for photos of things with an up and a down: place, mirror, tilt, light, colour."""
    return (
        RandomResizedCrop(scale=(0.6, 1.0)),
        RandomHorizontalFlip(),
        RandomRotation(degrees=(-15, 15)),
        ColorJitter(),
        RandomGrayscale(),
    )


def check(steps: Sequence[AnyStep], size: int) -> None:
    """Raise ValueError, in a sentence, for what torchvision would refuse in the middle of a run on `size` px."""
    least = most = size  # sides of the smallest and the largest square that the draws can make
    for step in steps:
        least, most = step.side_after(least, size), step.side_after(most, size)
        if isinstance(step, RandomRotation) and step.expand:
            most = ceil(most * sqrt(2)) + 2  # the diagonal; torchvision rounds both ends outward
        if most > MAX_SIDE:
            raise ValueError(f"augment.{step.kind}: photos would grow to {most} px; the limit is {MAX_SIDE}")


def build(steps: Sequence[AnyStep], size: int) -> Pipeline | None:
    """The pipeline as a function of photos uint8 (B, size, size, 3) and a seed for each; None for no steps.

    Where a step changes the size, the end result is scaled back. Raises ConfigError for a step that cannot take
    what the steps before it leave.
    """
    if not steps:
        return None
    try:
        check(steps, size)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    from catfish_core.data.augmenting import Pipeline

    return Pipeline(steps, size)


def preview(photo: Photo, steps: Sequence[AnyStep], seed: int, count: int = 9) -> list[Photo]:
    """`count` draws of the pipeline on one photo, uint8 (S, S, 3): the same for the same seed."""
    augment = build(steps, len(photo))
    if augment is None:
        return [photo] * count
    from catfish_core.data.augmenting import sample_seeds

    return list(augment([photo] * count, sample_seeds(seed, range(count))))
