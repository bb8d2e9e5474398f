"""Fish: round, long, tall or spiky, swimming to the left of the frame they are given.  [no torch]"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from catfish_core.data.drawing.look import PINK, Gaze, Look, eye, hatch
from catfish_core.data.drawing.pen import Pen, Point, mix, shade


@dataclass(frozen=True)
class Shape:
    """A kind of fish: how high its back and belly are at the middle, how thick the root of its tail."""

    back: float
    belly: float
    root: float
    tail: float
    snout: float = 0.5


def _body(shape: Shape) -> list[Point]:
    up, down, root, snout = shape.back, shape.belly, shape.root, shape.snout
    return [
        (-0.86, 0.02), (-0.72, -up * snout), (-0.35, -up * 0.93), (0.0, -up), (0.34, -up * 0.62), (0.6, -root),
        (0.6, root), (0.34, down * 0.62), (0.0, down), (-0.35, down * 0.95), (-0.7, down * snout),
    ]  # fmt: skip


def _tail(pen: Pen, shape: Shape, look: Look) -> None:
    h, r = shape.tail, shape.root
    kind = pen.rng.choice(("fork", "fan", "veil", "round"))
    far = pen.rng.uniform(0.95, 1.12)
    if kind == "fork":
        points = [
            (0.52, -r),
            (0.76, -h * 0.6),
            (far, -h),
            (far, -h),
            (0.86, 0.0),
            (far, h),
            (far, h),
            (0.76, h * 0.6),
            (0.52, r),
        ]
    elif kind == "fan":
        points = [
            (0.52, -r),
            (far - 0.1, -h),
            (far - 0.1, -h),
            (far, -h * 0.3),
            (far, h * 0.3),
            (far - 0.1, h),
            (far - 0.1, h),
            (0.52, r),
        ]
    elif kind == "veil":
        points = [(0.5, -r), (0.8, -h * 0.8), (far + 0.08, -h * 1.1), (far - 0.02, -0.3 * h), (far + 0.1, 0.1 * h),
                  (far - 0.04, 0.5 * h), (far + 0.08, h * 1.25), (0.78, h * 0.8), (0.5, r)]  # fmt: skip
    else:
        points = [(0.52, -r), (0.78, -h * 0.8), (far, -h * 0.5), (far + 0.02, h * 0.5), (0.78, h * 0.8), (0.52, r)]
    pen.blob(points, look.second)
    for t in (-0.55, 0.0, 0.55):
        pen.stroke([(0.64, t * r), (0.88, t * h * 0.9)], 0.7, shade(look.second, -0.3))


def _fin(pen: Pen, points: list[Point], look: Look, rays: int = 4) -> None:
    """A fin between its first and last point, with rays towards its rim."""
    pen.blob(points, look.second, wobble=0.02)
    (x0, y0), (x1, y1) = points[0], points[-1]
    rim = points[1:-1]
    for k in range(rays):
        t = (k + 0.5) / rays
        x, y = rim[min(len(rim) - 1, int(t * len(rim)))]
        bx, by = x0 + (x1 - x0) * t, y0 + (y1 - y0) * t
        pen.stroke([(bx, by), (bx + (x - bx) * 0.75, by + (y - by) * 0.75)], 0.7, shade(look.second, -0.3))


def _back_fin(pen: Pen, shape: Shape, look: Look) -> None:
    up, high = shape.back * 0.8, shape.back + pen.rng.uniform(0.12, 0.34)
    if pen.rng.random() < 0.5:
        _fin(pen, [(-0.4, -up), (-0.2, -high), (0.15, -high * 0.95), (0.4, -up * 0.85), (0.36, -up * 0.5)], look)
        return
    spikes: list[Point] = [(-0.42, -up)]
    for k in range(4):
        x = -0.34 + 0.19 * k
        spikes += [(x, -high + 0.05 * k), (x, -high + 0.05 * k), (x + 0.09, -up * 1.05 + 0.04 * k)]
    _fin(pen, [*spikes, (0.4, -up * 0.5)], look, 0)


def _scales(pen: Pen, body: list[Point], color: tuple[int, int, int]) -> None:
    def arcs(page: Pen) -> None:
        for row in range(-4, 5):
            for k in range(6):
                x, y = -0.24 + 0.16 * k + 0.08 * (row % 2), row * 0.125
                page.stroke([(x - 0.02, y - 0.065), (x + 0.05, y), (x - 0.02, y + 0.065)], 1.15)

    pen.inside([body], color, arcs)


def _marks(pen: Pen, body: list[Point], shape: Shape, look: Look) -> None:
    rng = pen.rng
    scaly = rng.random() < 0.85
    if not scaly:
        hatch(pen, [body], look.deep, rng.uniform(-0.6, 0.6))
    if look.marks == "stripes":
        count = rng.choice((2, 3, 4, 5))

        def stripes(page: Pen) -> None:
            for k in range(count):
                x = -0.3 + 0.8 * (k + 0.5) / count
                page.limb([(x, -1), (x + rng.uniform(0.02, 0.1), 0), (x, 1)], 0.36 / count + 0.03, 255, 0)

        pen.inside([body], look.second, stripes)
    elif look.marks in ("spots", "patches"):
        few = look.marks == "patches"

        def spots(page: Pen) -> None:
            for _ in range(4 if few else 16):
                r = rng.uniform(0.16, 0.3) if few else rng.uniform(0.04, 0.08)
                page.oval(rng.uniform(-0.6, 0.6), rng.uniform(-shape.back, shape.belly), r, r * 0.8, 255, 0)

        pen.inside([body], look.second, spots)
    elif look.marks == "belly":

        def belly(page: Pen) -> None:
            page.blob(
                [(-1, 0.12), (-0.4, shape.belly * 0.3), (0.3, shape.belly * 0.2), (0.8, 0.0), (0.8, 1), (-1, 1)],
                255,
                0,
            )

        pen.inside([body], look.pale, belly)
    if scaly:
        _scales(pen, body, shade(look.coat, -0.3))


def _face(pen: Pen, shape: Shape, look: Look) -> None:
    rng = pen.rng
    x, y = -0.55, -shape.back * 0.28
    r = min(0.18, max(0.11, shape.back * 0.32)) * rng.uniform(0.85, 1.15)
    pen.stroke([(-0.3, -shape.back * 0.55), (-0.22, 0.0), (-0.32, shape.belly * 0.6)], 1.1)
    gaze: Gaze = "sleepy" if look.gaze == "sleepy" and rng.random() < 0.5 else "dot" if rng.random() < 0.2 else "iris"
    eye(pen, x, y, r, look, gaze, slit=False, aside=-0.5)
    if look.blush:
        pen.oval(x + 0.06, y + r * 1.9, 0.1, 0.06, mix(PINK, look.coat, 0.25), 0)
    if rng.random() < 0.65:
        pen.stroke([(-0.84, 0.06), (-0.74, 0.13), (-0.62, 0.08)], 1.1)
    else:
        pen.oval(-0.84, 0.05, 0.07, 0.08, look.deep, 0.9)


def _swim(pen: Pen, look: Look, shape: Shape) -> None:
    rng = pen.rng
    _tail(pen, shape, look)
    _back_fin(pen, shape, look)
    down = shape.belly * 0.8
    _fin(pen, [(0.05, down), (0.2, shape.belly + 0.2), (0.36, shape.belly + 0.1), (0.36, down * 0.5)], look, 3)
    if rng.random() < 0.6:
        _fin(pen, [(-0.3, down), (-0.2, shape.belly + 0.22), (-0.06, shape.belly + 0.1), (-0.08, down)], look, 3)
    body = pen.blob(_body(shape), look.coat)
    _marks(pen, body, shape, look)
    _face(pen, shape, look)
    droop = rng.uniform(0.02, 0.2)
    _fin(pen, [(-0.14, 0.02), (0.12, droop - 0.08), (0.2, droop + 0.1), (-0.1, 0.18)], look, 3)


def goldfish(pen: Pen, look: Look) -> None:
    """Plump, with a generous tail."""
    h = pen.rng.uniform(0.44, 0.56)
    _swim(pen, look, Shape(h, h * pen.rng.uniform(0.9, 1.1), 0.12, pen.rng.uniform(0.4, 0.55)))


def trout(pen: Pen, look: Look) -> None:
    """Long and lean."""
    h = pen.rng.uniform(0.26, 0.34)
    _swim(pen, look, Shape(h, h * 0.95, 0.1, pen.rng.uniform(0.26, 0.36), 0.6))


def reef(pen: Pen, look: Look) -> None:
    """Middling, like most fish in a tank."""
    h = pen.rng.uniform(0.36, 0.46)
    _swim(pen, look, Shape(h, h * pen.rng.uniform(0.8, 1.1), 0.12, pen.rng.uniform(0.32, 0.45)))


def angelfish(pen: Pen, look: Look) -> None:
    """Tall, with long fins above and below."""
    reach = pen.rng.uniform(0.9, 1.05)
    pen.blob([(-0.2, -0.45), (0.1, -0.75), (0.5, -reach), (0.5, -reach), (0.36, -0.5), (0.36, -0.2)], look.second)
    pen.blob([(-0.2, 0.45), (0.1, 0.75), (0.5, reach), (0.5, reach), (0.36, 0.5), (0.36, 0.2)], look.second)
    for s in (-1, 1):
        pen.stroke([(0.1, s * 0.5), (0.26, s * 0.66), (0.42, s * reach * 0.86)], 0.7, shade(look.second, -0.3))
    shape = Shape(0.6, 0.6, 0.1, 0.34, 0.36)
    _tail(pen, shape, look)
    body = pen.blob(_body(shape), look.coat)
    _marks(pen, body, shape, look)
    _face(pen, shape, look)
    _fin(pen, [(-0.14, 0.04), (0.1, 0.0), (0.16, 0.16), (-0.1, 0.2)], look, 3)


def puffer(pen: Pen, look: Look) -> None:
    """A ball with prickles and a very small tail."""
    turns = [k * math.pi / 9 for k in range(18) if k not in (0, 9)]
    for t in turns:
        x, y = -0.1 + 0.72 * math.cos(t), 0.68 * math.sin(t)
        x1, y1 = -0.1 + 0.9 * math.cos(t), 0.86 * math.sin(t)
        pen.limb([(x, y), (x1, y1)], 0.1, look.second, 0.7, 0.25)
    shape = Shape(0.66, 0.66, 0.14, 0.3, 0.66)
    _tail(pen, shape, look)
    body = pen.oval(-0.1, 0, 0.76, 0.68, look.coat)
    _marks(pen, body, shape, look)
    _face(pen, shape, look)
    _fin(pen, [(0.0, 0.02), (0.24, -0.1), (0.32, 0.1), (0.22, 0.26), (0.04, 0.2)], look, 3)


POSES: tuple[tuple[Callable[[Pen, Look], None], float], ...] = (
    (goldfish, 3.0),
    (reef, 3.0),
    (trout, 2.5),
    (angelfish, 1.4),
    (puffer, 0.9),
)
