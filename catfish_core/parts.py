"""The parts of a network: which of them are trained, and at which share of the learning rate.  [no torch]

A part is a stage of the catalogue's row, or the head. Every parameter belongs to exactly one: what stands between two
stages, to the one before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from catfish_core.catalog import Arch, Preset
from catfish_core.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1000)]
COURSE = (1.0, 1 / 3, 1 / 9)  # of the learning rate: for the head, the last stage and the one before
SIZES = Path(__file__).with_name("part_sizes.json")  # `python -m catfish_core.models.sizes` writes it


class PartsConfig(BaseModel):
    """Which parts of the network are trained, and how fast."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: Preset = Field(
        "everything",
        description="everything; head_only; course: the head at the learning rate, the last stage at a third of it, "
        "the one before at a ninth; gradual: the head first, then one stage more every few epochs, each time at half "
        "the rate; own: as `rates` says.",
    )
    rates: Mapping[str, Share] = Field(
        {}, description="own: part → its share of the learning rate; what is 0 or not named here is frozen."
    )
    every: int = Field(2, ge=1, le=10_000, description="gradual: epochs until one stage more is trained.")


def shares(config: PartsConfig, arch: Arch, epoch: int) -> dict[str, float]:
    """Every part of `arch`, first to head, with its share of the learning rate in `epoch` (from 0); 0: frozen.

    course: 1, 1/3, 1/9 from the head backwards. gradual: after t = epoch // every thaws the head and the t stages
    before it, all at 1 / 2^t, until there is nothing left to thaw: the order is that of ULMFiT's gradual unfreezing
    (Howard & Ruder, 2018), the halving fastai's habit.
    """
    names = arch.parts
    if config.preset == "own":
        return {name: float(config.rates.get(name, 0.0)) for name in names}
    backwards = {
        "everything": (1.0,) * len(names),
        "head_only": (1.0,),
        "course": COURSE,
        "gradual": _thawed(min(epoch // config.every, len(names) - 1)),
    }[config.preset]
    padded = (*backwards, *(0.0,) * len(names))[: len(names)]
    return dict(zip(names, reversed(padded), strict=True))


def _thawed(times: int) -> tuple[float, ...]:
    return (0.5**times,) * (times + 1)


def ever(config: PartsConfig, arch: Arch, epochs: int) -> dict[str, float]:
    """The shares of the last of `epochs`: nothing that was trained is ever frozen again."""
    return shares(config, arch, epochs - 1)


def thaws(config: PartsConfig, arch: Arch, epochs: int) -> dict[str, int]:
    """Part → the epoch (from 0) with which its training begins, for those trained within `epochs`; first to head."""
    if config.preset != "gradual":
        return {name: 0 for name, share in shares(config, arch, 0).items() if share}
    starts = {name: number * config.every for number, name in enumerate(reversed(arch.parts))}
    return {name: starts[name] for name in arch.parts if starts[name] < epochs}


def head_alone(config: PartsConfig, arch: Arch, epochs: int) -> bool:
    """Whether nothing but the head is trained in any of `epochs`."""
    return {name for name, share in ever(config, arch, epochs).items() if share} == {arch.head}


def check(config: PartsConfig, arch: Arch, pretrained: bool) -> None:
    """Raise ConfigError for parts that are not there, rates nobody asked for, and freezing that cannot help."""
    if config.rates and config.preset != "own":
        raise ConfigError(
            f"parts.rates: they are for the preset own, and the preset is {config.preset}, which has its own.",
            "Set parts.preset=own, or leave the rates out.",
        )
    strange = [name for name in config.rates if name not in arch.parts]
    if strange:
        raise ConfigError(
            f"parts.rates: {arch.name} has no part called “{strange[0]}”.", f"There are: {', '.join(arch.parts)}."
        )
    now = shares(config, arch, 0)
    if not any(now.values()):
        raise ConfigError(
            f"parts.rates: every part of {arch.name} is frozen, so there is nothing to train.",
            f'Give at least the head a rate: {{"{arch.head}": 1}}.',
        )
    if not pretrained and not all(now.values()):
        raise ConfigError(
            "parts.preset: a frozen part of a network that knows nothing would stay random; only a pretrained one "
            "can be frozen.",
            "Switch pretrained on, or train everything.",
        )
    if not now[arch.head]:
        raise ConfigError(
            f"parts.rates: the head of {arch.name} is new and knows nothing, so it cannot be frozen.",
            f'Give it a rate: {{"{arch.head}": 1}}.',
        )


def sizes(arch: Arch, pretrained: bool, classes: int, image_size: int) -> dict[str, int]:
    """Every part of `arch`, first to head, with how many parameters it has.

    The helper outputs with which GoogLeNet and Inception learn from scratch do not count.
    """
    known = _table()[arch.id]
    fixed, per_class = known["head"]["pretrained" if pretrained else "scratch"]
    pixels = known.get("per_pixel", {})  # of SimpleNet's first layer, which looks at each by itself
    stages = {name: known["stages"][name] + pixels.get(name, 0) * image_size**2 for name in arch.stages}
    return {**stages, arch.head: fixed + per_class * classes}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(SIZES.read_text(encoding="utf-8"))
    return table
