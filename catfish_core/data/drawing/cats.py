"""Cats: sitting, walking, loafing, curled up, or just a face at the edge of the page.  [no torch]

Every pose fills about -1..1 both ways in the frame of the pen it is given, and faces left where it has a side.
"""

from __future__ import annotations

from collections.abc import Callable

from catfish_core.data.drawing.look import PINK, Look, eye, hatch
from catfish_core.data.drawing.pen import Pen, Point, mix, shade

Shapes = list[list[Point]]


def mark(pen: Pen, shapes: Shapes, look: Look) -> None:
    """Coat markings on a body: tabby stripes, spots, patches; hatching on what stays plain."""
    rng = pen.rng
    hatch(pen, shapes, look.deep, rng.uniform(-0.6, 0.6))
    if look.marks == "stripes":

        def stripes(page: Pen) -> None:
            x = -1.0
            while x < 1.05:
                for top in (-0.45, 0.42):
                    bend = rng.uniform(-0.06, 0.1)
                    page.limb([(x, top - 0.25), (x + bend, top), (x, top + 0.22)], 0.1, 255, 0, 0.3)
                x += rng.uniform(0.19, 0.27)

        pen.inside(shapes, look.second, stripes)
    elif look.marks in ("spots", "patches"):
        few = look.marks == "patches"

        def spots(page: Pen) -> None:
            for _ in range(4 if few else 16):
                r = rng.uniform(0.2, 0.36) if few else rng.uniform(0.05, 0.09)
                page.oval(rng.uniform(-0.85, 0.85), rng.uniform(-0.5, 0.9), r, r * 0.8, 255, 0)

        pen.inside(shapes, look.second, spots)


FACE: list[Point] = [
    (0, -0.78), (0.46, -0.72), (0.84, -0.36), (1.0, 0.14), (0.84, 0.58), (0.42, 0.82), (0, 0.86),
    (-0.42, 0.82), (-0.84, 0.58), (-1.0, 0.14), (-0.84, -0.36), (-0.46, -0.72),
]  # fmt: skip
FLUFFY: list[Point] = [
    (0, -0.8), (0.46, -0.72), (0.82, -0.4), (0.95, 0.05), (1.2, 0.3), (1.2, 0.3), (0.98, 0.36), (1.08, 0.62),
    (1.08, 0.62), (0.72, 0.7), (0.36, 0.86), (0, 0.86), (-0.36, 0.86), (-0.72, 0.7), (-1.08, 0.62), (-1.08, 0.62),
    (-0.98, 0.36), (-1.2, 0.3), (-1.2, 0.3), (-0.95, 0.05), (-0.82, -0.4), (-0.46, -0.72),
]  # fmt: skip


def head(pen: Pen, look: Look, x: float, y: float, r: float, turn: float = 0.0, tilt: float = 0.0) -> None:
    """A head of radius `r` at (x, y); `turn` from -1 (looking left) to 1 moves the features."""
    rng = pen.rng
    pen = pen.at(x, y, r, tilt)
    tall, wide = rng.uniform(1.05, 1.4), rng.uniform(0.86, 0.98)
    ears = [
        pen.curve([(s * wide, 0.0), (s * wide, 0.0), (s * (wide + 0.06), -tall * 0.55), (s * 0.86, -tall),
                   (s * 0.86, -tall), (s * 0.5, -0.92), (s * 0.16, -0.7), (s * 0.16, -0.7)])
        for s in (-1, 1)
    ]  # fmt: skip
    face = pen.curve(FLUFFY if rng.random() < 0.35 else FACE, 0.02)
    pen.fill([*ears, face], look.coat)
    for s in (-1, 1):
        pen.blob([(s * 0.82, -0.36), (s * 0.82, -tall * 0.82), (s * 0.82, -tall * 0.82), (s * 0.4, -0.74)], PINK, 0)
    pen.fill([face], look.coat, 0)
    _face_marks(pen, face, look)
    _features(pen, look, turn)


def _face_marks(pen: Pen, face: list[Point], look: Look) -> None:
    rng = pen.rng
    if look.marks == "stripes":
        for dx in (-0.24, 0.0, 0.24):
            pen.limb([(dx, -0.8), (dx * 0.75, -0.42)], 0.12, look.second, 0, 0.4)
        for s in (-1, 1):
            for dy in (0.05, 0.28):
                pen.limb([(s * 0.98, dy), (s * 0.72, dy + 0.06)], 0.1, look.second, 0, 0.4)
    elif look.marks in ("patches", "spots"):
        side = rng.choice((-1, 1))

        def patch(page: Pen) -> None:
            page.oval(side * 0.5, -0.3, 0.5, 0.62, 255, 0, 20 * side)

        pen.inside([face], look.second, patch)


def _features(pen: Pen, look: Look, turn: float) -> None:
    rng, dx = pen.rng, turn * 0.16
    if look.marks != "plain" or rng.random() < 0.4:
        for s in (-1, 1):
            pen.oval(dx + s * 0.19, 0.42, 0.27, 0.22, look.pale, 0)
    size, apart = rng.uniform(0.17, 0.25), rng.uniform(0.4, 0.48)
    for s in (-1, 1):
        gaze = "dot" if look.gaze == "wink" and s < 0 else look.gaze
        eye(pen, dx * 1.3 + s * apart, -0.05, size, look, gaze, slit=True, aside=turn)
    if look.blush:
        for s in (-1, 1):
            pen.oval(dx + s * 0.66, 0.32, 0.14, 0.09, mix(PINK, look.coat, 0.25), 0)
    pen.blob([(dx - 0.1, 0.2), (dx, 0.18), (dx + 0.1, 0.2), (dx, 0.33), (dx, 0.33)], shade(PINK, -0.12), 0.6)
    pen.stroke([(dx, 0.32), (dx - 0.04, 0.45), (dx - 0.17, 0.5), (dx - 0.27, 0.42)])
    pen.stroke([(dx, 0.32), (dx + 0.04, 0.45), (dx + 0.17, 0.5), (dx + 0.27, 0.42)])
    lift = rng.uniform(-0.1, 0.12)
    for s in (-1, 1):
        for dy in (-0.12, 0.02, 0.16):
            start = (dx + s * 0.42, 0.36 + dy * 0.5)
            pen.stroke([start, (dx + s * 0.85, 0.32 + dy - lift), (dx + s * 1.3, 0.34 + dy * 1.9)], 0.95)


def _tail(pen: Pen, look: Look, points: list[Point], width: float = 0.2) -> None:
    tube = pen.limb(points, width, look.coat, tip=0.85)
    if look.marks in ("stripes", "spots", "patches"):
        (x0, y0), (x1, y1) = points[-2], points[-1]

        def rings(page: Pen) -> None:
            for t in (0.45, 1.0) if look.marks == "stripes" else (1.0,):
                page.oval(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t, width * 0.42, width * 0.42, 255, 0)

        pen.inside([tube], look.second, rings)


def _paw(pen: Pen, look: Look, x: float, y: float, r: float = 0.16) -> None:
    socks = look.marks in ("belly", "patches")
    pen.oval(x, y, r, r * 0.68, look.pale if socks else look.coat)
    for dx in (-0.3, 0.3):
        pen.stroke([(x + dx * r, y + r * 0.05), (x + dx * r, y + r * 0.55)], 0.7)


PEAR: list[Point] = [
    (-0.3, -0.15), (0.3, -0.15), (0.45, 0.3), (0.62, 0.72), (0.48, 0.97), (0, 0.99), (-0.48, 0.97), (-0.62, 0.72),
    (-0.45, 0.3),
]  # fmt: skip


def sitting(pen: Pen, look: Look) -> None:
    """From the front, tail around one side."""
    rng = pen.rng
    s = rng.choice((-1, 1))
    high = rng.uniform(-0.5, 0.3)
    _tail(pen, look, [(s * 0.35, 0.85), (s * 0.8, 0.84), (s * 0.98, 0.45), (s * 0.82, high), (s * 0.95, high - 0.2)])
    fat = rng.uniform(0.85, 1.2)
    body = pen.blob(
        [(u * fat, v) for u, v in PEAR],
        look.coat,
    )
    mark(pen, [body], look)
    if look.marks in ("belly", "patches", "plain"):
        pen.oval(0, 0.28, 0.22 * fat, 0.36, look.pale, 0)
    for side in (-1, 1):
        pen.stroke([(side * 0.46 * fat, 0.6), (side * 0.34, 0.72), (side * 0.36, 0.92)])
        pen.stroke([(side * 0.06, 0.5), (side * 0.05, 0.88)], 0.9)
        _paw(pen, look, side * 0.18, 0.94)
    head(pen, look, 0, -0.42, rng.uniform(0.5, 0.6), rng.uniform(-0.9, 0.9), rng.uniform(-14, 14))


def sitting_aside(pen: Pen, look: Look) -> None:
    """From the side, looking over."""
    rng = pen.rng
    high = rng.uniform(-0.75, 0.2)
    _tail(pen, look, [(0.4, 0.86), (0.85, 0.85), (0.9, 0.35), (0.72, high), (0.92, high - 0.2)])
    body = pen.blob(
        [(-0.42, -0.2), (0.0, -0.18), (0.42, 0.25), (0.62, 0.72), (0.42, 0.97), (-0.3, 0.98), (-0.34, 0.5)], look.coat
    )
    mark(pen, [body], look)
    pen.stroke([(0.02, 0.92), (-0.02, 0.62), (0.2, 0.46), (0.42, 0.56)], 1.1)
    pen.stroke([(-0.14, 0.5), (-0.12, 0.9)], 0.9)
    for x in (-0.34, -0.12, 0.2):
        _paw(pen, look, x, 0.94)
    head(pen, look, -0.3, -0.45, rng.uniform(0.46, 0.54), rng.uniform(-1, -0.3), rng.uniform(-16, 8))


def walking(pen: Pen, look: Look) -> None:
    """From the side, on four feet, tail up."""
    rng = pen.rng
    swing = rng.uniform(-0.14, 0.14)
    _tail(pen, look, [(0.6, 0.0), (0.86, -0.2), (0.82, -0.6), (rng.uniform(0.6, 1.0), -0.9)], 0.17)
    for x, d in ((-0.32, -swing), (0.42, swing)):
        pen.limb([(x, 0.3), (x + d, 0.86)], 0.2, look.deep)
    body = pen.blob(
        [(-0.62, -0.08), (-0.2, -0.14), (0.3, rng.uniform(-0.35, -0.1)), (0.68, 0.0), (0.72, 0.3), (0.4, 0.44),
         (-0.1, 0.42), (-0.55, 0.42), (-0.7, 0.15)],
        look.coat,
    )  # fmt: skip
    legs = [
        pen.tube([(x, 0.25), (x + d * 0.5, 0.5), (x + d, 0.86)], 0.22) for x, d in ((-0.5, swing), (0.54, -swing))
    ]
    pen.fill(legs, look.coat)
    pen.fill([body], look.coat, 0)
    mark(pen, [body, *legs], look)
    for x in (-0.53 + swing, 0.51 - swing):
        _paw(pen, look, x, 0.9, 0.15)
    head(pen, look, -0.62, -0.3, rng.uniform(0.4, 0.47), rng.uniform(-1, 0.1), rng.uniform(-14, 10))


def loaf(pen: Pen, look: Look) -> None:
    """Lying, paws tucked in."""
    rng = pen.rng
    body = pen.blob(
        [(-0.7, 0.1), (-0.2, -0.18), (0.4, -0.2), (0.88, 0.1), (0.98, 0.5), (0.7, 0.7), (-0.6, 0.7), (-0.85, 0.45)],
        look.coat,
    )
    mark(pen, [body], look)
    pen.stroke([(0.3, 0.6), (0.36, 0.3), (0.68, 0.26)], 1.1)
    _tail(pen, look, [(0.92, 0.52), (0.66, 0.72), (0.3, 0.7), (rng.uniform(-0.1, 0.15), 0.62)], 0.18)
    for x in (-0.72, -0.38):
        _paw(pen, look, x, 0.68, 0.17)
    head(
        pen,
        look,
        -0.52,
        rng.uniform(-0.15, 0.08),
        rng.uniform(0.45, 0.52),
        rng.uniform(-0.7, 0.7),
        rng.uniform(-18, 18),
    )


def curled(pen: Pen, look: Look) -> None:
    """A round sleeping heap."""
    rng = pen.rng
    body = pen.oval(0.06, 0.14, 0.88, 0.62, look.coat)
    mark(pen, [body], look)
    head(pen, look, -0.42, 0.18, 0.44, -0.3, rng.uniform(-40, -8))
    _tail(pen, look, [(0.88, 0.3), (0.66, 0.68), (0.12, 0.8), (-0.36, 0.72)], 0.2)


def face(pen: Pen, look: Look) -> None:
    """A face, close, with two paws over an edge now and then."""
    rng = pen.rng
    if rng.random() < 0.7:
        shoulders = pen.blob(
            [(-0.5, 0.4), (0.5, 0.4), (0.86, 0.85), (0.95, 1.5), (-0.95, 1.5), (-0.86, 0.85)], look.coat
        )
        mark(pen, [shoulders], look)
    head(pen, look, 0, 0.02, rng.uniform(0.7, 0.8), rng.uniform(-0.8, 0.8), rng.uniform(-16, 16))
    if rng.random() < 0.4:
        for x in (-0.42, 0.42):
            _paw(pen, look, x, 0.84, 0.24)


def stretching(pen: Pen, look: Look) -> None:
    """Back end up, chest down, the way every nap ends."""
    rng = pen.rng
    _tail(pen, look, [(0.62, -0.3), (0.9, -0.5), (0.8, -0.85), (0.98, -0.98)], 0.17)
    pen.limb([(0.4, 0.1), (0.42, 0.84)], 0.2, look.deep)
    body = pen.curve(
        [(-0.6, 0.2), (-0.15, 0.1), (0.3, -0.38), (0.66, -0.4), (0.78, -0.05), (0.5, 0.3), (0.0, 0.62), (-0.6, 0.66)]
    )
    legs = [
        pen.tube([(0.6, 0.0), (0.66, 0.45), (0.6, 0.86)], 0.24),
        pen.tube([(-0.4, 0.5), (-0.6, 0.72), (-0.96, 0.84)], 0.2),
    ]
    pen.fill([body, *legs], look.coat)
    mark(pen, [body, *legs], look)
    for x in (0.57, -0.95):
        _paw(pen, look, x, 0.88, 0.15)
    head(pen, look, -0.56, 0.2, rng.uniform(0.4, 0.46), rng.uniform(-0.8, 0.4), rng.uniform(-20, 0))


POSES: tuple[tuple[Callable[[Pen, Look], None], float], ...] = (
    (sitting, 3.0),
    (sitting_aside, 2.5),
    (walking, 1.8),
    (loaf, 1.5),
    (curled, 0.9),
    (face, 2.5),
    (stretching, 0.8),
)
