"""One photo, read the same way everywhere: eight bits, RGB, the right way up.  [no torch]"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from catfish_core.errors import PhotoError

MAX_PIXELS = 64_000_000
DRAFT = 2  # a JPEG decoded smaller keeps so many pixels for each that `square` makes of them
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
KINDS = "JPEG, PNG, WebP, BMP, GIF or TIFF"

# Only these decoders are tried: others (EPS, for one) start programs to read a file.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "MPO")
# What decoders raise when a file is not what it says. Warnings are exceptions where they are errors.
_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError,
    RuntimeError, MemoryError, struct.error, UserWarning,
)  # fmt: skip
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_WIDE_MODES = ("I", "F")  # and all that begin with I;16: more than eight bits a pixel
Box = tuple[float, float, float, float]  # left, top, right, bottom
_WHITE = (255, 255, 255, 255)


def open_photo(source: Path | bytes, name: str = "", at_least: int | None = None) -> Image.Image:
    """The photo in `source` as RGB with 8 bits, its EXIF orientation applied.

    Of several frames the first; transparency lies on white; 16-bit and float values are scaled to 0..255.
    `at_least` allows a JPEG to be decoded smaller, with both sides still at least that many pixels: faster,
    and good enough for thumbnails and checks (for what networks see there is `square`).

    Raises PhotoError in one sentence, with `name` (or the file's) in it. Size is judged from the header alone.
    """
    with _decoded(source, name, at_least) as (image, _):
        upright = _upright(_rgb(image), _orientation(image))
        if upright is image:
            upright = image.copy()  # one that knows nothing of the file
    upright.info = {}  # the orientation that was just applied must not be applied again
    return upright


def square(
    source: Path | bytes, size: int, mode: Literal["squash", "crop"] = "squash", name: str = ""
) -> Image.Image:
    """The photo in `source` as networks see it: what `resized` makes of `open_photo`, for less.

    A JPEG is decoded at a half, quarter or eighth of its size where both sides then still have DRAFT times `size`
    pixels. Its values stay within 1.5 of the full decode's in the mean over a photo, within 24 at any place
    (docs/adr/0005). Raises PhotoError as `open_photo` does.
    """
    with _decoded(source, name, DRAFT * size) as (image, box):
        orientation = _orientation(image)
        return resized(_upright(_rgb(image), orientation), size, mode, _turned(box, image.size, orientation))


def check(source: Path | bytes, name: str = "") -> tuple[int, int]:
    """Width and height in pixels of the upright photo, after decoding it to its end; raises PhotoError."""
    with _opened(source, _subject(source, name)) as header:
        width, height = header.size
    with _decoded(source, name, at_least=64) as (image, _):
        _rgb(image)
        return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


@contextmanager
def _decoded(source: Path | bytes, name: str, at_least: int | None) -> Iterator[tuple[Image.Image, Box]]:
    """The decoded image and which part of it the photo fills: of one decoded smaller, the last column or row may
    be a fraction of a pixel."""
    subject = _subject(source, name)
    with _opened(source, subject) as image:
        try:
            drafted = image.draft(None, (at_least, at_least)) if at_least is not None else None
            image.load()
            yield image, drafted[1] if drafted else (0, 0, *image.size)
        except _FAULTS as error:
            raise PhotoError(f"{subject} is damaged and cannot be read to its end.", "Save it anew.") from error


def _subject(source: Path | bytes, name: str) -> str:
    name = name or (source.name if isinstance(source, Path) else "")
    return f"“{name[-80:]}”" if name else "This photo"


def _opened(source: Path | bytes, subject: str) -> Image.Image:
    try:
        image = Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=_FORMATS)
    except FileNotFoundError as error:
        raise PhotoError(f"{subject} is not there any more.") from error
    except _TOO_LARGE as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise _too_large(subject, int(found[1]) if found else 0) from error
    except _FAULTS as error:
        hint = f"Only {KINDS} can be read, whatever the file is called."
        raise PhotoError(f"{subject} is not a picture that CatFish can read.", hint) from error
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        image.close()
        raise _too_large(subject, pixels)
    return image


def _too_large(subject: str, pixels: int) -> PhotoError:
    size = f"{pixels / 1e6:.0f} megapixels" if pixels else "too many pixels"
    return PhotoError(f"{subject} has {size}; CatFish reads up to {MAX_PIXELS // 10**6}.", "Save it smaller.")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _WIDE_MODES or image.mode.startswith("I;16"):
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, _WHITE), over).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits, 32 bits or floats brought to 0..255; what is not a number becomes black."""
    import numpy as np

    values = np.nan_to_num(np.asarray(image.convert("F")), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and 255 < high <= 65535):
        low, span = 0.0, 65535.0
    elif low >= 0 and high <= 1 and image.mode == "F":
        low, span = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, span = 0.0, 255.0
    else:
        span = max(high - low, 1e-12)
    return Image.fromarray(np.rint((values - low) * (255 / span)).astype(np.uint8))


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8 of a loaded image; 1 where it says nothing sensible."""
    try:
        value = image.getexif().get(0x0112, 1)
    except _FAULTS:  # damaged notes about a photo are no reason to refuse the photo
        return 1
    return value if value in _TURNS else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _turned(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """Where `box` of an image of `size` lies once the image is upright."""
    (left, top, right, bottom), (width, height) = box, size
    if orientation in _SIDEWAYS:
        left, top, right, bottom, width, height = top, left, bottom, right, height, width
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def resized(
    image: Image.Image, size: int, mode: Literal["squash", "crop"] = "squash", box: Box | None = None
) -> Image.Image:
    """`image`, or its part in `box`, as a square of `size` pixels: squashed into it, or its middle cut out.

    Bilinear with antialiasing, the same pixels as torchvision's v2 `Resize` (and `CenterCrop`) on a PIL image.
    """
    if mode == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR, box)
    middle = _no_sliver(image)
    if box is None or middle is not image:
        box = (0, 0, *middle.size)
    width, height = box[2] - box[0], box[3] - box[1]
    short = min(width, height)
    scaled = middle.resize((int(size * width / short), int(size * height / short)), Image.Resampling.BILINEAR, box)
    left, top = round((scaled.width - size) / 2), round((scaled.height - size) / 2)
    return scaled.crop((left, top, left + size, top + size))


def _no_sliver(image: Image.Image) -> Image.Image:
    """The middle of a photo that is much longer than wide: scaled up whole, a sliver would fill the memory."""
    width, height = image.size
    most = 8 * min(width, height)
    if max(width, height) <= most:
        return image
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return image.crop((left, top, left + min(width, most), top + min(height, most)))


def thumbnail(source: Path | bytes, side: int = 160) -> bytes:
    """A JPEG of at most `side` by `side` pixels for a page, undistorted; raises PhotoError."""
    image = ImageOps.contain(open_photo(source, at_least=side), (side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
