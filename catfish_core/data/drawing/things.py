"""What lies about in a picture, plants, balls, people: the same for cats and for fish.  [no torch]

All in the frame of the page: 2 by 2 units, from -1 to 1, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from catfish_core.data.drawing.look import COATS, WHITE
from catfish_core.data.drawing.pen import Color, Pen, shade, sharp

GREENS: tuple[Color, ...] = ((146, 190, 110), (112, 168, 112), (182, 200, 112), (96, 150, 124))
WOODS: tuple[Color, ...] = ((196, 156, 116), (170, 124, 92), (216, 186, 148), (150, 130, 120))
SKINS: tuple[Color, ...] = ((250, 214, 186), (232, 184, 148), (196, 142, 104), (140, 96, 70), (96, 66, 52))


def tuft(pen: Pen, x: float, y: float, color: Color) -> None:
    """Three blades of grass."""
    for dx in (-0.05, 0.0, 0.05):
        pen.stroke([(x, y), (x + dx * 0.6, y - 0.07), (x + dx * 1.6, y - 0.13)], 1.0, color)


def flower(pen: Pen, x: float, y: float) -> None:
    """A flower on a stalk."""
    rng = pen.rng
    petal = rng.choice(COATS)
    pen.stroke([(x, y + 0.24), (x + 0.02, y + 0.1), (x, y)], 1.2, shade(rng.choice(GREENS), -0.2))
    for k in range(5):
        t = k * 1.2566
        pen.oval(x + 0.062 * math.cos(t), y + 0.062 * math.sin(t), 0.045, 0.045, petal, 0.5)
    pen.oval(x, y, 0.035, 0.035, (250, 210, 90), 0.4)


def cloud(pen: Pen, x: float, y: float, r: float) -> None:
    """A puffy cloud, 4 r wide."""
    puffs = [(-1.3, 0.15, 0.7), (-0.4, -0.25, 0.95), (0.6, -0.1, 0.85), (1.4, 0.2, 0.6), (0.1, 0.25, 0.9)]
    rings = [pen.curve(pen.ring(x + u * r, y + v * r * 0.8, s * r, s * r * 0.8)) for u, v, s in puffs]
    pen.fill(rings, WHITE, 0.5)


def weed(pen: Pen, x: float, y: float) -> None:
    """Water weed, swaying."""
    rng = pen.rng
    green, high = rng.choice((*GREENS, COATS[10], COATS[11])), rng.uniform(0.6, 1.3)
    for _ in range(rng.randint(1, 3)):
        x += rng.uniform(-0.12, 0.12)
        sway = rng.uniform(0.05, 0.14)
        pen.limb(
            [(x, y), (x + sway, y - high * 0.35), (x - sway, y - high * 0.7), (x + sway, y - high)],
            0.1,
            green,
            0.7,
            0.3,
        )


def bubbles(pen: Pen, x: float, y: float) -> None:
    """A string of bubbles, going up."""
    rng = pen.rng
    for _ in range(rng.randint(2, 5)):
        r = rng.uniform(0.025, 0.07)
        pen.oval(x, y, r, r, (226, 242, 250), 0.6)
        pen.oval(x - r * 0.3, y - r * 0.3, r * 0.25, r * 0.25, WHITE, 0)
        x, y = x + rng.uniform(-0.1, 0.1), y - rng.uniform(0.12, 0.22)


def ball(pen: Pen, x: float, y: float) -> None:
    """A beach ball, or a ball of wool with a loose end."""
    rng = pen.rng
    r, color = rng.uniform(0.13, 0.24), rng.choice(COATS)
    if rng.random() < 0.5:
        pen.stroke(
            [(x, y + r), (x + 0.25, y + r * 1.1), (x + 0.4, y + r * 0.7), (x + 0.6, y + r)], 1.4, shade(color, -0.2)
        )
    ring = pen.oval(x, y, r, r, color)
    for k in (-0.6, 0.0, 0.6):
        pen.stroke(
            [(x + k * r, y - r * 0.75), (x + k * r * 1.5, y), (x + k * r, y + r * 0.75)], 1.3, shade(color, -0.28)
        )
    pen.veil(ring, WHITE, 0.08)


def pot(pen: Pen, x: float, y: float) -> None:
    """A plant in a pot, standing at y."""
    rng = pen.rng
    green = rng.choice(GREENS)
    for k in range(rng.randint(4, 7)):
        t = -1.57 + rng.uniform(-1.1, 1.1)
        long = rng.uniform(0.35, 0.62)
        tip = (x + long * math.cos(t), y - 0.28 + long * math.sin(t))
        mid = (x + long * 0.5 * math.cos(t), y - 0.34 + long * 0.45 * math.sin(t))
        pen.limb([(x, y - 0.26), mid, tip], 0.11, shade(green, -0.06 * (k % 3)), 0.8, 0.25)
    clay = rng.choice((*WOODS[:2], *COATS))
    pen.blob(sharp([(x - 0.2, y - 0.32), (x + 0.2, y - 0.32), (x + 0.14, y), (x - 0.14, y)]), clay)


def lamp(pen: Pen, x: float, y: float) -> None:
    """A floor lamp, standing at y."""
    shine = pen.rng.choice(COATS)
    pen.limb([(x, y), (x, y - 1.0)], 0.05, pen.rng.choice(WOODS), 0.7)
    pen.oval(x, y, 0.16, 0.05, pen.rng.choice(WOODS), 0.7)
    shade_at = [(x - 0.12, y - 1.35), (x + 0.12, y - 1.35), (x + 0.27, y - 0.95), (x - 0.27, y - 0.95)]
    pen.blob(sharp(shade_at), shine)


def cushion(pen: Pen, x: float, y: float) -> None:
    """A cushion with a button."""
    color = pen.rng.choice(COATS)
    a, b = (-0.42, -0.2), (0.42, -0.2)
    c, d = (0.44, 0.2), (-0.44, 0.2)
    corners = [a, a, (0, -0.24), b, b, (0.4, 0.02), c, c, (0, 0.24), d, d, (-0.4, 0.02)]
    pen.blob([(x + u, y + v) for u, v in corners], color)
    pen.oval(x, y, 0.04, 0.03, shade(color, -0.3), 0.5)


def person(pen: Pen, x: float, y: float) -> None:
    """Somebody in a hat, head at (x, y), looking on; the arms belong to `hand`."""
    rng = pen.rng
    skin, coat, hat = rng.choice(SKINS), rng.choice(COATS), rng.choice(COATS)
    right = [(0.14, 0.2), (0.42, 0.42), (0.5, 1.0), (0.5, 2.4)]
    body = [*right, *((-u, v) for u, v in reversed(right))]
    pen.blob([(x + u, y + v) for u, v in body], coat)
    pen.stroke([(x, y + 0.32), (x + 0.02, y + 0.8), (x, y + 1.4)], 0.9)
    pen.oval(x, y, 0.24, 0.27, skin)
    for s in (-1, 1):
        pen.oval(x + s * 0.09, y + 0.0, 0.025, 0.035, pen.ink, 0)
    pen.stroke([(x - 0.09, y + 0.12), (x, y + 0.17), (x + 0.09, y + 0.12)], 1.0)
    pen.oval(x, y - 0.13, 0.4, 0.07, hat)
    pen.blob(
        [(x - 0.22, y - 0.15), (x - 0.2, y - 0.36), (x, y - 0.42), (x + 0.2, y - 0.36), (x + 0.22, y - 0.15)], hat
    )


def hand(pen: Pen, x: float, y: float) -> None:
    """An arm that reaches in from the nearest edge, to pat or to hold what is at (x, y)."""
    rng = pen.rng
    skin, sleeve = rng.choice(SKINS), rng.choice(COATS)
    angle = rng.uniform(0.2, 1.3) if rng.random() < 0.7 else rng.uniform(-0.8, 0.1)
    side = 1 if x > 0 else -1
    ux, uy = side * math.cos(angle), math.sin(angle)
    pen.limb([(x + ux * 0.2, y + uy * 0.2), (x + ux * 0.6, y + uy * 0.6), (x + ux * 1.9, y + uy * 1.9)], 0.2, skin)
    pen.limb([(x + ux * 0.75, y + uy * 0.75), (x + ux * 2.2, y + uy * 2.2)], 0.34, sleeve)
    spread = [(-0.62, 0.2), (-0.2, 0.26), (0.2, 0.25), (0.62, 0.19)]
    base = math.atan2(-uy, -ux)
    fingers = [
        pen.tube(
            [(x + ux * 0.12, y + uy * 0.12), (x + long * math.cos(base + t), y + long * math.sin(base + t))],
            0.09,
            0.8,
        )
        for t, long in spread
    ]
    palm = pen.curve(pen.ring(x + ux * 0.1, y + uy * 0.1, 0.15, 0.14))
    pen.fill([palm, *fingers], skin)
    pen.draw.polygon(palm, fill=skin)


THINGS: tuple[tuple[Callable[[Pen, float, float], None], float], ...] = (
    (pot, 2.0), (ball, 2.5), (bubbles, 1.5), (weed, 1.2), (flower, 1.2), (lamp, 1.0), (cushion, 1.2),
)  # fmt: skip
