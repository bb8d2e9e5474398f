"""Cats and fish drawn by CatFish itself.  [no torch]"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw

from catfish_core.events import Preparing

Kind = Literal["cat", "fish"]
COUNTS = {"train": 400, "val": 100, "test": 100}


def draw(kind: Kind, seed: int, size: int = 160) -> Image.Image:
    """The drawing number `seed` of a `kind`, RGB, `size` pixels square."""
    rng = random.Random(f"{kind}/{seed}")
    image = Image.new("RGB", (size, size), tuple(rng.randint(150, 255) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    box = [rng.randint(0, size // 3), rng.randint(0, size // 3)]
    box += [box[0] + size // 2, box[1] + size // (2 if kind == "cat" else 4)]
    pen.ellipse(box, fill=tuple(rng.randint(0, 150) for _ in range(3)))
    return image


def write(folder: Path, seed: int = 0) -> Iterator[Preparing]:
    """Draw the whole book into `folder`/<split>/<kind>/."""
    total = sum(COUNTS.values())
    n = 0
    for split, count in COUNTS.items():
        for kind in ("cat", "fish"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
            for i in range(count // 2):
                draw(kind, seed * 1_000_003 + n).save(folder / split / kind / f"{kind}-{i:03}.png")
                n += 1
                if n % 50 == 0:
                    yield Preparing(what="Drawing cats and fish", done=n, total=total, unit="pictures")
