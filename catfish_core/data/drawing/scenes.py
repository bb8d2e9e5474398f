"""Places to put an animal: the same for cats and for fish.  [no torch]

All in the frame of the page: 2 by 2 units, from -1 to 1, y downwards.
"""

from __future__ import annotations

from collections.abc import Callable

from catfish_core.data.drawing.look import COATS, WHITE
from catfish_core.data.drawing.pen import Color, Pen, mix, shade, sharp
from catfish_core.data.drawing.things import GREENS, WOODS, bubbles, cloud, flower, tuft, weed

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
PAPERS: tuple[Color, ...] = ((252, 248, 238), (246, 236, 214), (232, 238, 242), (250, 236, 232), (222, 206, 178))


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
