"""A pen with an unsteady hand: smooth wobbly shapes with ink lines of changing weight.  [no torch]"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageDraw

Color = tuple[int, int, int]
Paint = Color | int  # on a mask a colour is a grey, 0 to 255
Point = tuple[float, float]
Matrix = tuple[float, float, float, float, float, float]

STEPS = 6  # points of a curve between two control points


def mix(a: Color, b: Color, t: float) -> Color:
    """The colour a part `t` of the way from `a` to `b`."""
    return (round(a[0] + (b[0] - a[0]) * t), round(a[1] + (b[1] - a[1]) * t), round(a[2] + (b[2] - a[2]) * t))


def shade(color: Color, t: float) -> Color:
    """`color` made darker (t < 0) or lighter (t > 0), at most to black or white at ±1."""
    return mix(color, (0, 0, 0) if t < 0 else (255, 255, 255), abs(t))


def smooth(points: Sequence[Point], closed: bool) -> list[Point]:
    """A Catmull-Rom curve through `points`. A point given twice in a row makes a corner."""
    n = len(points)
    curve: list[Point] = []
    for i in range(n if closed else n - 1):
        x0, y0 = points[i - 1] if closed or i else points[0]
        x1, y1 = points[i]
        x2, y2 = points[(i + 1) % n]
        x3, y3 = points[(i + 2) % n] if closed or i + 2 < n else points[-1]
        if x1 == x2 and y1 == y2:
            continue
        ax, bx, cx = 2 * x1 - 2 * x2 + (x2 - x0 + x3 - x1) / 2, 0.0, (x2 - x0) / 2
        ay, by, cy = 2 * y1 - 2 * y2 + (y2 - y0 + y3 - y1) / 2, 0.0, (y2 - y0) / 2
        bx, by = x2 - x1 - cx - ax, y2 - y1 - cy - ay
        for k in range(STEPS):
            t = k / STEPS
            curve.append((((ax * t + bx) * t + cx) * t + x1, ((ay * t + by) * t + cy) * t + y1))
    return curve if closed else [*curve, points[-1]]


def sharp(points: Sequence[Point]) -> list[Point]:
    """`points` as corners of a smooth shape, which they join with straight lines."""
    return [point for point in points for _ in (0, 1)]


def normals(curve: Sequence[Point], closed: bool) -> list[Point]:
    """Unit vectors at right angles to `curve`, one per point."""
    n = len(curve)
    found = []
    for i in range(n):
        x0, y0 = curve[i - 1] if closed or i else curve[0]
        x1, y1 = curve[(i + 1) % n] if closed or i + 1 < n else curve[-1]
        dx, dy = x1 - x0, y1 - y0
        length = math.hypot(dx, dy) or 1.0
        found.append((dy / length, -dx / length))
    return found


class Pen:
    """Draws in a frame of its own on a shared image.

    One unit is whatever `at` made of it. `weight` is the line's width in units of the outermost frame, in
    which the picture is 2 units wide and reaches from -1 to 1 both ways.
    """

    def __init__(self, image: Image.Image, rng: random.Random, ink: Color, weight: float) -> None:
        self.image, self.rng, self.ink, self.weight = image, rng, ink, weight
        self.draw = ImageDraw.Draw(image)
        half = image.width / 2
        self.pixel = half
        self.matrix: Matrix = (half, 0.0, half, 0.0, half, half)

    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0, flip: bool = False) -> Pen:
        """A pen whose origin lies at (x, y) of this one's frame; `angle` in degrees, clockwise on the page."""
        pen = object.__new__(Pen)
        pen.__dict__.update(self.__dict__)
        a, b, c, d, e, f = self.matrix
        sx = -scale if flip else scale
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        pen.matrix = (
            (a * cos + b * sin) * sx, (b * cos - a * sin) * scale, a * x + b * y + c,
            (d * cos + e * sin) * sx, (e * cos - d * sin) * scale, d * x + e * y + f,
        )  # fmt: skip
        return pen

    @property
    def unit(self) -> float:
        """Pixels per unit."""
        return math.hypot(self.matrix[0], self.matrix[3])

    def placed(self, points: Sequence[Point], wobble: float = 0.012) -> list[Point]:
        """`points` in pixels, each a little off as a hand would have it."""
        a, b, c, d, e, f = self.matrix
        r, slip = self.rng.random, wobble * self.unit
        moved = []
        last: tuple[Point, Point] | None = None
        for x, y in points:
            if last and last[0] == (x, y):  # a corner stays a corner
                moved.append(last[1])
                continue
            here = (a * x + b * y + c + (r() * 2 - 1) * slip, d * x + e * y + f + (r() * 2 - 1) * slip)
            last = ((x, y), here)
            moved.append(here)
        return moved

    def curve(self, points: Sequence[Point], wobble: float = 0.012) -> list[Point]:
        """A closed smooth shape through `points`, in pixels."""
        return smooth(self.placed(points, wobble), closed=True)

    def fill(self, curves: Sequence[Sequence[Point]], color: Paint, line: float = 1.0) -> None:
        """Fill shapes given in pixels as one, with a common outline of `line` times the pen's weight."""
        if line > 0:
            for curve in curves:
                self.draw.polygon(self._swollen(curve, line), fill=self.ink)
        for curve in curves:
            self.draw.polygon(curve, fill=color)

    def _swollen(self, curve: Sequence[Point], line: float) -> list[Point]:
        """`curve` pushed outwards by a line that is now thicker, now thinner."""
        area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(curve, [*curve[1:], curve[0]], strict=True))
        width = self.weight * self.pixel * line * (1 if area > 0 else -1)
        phase, waves = self.rng.random() * 6.283, self.rng.choice((1, 2, 3))
        turn = 6.283 * waves / len(curve)
        return [
            (x + nx * w, y + ny * w)
            for i, ((x, y), (nx, ny)) in enumerate(zip(curve, normals(curve, True), strict=True))
            for w in (width * (1 + 0.45 * math.sin(phase + i * turn)),)
        ]

    def blob(self, points: Sequence[Point], color: Paint, line: float = 1.0, wobble: float = 0.012) -> list[Point]:
        """A filled, outlined smooth shape; its outline in pixels."""
        curve = self.curve(points, wobble)
        self.fill([curve], color, line)
        return curve

    def ring(self, x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> list[Point]:
        """An oval as control points."""
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        corners = [(math.cos(k * math.pi / 4) * rx, math.sin(k * math.pi / 4) * ry) for k in range(8)]
        return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in corners]

    def oval(
        self, x: float, y: float, rx: float, ry: float, color: Paint, line: float = 1.0, angle: float = 0.0
    ) -> list[Point]:
        """A filled, outlined oval; its outline in pixels."""
        return self.blob(self.ring(x, y, rx, ry, angle), color, line, wobble=0.06 * min(rx, ry))

    def limb(
        self, points: Sequence[Point], width: float, color: Paint, line: float = 1.0, tip: float = 1.0
    ) -> list[Point]:
        """A thick rounded line, as for a tail or an arm, `width` units across and `tip` times that at its end."""
        outline = self.tube(points, width, tip)
        self.fill([outline], color, line)
        return outline

    def tube(self, points: Sequence[Point], width: float, tip: float = 1.0) -> list[Point]:
        """The outline of a limb, in pixels."""
        curve = smooth(self.placed(points), closed=False)
        half, n = width * self.unit / 2, len(curve) - 1
        across = normals(curve, False)
        radii = [half * (1 + (tip - 1) * i / n) for i in range(n + 1)]
        left = [(x + nx * r, y + ny * r) for (x, y), (nx, ny), r in zip(curve, across, radii, strict=True)]
        right = [(x - nx * r, y - ny * r) for (x, y), (nx, ny), r in zip(curve, across, radii, strict=True)]
        return [
            *left,
            *_cap(curve[-1], across[-1], radii[-1]),
            *reversed(right),
            *_cap(curve[0], _back(across[0]), radii[0]),
        ]

    def stroke(self, points: Sequence[Point], width: float = 1.0, color: Color | None = None) -> None:
        """A brush stroke: thin where it begins and ends, `width` times the pen's weight in the middle."""
        curve = smooth(self.placed(points), closed=False)
        n = len(curve) - 1
        half = self.weight * self.pixel * width * 0.5
        radii = [half * (0.35 + 0.9 * math.sin(math.pi * (i + 0.35) / (n + 0.7))) for i in range(n + 1)]
        across = normals(curve, False)
        left = [(x + nx * r, y + ny * r) for (x, y), (nx, ny), r in zip(curve, across, radii, strict=True)]
        right = [(x - nx * r, y - ny * r) for (x, y), (nx, ny), r in zip(curve, across, radii, strict=True)]
        self.draw.polygon([*left, *reversed(right)], fill=color or self.ink)

    def inside(
        self, shapes: Sequence[Sequence[Point]], color: Color, paint: Callable[[Pen], None], opacity: float = 1.0
    ) -> None:
        """Whatever `paint` draws (in white, on black) appears in `color`, but only inside `shapes` (in pixels)."""
        mask = Image.new("L", self.image.size)
        into = ImageDraw.Draw(mask)
        for shape in shapes:
            into.polygon(shape, fill=round(255 * opacity))
        pattern = Image.new("L", self.image.size)
        pen = self.at(0, 0)
        pen.image, pen.draw, pen.ink = pattern, ImageDraw.Draw(pattern), 255  # type: ignore[assignment]
        paint(pen)
        self.image.paste(color, mask=ImageChops.darker(mask, pattern))

    def veil(self, shape: Sequence[Point], color: Color, opacity: float) -> None:
        """Lay a transparent colour over `shape`, given in pixels."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(shape, fill=round(255 * opacity))
        self.image.paste(color, mask=mask)


def _cap(end: Point, across: Point, radius: float) -> list[Point]:
    """A half circle around the end of a limb, from its left to its right."""
    start = math.atan2(across[1], across[0])
    turns = (start + math.pi * k / 6 for k in range(1, 6))
    return [(end[0] + math.cos(t) * radius, end[1] + math.sin(t) * radius) for t in turns]


def _back(vector: Point) -> Point:
    return (-vector[0], -vector[1])
