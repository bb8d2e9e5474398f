"""The curve of a sweep as a picture, drawn with Pillow: a plotting library would be a requirement for one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from catfish_core.events import Advised
from catfish_core.training.lr_finder import Curve, Phases

WIDTH, HEIGHT = 1000, 600  # pixels
LEFT, TOP, RIGHT, BOTTOM = 80, 60, 975, 510  # of the plane the curve lies in
FINER = 2  # drawn that much larger and shrunk, which smooths the lines
INK, PALE, GRID, RAW, LINE, MARK = "#1f2933", "#6b7785", "#e3e8ee", "#b6c4d4", "#1c6dd0", "#d9480f"
PHASES = (("#f4f6f8", "too small"), ("#eaf5ee", "learning"), ("#fdeeea", "diverging"))


@dataclass(frozen=True)
class _Plane:
    """Where a rate and a loss lie in the picture."""

    low: float
    high: float
    bottom: float
    top: float
    log: bool

    def x(self, lr: float) -> float:
        """Pixels from the left."""
        low, high, at = (math.log10(v) for v in (self.low, self.high, lr)) if self.log else (self.low, self.high, lr)
        return LEFT + (RIGHT - LEFT) * (at - low) / ((high - low) or 1)

    def y(self, loss: float) -> float:
        """Pixels from the top; what is higher than the plane lies on its edge."""
        part = (min(max(loss, self.bottom), self.top) - self.bottom) / ((self.top - self.bottom) or 1)
        return BOTTOM - (BOTTOM - TOP) * part


def draw(curve: Curve, borders: Phases, advised: Advised, *, log: bool = True) -> Image.Image:
    """The losses over the rates, raw and smoothed, the three phases and the suggestions; at least one point."""
    pen = _Pen()
    known = [loss for loss in curve.smoothed if math.isfinite(loss)] or [0.0, 1.0]
    first, low = known[0], min(known)
    top = min(max(known), first + (first - low) + 0.1 * abs(first)) + 0.05 * abs(first)
    plane = _Plane(curve.lrs[0], curve.lrs[-1], low - 0.1 * ((top - low) or 1), top, log)
    _phases(pen, plane, borders)
    _axes(pen, plane)
    pen.curve([(plane.x(lr), plane.y(loss)) for lr, loss in zip(curve.lrs, curve.losses, strict=True)], RAW, 1)
    pen.curve([(plane.x(lr), plane.y(loss)) for lr, loss in zip(curve.lrs, curve.smoothed, strict=True)], LINE, 3)
    _suggestions(pen, plane, advised)
    pen.text(LEFT, 14, _title(advised), INK, 20)
    return pen.finished()


def _title(advised: Advised) -> str:
    return "No rate is recommended" if advised.rate is None else f"Learning rate {advised.rate:.2g} is recommended"


def _phases(pen: _Pen, plane: _Plane, borders: Phases) -> None:
    """The three phases as fields, as far as they were found."""
    small = borders.too_small_until or plane.low
    diverging = borders.diverges_from or plane.high
    edges = [plane.x(lr) for lr in (plane.low, small, diverging, plane.high)]
    for (color, name), left, right in zip(PHASES, edges, edges[1:], strict=False):
        if right > left:
            pen.box(left, TOP, right, BOTTOM, color)
            pen.text((left + right) / 2, BOTTOM - 24, name, PALE, 14, "ma")


def _axes(pen: _Pen, plane: _Plane) -> None:
    for lr in _decades(plane) if plane.log else [plane.low + (plane.high - plane.low) * k / 5 for k in range(6)]:
        pen.line(plane.x(lr), TOP, plane.x(lr), BOTTOM, GRID)
        pen.text(plane.x(lr), BOTTOM + 8, f"{lr:.0e}" if plane.log else f"{lr:.3g}", PALE, 14, "ma")
    for k in range(6):
        loss = plane.bottom + (plane.top - plane.bottom) * k / 5
        pen.line(LEFT, plane.y(loss), RIGHT, plane.y(loss), GRID)
        pen.text(LEFT - 8, plane.y(loss), f"{loss:.2f}", PALE, 14, "rm")
    pen.text((LEFT + RIGHT) / 2, BOTTOM + 34, "learning rate (the head's)", INK, 15, "ma")
    pen.text(LEFT - 8, TOP - 30, "loss", INK, 15, "ra")


def _decades(plane: _Plane) -> list[float]:
    first, last = math.ceil(math.log10(plane.low) - 1e-9), math.floor(math.log10(plane.high) + 1e-9)
    return [10.0**k for k in range(first, last + 1)]


def _suggestions(pen: _Pen, plane: _Plane, advised: Advised) -> None:
    """A line for each suggestion inside the plane; names of neighbours stand on lines of their own."""
    inside = [(rate, name) for name, rate in advised.suggestions.items() if rate and plane.low <= rate <= plane.high]
    for number, (rate, name) in enumerate(sorted(inside)):
        chosen = name == advised.recommended
        pen.line(plane.x(rate), TOP, plane.x(rate), BOTTOM, MARK if chosen else PALE, 3 if chosen else 1)
        pen.text(plane.x(rate) + 6, TOP + 6 + 20 * number, f"{name} {rate:.2g}", MARK if chosen else INK, 14)


class _Pen:
    """Draws in the picture's pixels on a larger sheet."""

    def __init__(self) -> None:
        self.sheet = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), "white")
        self.on = ImageDraw.Draw(self.sheet)

    def line(self, x0: float, y0: float, x1: float, y1: float, color: str, width: int = 1) -> None:
        """A straight line."""
        self.curve([(x0, y0), (x1, y1)], color, width)

    def curve(self, points: Sequence[tuple[float, float]], color: str, width: int) -> None:
        """A line through `points`; those that are no numbers are left out."""
        known = [(x * FINER, y * FINER) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        if len(known) > 1:
            self.on.line(known, color, width * FINER, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float, color: str) -> None:
        """A filled rectangle."""
        self.on.rectangle((x0 * FINER, y0 * FINER, x1 * FINER, y1 * FINER), color)

    def text(self, x: float, y: float, text: str, color: str, size: int, anchor: str = "la") -> None:
        """`text`, anchored as Pillow names it."""
        font = ImageFont.load_default(size * FINER)
        self.on.text((x * FINER, y * FINER), text, color, font, anchor)

    def finished(self) -> Image.Image:
        """The picture."""
        return self.sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
