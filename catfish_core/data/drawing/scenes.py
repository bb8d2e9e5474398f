"""Places to put an animal, and the things that lie about there: the same for cats and for fish.  [no torch]

All in the frame of the page: 2 by 2 units, from -1 to 1, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from catfish_core.data.drawing.look import COATS, WHITE
from catfish_core.data.drawing.pen import Color, Pen, mix, shade, sharp

SKIES: tuple[Color, ...] = ((188, 222, 244), (250, 214, 190), (206, 232, 226), (196, 196, 232), (250, 236, 190))
WALLS: tuple[Color, ...] = (
    (244, 224, 206),
    (212, 226, 214),
    (214, 218, 238),
    (246, 212, 210),
    (240, 234, 206),
    (176, 200, 204),
)
SEAS: tuple[Color, ...] = ((120, 190, 214), (104, 176, 182), (92, 140, 196), (150, 204, 190), (70, 104, 150))
GREENS: tuple[Color, ...] = ((146, 190, 110), (112, 168, 112), (182, 200, 112), (96, 150, 124))
WOODS: tuple[Color, ...] = ((196, 156, 116), (170, 124, 92), (216, 186, 148), (150, 130, 120))
PAPERS: tuple[Color, ...] = ((252, 248, 238), (246, 236, 214), (232, 238, 242), (250, 236, 232), (222, 206, 178))
SKINS: tuple[Color, ...] = ((250, 214, 186), (232, 184, 148), (196, 142, 104), (140, 96, 70), (96, 66, 52))


def _band(pen: Pen, y: float, color: Color, swing: float = 0.05, line: float = 0.0) -> None:
    """Everything below a wavy line at about `y`."""
    rng = pen.rng
    wave = [(x / 2.5 - 1.2, y + rng.uniform(-swing, swing)) for x in range(7)]
    pen.blob([*wave, (1.3, 1.4), (1.3, 1.4), (-1.3, 1.4), (-1.3, 1.4)], color, line)


def _wash(pen: Pen, top: Color, bottom: Color, bands: int = 5) -> None:
    pen.draw.rectangle((0, 0, *pen.image.size), fill=top)
    for k in range(1, bands):
        _band(pen, -1 + 2 * k / bands, mix(top, bottom, k / (bands - 1)), 0.06)


def room(pen: Pen) -> None:
    """A wall, a floor, perhaps a window or a picture."""
    rng = pen.rng
    wall = rng.choice(WALLS)
    pen.draw.rectangle((0, 0, *pen.image.size), fill=wall)
    _wallpaper(pen, shade(wall, rng.choice((-0.1, 0.35))))
    floor = rng.choice((*WOODS, *GREENS[:1], *WALLS[:2]))
    y = rng.uniform(0.25, 0.62)
    pen.blob(sharp([(-1.2, y), (1.2, y), (1.2, 1.3), (-1.2, 1.3)]), floor, 0.8)
    for k in range(3):
        yy = y + 0.1 + 0.17 * k
        pen.stroke([(-1.1, yy), (0, yy + 0.01), (1.1, yy)], 0.8, shade(floor, -0.2))
    if rng.random() < 0.6:
        _window(pen, rng.uniform(-0.75, 0.75), rng.uniform(-0.7, -0.4))
    if rng.random() < 0.35:
        pen.oval(rng.uniform(-0.3, 0.3), 0.88, rng.uniform(0.6, 0.9), 0.24, rng.choice(COATS), 0.8)


def _wallpaper(pen: Pen, color: Color) -> None:
    rng = pen.rng
    kind = rng.choice(("none", "stripes", "dots", "stripes"))
    for k in range(-5, 6):
        if kind == "stripes":
            pen.limb([(k * 0.22, -1.1), (k * 0.22, 0.9)], 0.07, color, 0)
        for j in range(-5, 4) if kind == "dots" else ():
            pen.oval(k * 0.24 + (j % 2) * 0.12, j * 0.22, 0.03, 0.03, color, 0)


def _window(pen: Pen, x: float, y: float) -> None:
    rng = pen.rng
    w, h = rng.uniform(0.22, 0.34), rng.uniform(0.26, 0.38)
    frame, pane = rng.choice((*WOODS, WHITE)), rng.choice((*SKIES, *COATS[6:8]))
    for grow, color in ((0.06, frame), (0.0, pane)):
        a, b = w + grow, h + grow
        pen.blob(sharp([(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)]), color, 0.8)
    if rng.random() < 0.7:
        pen.limb([(x, y - h), (x, y + h)], 0.04, frame, 0.5)
        pen.limb([(x - w, y), (x + w, y)], 0.04, frame, 0.5)
    else:
        pen.blob([(x - w * 0.8, y + h * 0.8), (x, y - h * 0.3), (x + w * 0.8, y + h * 0.8)], rng.choice(GREENS), 0.6)


def meadow(pen: Pen) -> None:
    """Sky, hills, grass and flowers."""
    rng = pen.rng
    _wash(pen, rng.choice(SKIES), WHITE, 4)
    _heavens(pen)
    green = rng.choice(GREENS)
    y = rng.uniform(-0.2, 0.4)
    _band(pen, y, mix(green, WHITE, 0.35), 0.14, 0.6)
    _band(pen, y + 0.3, green, 0.08, 0.6)
    for _ in range(9):
        tuft(pen, rng.uniform(-1, 1), rng.uniform(y + 0.4, 1.0), shade(green, -0.25))
    for _ in range(rng.randint(0, 4)):
        flower(pen, rng.uniform(-0.95, 0.95), rng.uniform(0.5, 0.95))


def _heavens(pen: Pen) -> None:
    rng = pen.rng
    if rng.random() < 0.4:
        pen.oval(rng.uniform(-0.8, 0.8), rng.uniform(-0.85, -0.55), 0.17, 0.17, (252, 226, 130), 0.7)
    for _ in range(rng.randint(0, 3)):
        cloud(pen, rng.uniform(-0.9, 0.9), rng.uniform(-0.85, -0.2), rng.uniform(0.12, 0.22))


def water(pen: Pen) -> None:
    """Under water: bands of blue, sand, weeds, bubbles."""
    rng = pen.rng
    sea = rng.choice(SEAS)
    _wash(pen, shade(sea, 0.4), shade(sea, -0.12))
    if rng.random() < 0.7:
        _band(pen, rng.uniform(0.6, 0.85), rng.choice((*WOODS[2:], *PAPERS[1:2], *GREENS[2:])), 0.07, 0.6)
    for _ in range(rng.randint(0, 3)):
        weed(pen, rng.choice((-1, 1)) * rng.uniform(0.4, 1.0), 1.05)
    bubbles(pen, rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.5))


def sky(pen: Pen) -> None:
    """Nothing but air and clouds."""
    rng = pen.rng
    _wash(pen, rng.choice((*SKIES, *SEAS[:1])), rng.choice((WHITE, *SKIES)))
    for _ in range(rng.randint(2, 5)):
        cloud(pen, rng.uniform(-1, 1), rng.uniform(-0.9, 0.95), rng.uniform(0.14, 0.3))


def night(pen: Pen) -> None:
    """Dark blue, a moon, stars, hills."""
    rng = pen.rng
    dark = rng.choice(((62, 72, 118), (84, 74, 120), (54, 88, 110)))
    _wash(pen, dark, mix(dark, rng.choice(SKIES), 0.45))
    pen.oval(rng.uniform(-0.8, 0.8), rng.uniform(-0.85, -0.5), 0.16, 0.16, (250, 240, 200), 0.5)
    for _ in range(12):
        x, y, r = rng.uniform(-1, 1), rng.uniform(-1, 0.6), rng.uniform(0.015, 0.035)
        pen.oval(x, y, r, r, (252, 244, 206), 0)
    if rng.random() < 0.7:
        _band(pen, rng.uniform(0.3, 0.7), shade(dark, -0.2), 0.12, 0.5)


def beach(pen: Pen) -> None:
    """Sky, sea, sand."""
    rng = pen.rng
    _wash(pen, rng.choice(SKIES), WHITE, 4)
    _heavens(pen)
    y = rng.uniform(-0.25, 0.15)
    sea = rng.choice(SEAS)
    _band(pen, y, sea, 0.02, 0.5)
    for _ in range(5):
        x, yy = rng.uniform(-1, 1), y + rng.uniform(0.08, 0.35)
        pen.stroke(
            [(x - 0.12, yy), (x - 0.04, yy - 0.03), (x + 0.04, yy), (x + 0.12, yy - 0.03)], 0.9, shade(sea, 0.5)
        )
    _band(pen, y + rng.uniform(0.35, 0.6), rng.choice(((244, 222, 170), (236, 206, 160), (226, 214, 190))), 0.06, 0.6)


def paper(pen: Pen) -> None:
    """A page out of an exercise book: plain, ruled or squared."""
    rng = pen.rng
    sheet = rng.choice(PAPERS)
    pen.draw.rectangle((0, 0, *pen.image.size), fill=sheet)
    kind = rng.choice(("plain", "ruled", "squared"))
    pale, gap = mix(sheet, rng.choice(SEAS), 0.4), rng.uniform(0.16, 0.24)
    for k in range(-7, 8):
        if kind != "plain":
            pen.stroke([(-1.1, k * gap), (0, k * gap), (1.1, k * gap)], 0.7, pale)
        if kind == "squared":
            pen.stroke([(k * gap, -1.1), (k * gap, 0), (k * gap, 1.1)], 0.7, pale)


def pattern(pen: Pen) -> None:
    """Gift wrap: dots, checks or waves in two colours."""
    rng = pen.rng
    ground = mix(rng.choice(COATS), WHITE, 0.55)
    second = shade(ground, rng.choice((-0.14, 0.5)))
    pen.draw.rectangle((0, 0, *pen.image.size), fill=ground)
    kind, n = rng.choice(("dots", "checks", "waves")), rng.choice((4, 5, 6))
    gap = 2 / n
    for j in range(-n, n + 1):
        if kind == "waves":
            pen.stroke([(k / 4, j * gap / 1.5 + (0.06 if k % 2 else -0.06)) for k in range(-5, 6)], 2.4, second)
            continue
        for k in range(-n, n + 1):
            x, y = k * gap / 1.3 + (j % 2) * gap / 2.6, j * gap / 1.3
            if kind == "dots":
                pen.oval(x, y, gap * 0.18, gap * 0.18, second, 0)
            elif (j + k) % 2:
                pen.draw.polygon(
                    pen.placed(
                        [
                            (k * gap, j * gap),
                            (k * gap + gap, j * gap),
                            (k * gap + gap, j * gap + gap),
                            (k * gap, j * gap + gap),
                        ]
                    ),
                    fill=second,
                )


SCENES: tuple[tuple[Callable[[Pen], None], float], ...] = (
    (room, 3.0), (meadow, 2.5), (water, 2.5), (sky, 1.3), (night, 1.0), (beach, 1.5), (paper, 2.0), (pattern, 1.5),
)  # fmt: skip


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
