"""Photos in, answers out: what the service and the command line do with a model, in passes that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from catfish_core.analysis import predict as network
from catfish_core.analysis.predict import Heatmap
from catfish_core.data import photos
from catfish_core.errors import PhotoError
from catfish_core.models.saved import Saved

SHOWN = 720  # px: longest side of the photo beside the heatmap
PASS = 16  # photos of at most 224 px that go through the network together
HEAVY = 50.0  # millions of parameters from which a network takes fewer photos at once


@dataclass(frozen=True)
class Look:
    """One photo as the network saw it: `probabilities` by class index, or the `error` that kept it from looking.

    `shown` is the photo upright, at most SHOWN px long.
    """

    name: str
    error: str | None = None
    probabilities: tuple[float, ...] = ()
    shown: Image.Image | None = None
    heatmap: Heatmap | None = None

    @property
    def predicted(self) -> int:
        """Index of the most probable class."""
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)


@dataclass(frozen=True)
class _Opened:
    name: str
    error: str | None = None
    square: Image.Image | None = None
    shown: Image.Image | None = None


def look(
    saved: Saved,
    photos: Sequence[tuple[str, bytes | Path]],
    *,
    layer: str | None = None,
    target: int | None = None,
    heatmaps: bool = True,
) -> Iterator[Look]:
    """A look at each of `photos` (name, content or file), in their order.

    A photo that cannot be read is a Look with its error. Raises ModelError for a `layer` or `target` that the
    model has not got.
    """
    waiting = iter(photos)
    while portion := list(islice(waiting, _pass(saved))):
        yield from _together(saved, [_opened(saved, *photo) for photo in portion], layer, target, heatmaps)


def _together(
    saved: Saved, opened: list[_Opened], layer: str | None, target: int | None, heatmaps: bool
) -> Iterator[Look]:
    squares = [photo.square for photo in opened if photo.square is not None]
    if heatmaps:
        probabilities, maps = network.look(saved, squares, layer, target)
    else:
        probabilities, maps = network.predict(saved, squares), []
    said, explained = iter(probabilities), iter(maps)
    for photo in opened:
        if photo.error is not None:
            yield Look(photo.name, photo.error)
        else:
            yield Look(photo.name, None, next(said), photo.shown, next(explained, None))


def _opened(saved: Saved, name: str, source: bytes | Path) -> _Opened:
    """The photo in the two sizes that are needed; the big one is let go, so that many fit side by side."""
    try:
        square = photos.square(source, saved.image_size, saved.resize, name)
        image = photos.open_photo(source, name, at_least=SHOWN)
    except PhotoError as error:
        return _Opened(name, str(error))
    except MemoryError:  # a sliver, a million times longer than wide
        return _Opened(name, f"“{name[-80:]}” has an odd shape that needs more memory than there is. Crop it first.")
    image.thumbnail((SHOWN, SHOWN))
    return _Opened(name, None, square, image)


def _pass(saved: Saved) -> int:
    """Photos at once: fewer for large photos and heavy networks, whose heatmaps keep every layer's output."""
    fitting = PASS * min(1.0, (224 / saved.image_size) ** 2) / (4 if saved.arch.parameters > HEAVY else 1)
    return max(1, int(fitting))
