"""What an animal looks like, drawn from the same box of crayons for every kind of animal.  [no torch]"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from catfish_core.data.drawing.pen import Color, Pen, Point, mix, shade

COATS: tuple[Color, ...] = (
    (238, 150, 76), (248, 224, 184), (158, 164, 176), (88, 86, 98), (250, 246, 236), (158, 112, 80),
    (112, 160, 214), (96, 184, 172), (242, 152, 172), (248, 208, 92), (218, 92, 78), (172, 144, 208),
    (136, 184, 104), (206, 178, 142),
)  # fmt: skip
EYES: tuple[Color, ...] = ((120, 190, 90), (240, 196, 70), (96, 170, 220), (224, 150, 60), (110, 200, 180))
INKS: tuple[Color, ...] = ((44, 38, 48), (58, 44, 40), (36, 44, 66), (70, 50, 66))
WHITE: Color = (255, 253, 248)
PINK: Color = (242, 150, 158)

Marks = Literal["plain", "stripes", "spots", "patches", "belly"]
Gaze = Literal["dot", "iris", "sleepy", "wink"]


@dataclass(frozen=True)
class Look:
    """Colours, markings and mood."""

    coat: Color
    second: Color
    marks: Marks
    iris: Color
    gaze: Gaze
    blush: bool

    @property
    def pale(self) -> Color:
        """The coat, lighter: bellies, muzzles."""
        return mix(self.coat, WHITE, 0.6)

    @property
    def deep(self) -> Color:
        """The coat, darker: folds and pencil hatching."""
        return shade(self.coat, -0.16)


def choose(rng: random.Random) -> Look:
    """A look by chance; the second colour always shows on the first."""
    coat = rng.choice(COATS)
    others = [shade(coat, -0.38), shade(coat, 0.5), *rng.sample(COATS, 3)]
    second = next((c for c in rng.sample(others, len(others)) if contrast(c, coat) > 70), shade(coat, -0.4))
    marks: Marks = rng.choice(("plain", "stripes", "stripes", "spots", "patches", "belly"))
    gaze: Gaze = rng.choices(("dot", "iris", "sleepy", "wink"), (4, 4, 1.2, 0.6))[0]
    return Look(coat, second, marks, rng.choice(EYES), gaze, rng.random() < 0.5)


def contrast(a: Color, b: Color) -> int:
    """How far apart two colours are, 0 to 441, roughly."""
    return round(math.dist(a, b))


def eye(pen: Pen, x: float, y: float, r: float, look: Look, gaze: Gaze, slit: bool, aside: float = 0.0) -> None:
    """An eye of radius `r`: a dot with a gleam, a coloured iris, or shut; `aside` is where it looks, -1 to 1."""
    if gaze in ("sleepy", "wink"):
        pen.stroke([(x - r, y), (x, y + r * 0.55), (x + r, y)], 1.3)
        return
    if gaze == "dot":
        pen.oval(x, y, r * 0.8, r, shade(pen.ink, -0.4), line=0)
    else:
        pen.oval(x, y, r, r * 1.08, mix(look.iris, WHITE, 0.15) if slit else WHITE, line=0.8)
        shift = aside * r * 0.3
        pen.oval(
            x + shift, y, r * (0.36 if slit else 0.6), r * (0.85 if slit else 0.65), shade(pen.ink, -0.4), line=0
        )
    pen.oval(x - r * 0.25, y - r * 0.4, r * 0.27, r * 0.27, WHITE, line=0)


def hatch(pen: Pen, shapes: list[list[Point]], color: Color, slope: float = 0.5) -> None:
    """Slanting crayon strokes inside `shapes`, so that a plain fill looks coloured in by hand."""
    rng = pen.rng
    step = rng.uniform(0.13, 0.2)

    def paint(page: Pen) -> None:
        x = -2.2
        while x < 2.2:
            top, bottom = rng.uniform(-1.3, -0.9), rng.uniform(0.9, 1.3)
            page.draw.line(
                page.placed([(x + slope, top), (x - slope, bottom)], 0.03),
                fill=255,
                width=max(1, round(rng.uniform(0.02, 0.055) * page.unit)),
            )
            x += step * rng.uniform(0.7, 1.3)

    pen.inside(shapes, color, paint, opacity=0.7)
