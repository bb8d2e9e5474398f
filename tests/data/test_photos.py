import contextlib
import io
import random
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from catfish_core.data import photos
from catfish_core.errors import PhotoError

RED = (220, 40, 30)


def corners() -> Image.Image:
    """60×40: red on the left, blue on the right."""
    image = Image.new("RGB", (60, 40), RED)
    image.paste((20, 40, 200), (30, 0, 60, 40))
    return image


def close(pixel, expected, within=12):
    return all(abs(a - b) <= within for a, b in zip(pixel, expected, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_kind_and_mode_becomes_eight_bit_rgb(kind, mode, encode):
    image = corners().quantize(8) if mode == "P" else corners().convert(mode)
    try:
        content = encode(image, kind)
    except (OSError, ValueError):
        pytest.skip(f"{kind} has no {mode}")
    photo = photos.open_photo(content)
    assert photo.mode == "RGB" and photo.size == (60, 40)
    if mode in ("RGB", "P", "RGBA", "CMYK"):
        assert close(photo.getpixel((5, 20)), RED, 20)
        assert close(photo.getpixel((55, 20)), (20, 40, 200), 20)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation, encode):
    upright = corners()
    undo = {v: v for v in (2, 3, 4, 5, 7)} | {6: 8, 8: 6}
    stored = photos._upright(upright, undo.get(orientation, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(stored, "JPEG", exif=exif, quality=95)
    photo = photos.open_photo(content)
    assert photo.size == (60, 40)
    assert close(photo.getpixel((5, 20)), RED) and close(photo.getpixel((55, 20)), (20, 40, 200))
    assert photo.getexif().get(0x0112) is None
    assert photos.check(content) == (60, 40)


def test_orientation_in_a_thumbnail(encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    small = Image.open(io.BytesIO(photos.thumbnail(encode(corners(), exif=exif), side=20)))
    assert small.size == (13, 20) or small.size == (14, 20)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(kind, encode):
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    photo = photos.open_photo(encode(Image.fromarray(values), kind))
    assert photo.getpixel((0, 0)) == (0, 0, 0) and photo.getpixel((63, 63)) == (255, 255, 255)
    assert abs(photo.getpixel((32, 32))[0] - values[32, 32] / 257) <= 1


def test_floats_are_scaled_and_what_is_no_number_is_black(encode):
    values = np.linspace(-3, 5, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, 1] = np.nan
    photo = photos.open_photo(encode(Image.fromarray(values), "TIFF"))
    assert photo.getpixel((0, 0))[0] == 0 and photo.getpixel((63, 63))[0] == 255


def test_transparency_lies_on_white(encode):
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert photos.open_photo(encode(clear, "PNG")).getpixel((3, 3)) == (255, 255, 255)
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert photos.open_photo(encode(palette, "PNG", transparency=0)).getpixel((3, 3)) == (255, 255, 255)


def test_first_frame_of_a_gif(encode):
    frames = [Image.new("RGB", (20, 20), color) for color in (RED, (0, 0, 255))]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert close(photos.open_photo(content).getpixel((3, 3)), RED)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )


@pytest.mark.parametrize(("side", "megapixels"), [(10_000, "100"), (9_000, "81"), (60_000, "3600")])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_from_the_header(side, megapixels):
    with pytest.raises(PhotoError) as caught:
        photos.open_photo(png_header(side, side), "poster.png")
    assert "poster.png" in caught.value.what and f"{megapixels} megapixels" in caught.value.what
    assert "64" in caught.value.what


def test_too_many_pixels_also_where_warnings_are_errors():
    with pytest.raises(PhotoError, match="100 megapixels"):
        photos.check(png_header(10_000, 10_000))


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"<svg></svg>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_a_fake_image_is_refused(content, tmp_path):
    path = tmp_path / "fake.png"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match="“fake.png” is not a picture"):
        photos.open_photo(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_truncated_photo_is_refused(kind, encode, picture):
    content = encode(picture(size=(300, 200)), kind)
    with pytest.raises(PhotoError):
        photos.open_photo(content[: len(content) // 2])
    with pytest.raises(PhotoError):
        photos.check(content[: len(content) // 2])


def test_no_noise_of_any_byte_gets_past_as_another_error(encode, picture):
    rng = random.Random(3)
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        content = bytearray(encode(picture(size=(40, 30)), kind))
        for _ in range(60):
            broken = bytearray(content)
            for _ in range(6):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            with contextlib.suppress(PhotoError):
                assert photos.open_photo(bytes(broken)).mode == "RGB"


def test_a_photo_that_went_away(tmp_path):
    with pytest.raises(PhotoError, match="“gone.jpg” is not there any more"):
        photos.open_photo(tmp_path / "gone.jpg")


def test_draft_gives_at_least_what_is_asked_for(encode, picture):
    photo = photos.open_photo(encode(picture(size=(800, 600))), at_least=64)
    assert min(photo.size) >= 64 and photo.size != (800, 600)


@pytest.mark.parametrize(("size", "shape"), [(64, (500, 375)), (32, (33, 90)), (48, (20, 20))])
def test_resizing_is_torchvisions(size, shape, picture):
    from catfish_core import torch_setup  # noqa: F401 - lets torchvision be imported

    v2 = pytest.importorskip("torchvision.transforms.v2")
    image = picture(size=shape).resize(shape)
    squash = v2.Resize((size, size), antialias=True)(image)
    crop = v2.CenterCrop(size)(v2.Resize(size, antialias=True)(image))
    assert np.array_equal(photos.resized(image, size, "squash"), squash)
    assert np.array_equal(photos.resized(image, size, "crop"), crop)


def test_a_sliver_is_cropped_before_it_is_scaled(picture):
    """One pixel high and 60,000 wide: scaled up whole it would take gigabytes."""
    sliver = picture(size=(60_000, 1))
    assert photos.resized(sliver, 128, "crop").size == (128, 128)


@pytest.mark.parametrize("mode", ["squash", "crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_square_is_as_good_as_of_the_full_photo(orientation, mode, encode):
    """Sides that no power of two divides: the last column and row are fractions, wherever they are turned to."""
    rows, columns = np.mgrid[0:211, 0:333]
    smooth = np.stack([rows, columns / 2, (rows + columns) / 3], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(smooth), "JPEG", exif=exif, quality=95)
    full = np.asarray(photos.resized(photos.open_photo(content), 16, mode), dtype=float)
    assert np.abs(np.asarray(photos.square(content, 16, mode), dtype=float) - full).max() <= 3


def test_a_square_of_a_small_photo_is_that_of_the_full_one(encode):
    content = encode(corners(), "JPEG")
    for size in (16, 21, 64):
        assert photos.square(content, size).tobytes() == photos.resized(photos.open_photo(content), size).tobytes()


@pytest.mark.parametrize("mode", ["squash", "crop"])
@pytest.mark.parametrize("size", [64, 128])
def test_squares_of_real_photos_stay_within_the_tolerance(photos_zip, size, mode):
    with zipfile.ZipFile(photos_zip) as archive:
        names = [n for n in archive.namelist() if n.endswith((".jpg", ".jpeg"))][::20]
        contents = [archive.read(name) for name in names]
    for name, content in zip(names, contents, strict=True):
        full = np.asarray(photos.resized(photos.open_photo(content), size, mode), dtype=float)
        off = np.abs(np.asarray(photos.square(content, size, mode), dtype=float) - full)
        assert off.mean() <= 1.5 and off.max() <= 24, name
