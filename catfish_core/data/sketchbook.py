"""Sketchbook: cats and fish drawn by CatFish itself, for a first run without a network.  [no torch]

Places, clutter, colours, size and position are drawn by the same dice for both kinds, so that nothing but the
animal itself gives it away.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from PIL import Image

from catfish_core.data.drawing import cats, fish, scenes, things
from catfish_core.data.drawing.look import INKS, choose
from catfish_core.data.drawing.pen import Pen
from catfish_core.events import Preparing

Kind = Literal["cat", "fish"]
COUNTS = {"train": 400, "val": 100, "test": 100}
FINER = 3  # times finer than the result while drawing: what makes the lines smooth
QUALITY = 92
ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def draw(kind: Kind, seed: int, size: int = 160) -> Image.Image:
    """The drawing number `seed` of a `kind`: RGB, `size` pixels square, the same on every machine."""
    rng = random.Random(f"catfish/{seed}")
    image = Image.new("RGB", (size * FINER, size * FINER))
    pen = Pen(image, rng, rng.choice(INKS), weight=rng.uniform(0.016, 0.026))
    _pick(rng, scenes.SCENES)(pen)
    stray = 2.2 if rng.random() < 0.12 else 1.0  # now and then it is half out of the picture
    x, y = rng.gauss(0, 0.11) * stray, 0.04 + rng.gauss(0, 0.08) * stray
    if rng.random() < 0.09:
        things.person(pen, x + rng.choice((-1, 1)) * rng.uniform(0.4, 0.8), rng.uniform(-0.6, -0.2))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        _thing(pen, x)
    _animal(pen, kind, x, y)
    if rng.random() < 0.1:
        things.hand(pen, x + rng.choice((-1, 1)) * rng.uniform(0.35, 0.6), y + rng.uniform(0.42, 0.66))
    if rng.random() < 0.18:
        _thing(pen, x, front=True)
    return image.reduce(FINER)


def _pick(rng: random.Random, rows: Sequence[tuple[T, float]]) -> T:
    return rng.choices([row for row, _ in rows], [weight for _, weight in rows])[0]


def _thing(pen: Pen, x: float, front: bool = False) -> None:
    """Something that lies about, beside the animal or, in front, at the lower edge."""
    rng = pen.rng
    aside = x + rng.choice((-1, 1)) * rng.uniform(0.55, 0.95)
    _pick(rng, things.THINGS)(pen, aside, rng.uniform(0.85, 1.15) if front else rng.uniform(0.45, 0.95))


def _animal(pen: Pen, kind: Kind, x: float, y: float) -> None:
    rng = pen.rng
    scale = min(1.0, max(0.6, rng.gauss(0.85, 0.08)))
    look = choose(rng)
    own = pen.at(x, y, scale, rng.gauss(0, 7) if kind == "cat" else rng.gauss(0, 11), flip=rng.random() < 0.5)
    _pick(rng, cats.POSES if kind == "cat" else fish.POSES)(own, look)


def write(folder: Path, seed: int = 0) -> Iterator[Preparing]:
    """Draw the whole book into `folder`/<split>/<kind>/, 600 pictures of 160 pixels, on all cores.

    Other processes draw their share beside this one; whatever they leave undone is drawn here.
    """
    pages = _pages(folder, seed)
    for place in {path.parent for path, _, _ in pages}:
        place.mkdir(parents=True, exist_ok=True)
    parts = min(4, os.cpu_count() or 1)
    with ExitStack() as ending:
        helpers = [ending.enter_context(_helper(folder, seed, part, parts)) for part in range(1, parts)]
        for n, page in enumerate(pages[::parts]):
            _draw_page(*page)
            if n % 10 == 0:
                yield _progress(min(n * parts, len(pages)), len(pages))
        for helper in helpers:
            helper.wait()
    for page in pages:
        if not page[0].exists():
            _draw_page(*page)
    yield _progress(len(pages), len(pages))


def _progress(done: int, total: int) -> Preparing:
    return Preparing(what="Drawing cats and fish", done=done, total=total, unit="pictures")


Page = tuple[Path, Kind, int]


def _pages(folder: Path, seed: int) -> list[Page]:
    """Every picture of the book: its file, its kind, its number."""
    kinds: tuple[Kind, ...] = ("cat", "fish")
    places = [
        (split, kind, i) for split, count in COUNTS.items() for kind in kinds for i in range(count // len(kinds))
    ]
    return [
        (folder / split / kind / f"{kind}-{i:03}.jpg", kind, seed * 1_000_003 + number)
        for number, (split, kind, i) in enumerate(places)
    ]


def _draw_page(path: Path, kind: Kind, number: int) -> None:
    part = path.with_suffix(".part")  # what has the right name is whole
    draw(kind, number).save(part, "JPEG", quality=QUALITY, subsampling=0)
    part.replace(path)


@contextmanager
def _helper(folder: Path, seed: int, part: int, parts: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that draws every `parts`th page from `part` on; it does not outlive the block."""
    command = [sys.executable, "-m", "catfish_core.data.sketchbook"]
    process = subprocess.Popen(
        [*command, str(folder), str(seed), str(part), str(parts)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    where, number, first, step = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    for mine in _pages(where, number)[first::step]:
        _draw_page(*mine)
