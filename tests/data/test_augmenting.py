"""Augmentations against torchvision's functional of the same step and parameters, photo by photo."""

import numpy as np
import pytest
import torch

from catfish_core import augment as A
from catfish_core.data import augmenting
from catfish_core.data.augmenting import Draws, sample_seeds
from catfish_core.torch_setup import v2

F = v2.functional
SIDE, N = 24, 12
WITHIN = 2  # levels of 255


@pytest.fixture
def photos():
    """Smooth pictures with a few edges: where colours meet, rounding shows."""
    source = torch.Generator().manual_seed(3)
    coarse = torch.randint(0, 256, (N, 3, 6, 6), generator=source).float()
    smooth = F.resize(coarse, [SIDE, SIDE], antialias=True).round().to(torch.uint8)
    return smooth.permute(0, 2, 3, 1).contiguous().numpy()


def numbers(low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, N)


def planes(photos):
    """As torchvision has them: uint8 (N, 3, H, W)."""
    return torch.from_numpy(np.stack(list(photos))).permute(0, 3, 1, 2)


def assert_close(got, expected, within=WITHIN):
    got, expected = planes(got), expected if isinstance(expected, torch.Tensor) else torch.stack(expected)
    assert got.shape == expected.shape
    assert (got.float() - expected.float()).abs().max() <= within


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (augmenting.brightness, F.adjust_brightness, 0, 3),
        (augmenting.contrast, F.adjust_contrast, 0, 3),
        (augmenting.saturation, F.adjust_saturation, 0, 3),
        (augmenting.hue, F.adjust_hue, -0.5, 0.5),
    ],
)
def test_colours(photos, ours, theirs, low, high):
    factors = [float(number) for number in numbers(low, high)]
    got = [ours(p.astype(np.float32), f) for p, f in zip(photos, factors, strict=True)]
    assert_close(got, [theirs(p, f) for p, f in zip(planes(photos), factors, strict=True)])


def test_grey(photos):
    got = augmenting.apply(A.RandomGrayscale(p=1), photos, Draws(sample_seeds(0, range(N))), SIDE)
    assert_close(got, F.rgb_to_grayscale(planes(photos), 3), 0)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [SIDE, 40, 9])
def test_resized_crops(photos, interpolation, size):
    rng = np.random.default_rng(1)
    height, width = rng.integers(2, SIDE + 1, N), rng.integers(2, SIDE + 1, N)
    top, left = rng.integers(0, SIDE - height + 1), rng.integers(0, SIDE - width + 1)
    cuts = np.stack([top, left, height, width], axis=1).tolist()
    got = [
        augmenting.resized(p[y : y + h, x : x + w], size, interpolation)
        for p, (y, x, h, w) in zip(photos, cuts, strict=True)
    ]
    square, mode = [size, size], v2.InterpolationMode(interpolation)
    theirs = zip(planes(photos), cuts, strict=True)
    assert_close(got, [F.resized_crop(p, *cut, square, mode, antialias=True) for p, cut in theirs])


def differing(got, expected, within=WITHIN):
    """The part of all values that is off by more."""
    return ((planes(got).float() - expected.float()).abs() > within).float().mean()


def on_ground(change, photos, fill):
    """What torchvision's `change(photo, number)` makes, laid on a ground of `fill`.

    Where a photo ends between two pixels, its share is laid over the ground once; with a `fill` of its own
    torchvision takes that share twice and makes edges darker.
    """
    shown = torch.stack([change(p, n) for n, p in enumerate(planes(photos).float())])
    share = torch.stack([change(torch.ones(3, SIDE, SIDE), n) for n in range(len(photos))])
    return (shown + fill * (1 - share)).round()


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_rotations(photos, interpolation, fill):
    angles = numbers(-180, 180)
    got = [augmenting.warped(p, -a, 0, 0, 1, 0, interpolation, fill) for p, a in zip(photos, angles, strict=True)]
    mode = v2.InterpolationMode(interpolation)
    expected = on_ground(lambda p, n: F.rotate(p, float(angles[n]), mode), photos, fill)
    if interpolation == "bilinear":
        assert_close(got, expected)
    assert differing(got, expected) < 0.002  # nearest: between two pixels a last digit decides


@pytest.mark.parametrize("fill", [0, 200])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_affine(photos, interpolation, fill):
    angle, scale, shear = numbers(-180, 180), numbers(0.5, 2, 1), numbers(-60, 60, 2)
    across, down = np.round(numbers(-9, 9, 3)), np.round(numbers(-9, 9, 4))
    drawn = list(zip(angle, across, down, scale, shear, strict=True))
    got = [augmenting.warped(p, *one, interpolation, fill) for p, one in zip(photos, drawn, strict=True)]
    mode = v2.InterpolationMode(interpolation)

    def theirs(photo, n):
        a, x, y, s, h = drawn[n]
        return F.affine(photo, a, [int(x), int(y)], s, [h, 0.0], mode)

    expected = on_ground(theirs, photos, fill)
    if interpolation == "bilinear":
        assert_close(got, expected)
    assert differing(got, expected) < 0.002


@pytest.mark.parametrize("center", [(0.0, 0.0), (0.25, 0.75), (1.0, 0.5)])
def test_turning_around_another_point(photos, center):
    angles = numbers(-180, 180)
    got = [augmenting.warped(p, -a, center=center) for p, a in zip(photos, angles, strict=True)]
    place, bilinear = [part * SIDE for part in center], v2.InterpolationMode.BILINEAR
    expected = on_ground(lambda p, n: F.rotate(p, float(angles[n]), bilinear, center=place), photos, 0)
    assert differing(got, expected) < 0.002


@pytest.mark.parametrize("angle", [-170.0, -90.0, -33.3, 0.0, 7.0, 45.0, 90.0, 180.0])
def test_a_whole_turned_photo(photos, angle):
    step, bilinear = A.RandomRotation(degrees=(angle, angle), expand=True, fill=9), v2.InterpolationMode.BILINEAR
    got = augmenting.apply(step, photos, Draws(sample_seeds(0, range(N))), SIDE)
    assert_close(got, on_ground(lambda p, _: F.rotate(p, angle, bilinear, expand=True), photos, 9))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_padding(photos, mode):
    for step in (A.Pad(padding=SIDE - 1, padding_mode=mode, fill=7), A.Pad(padding=3, padding_mode=mode)):
        got = augmenting.apply(step, photos, Draws(sample_seeds(5, range(N))), SIDE)
        assert_close(got, F.pad(planes(photos), [step.padding], fill=step.fill, padding_mode=mode), 0)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_crops_are_parts_of_the_padded_photo(photos, mode):
    step = A.RandomCrop(size=20, padding=4, padding_mode=mode, fill=7)
    got = planes(augmenting.apply(step, photos, Draws(sample_seeds(5, range(N))), SIDE))
    padded = F.pad(planes(photos), [4], fill=7, padding_mode=mode)
    parts = padded.unfold(2, 20, 1).unfold(3, 20, 1)  # (N, 3, 13, 13, 20, 20)
    places = (parts == got[:, :, None, None]).all(5).all(4).all(1)  # (N, 13, 13)
    assert places.flatten(1).any(1).all()
    assert len({int(p.flatten().int().argmax()) for p in places}) > 6


EVERY = [
    *A.recommended(), A.RandomVerticalFlip(), A.RandomAffine(shear=(-20, 20)), A.Pad(padding=3),
    A.RandomCrop(size=21), A.GaussianNoise(),
]  # fmt: skip


@pytest.mark.parametrize("steps", [EVERY, [A.RandomRotation(expand=True), *EVERY]], ids=["same size", "expanding"])
def test_neither_order_nor_company_changes_a_draw(photos, steps):
    augment, seeds = A.build(steps, SIDE), sample_seeds(9, range(N))
    before = photos.copy()
    together = augment(photos, seeds)
    assert np.array_equal(augment(photos[::-1], seeds[::-1])[::-1], together)
    assert np.array_equal(np.concatenate([augment(photos[i : i + 1], seeds[i : i + 1]) for i in range(N)]), together)
    assert not np.array_equal(augment(photos, sample_seeds(10, range(N))), together)
    assert np.array_equal(photos, before)


def test_draws_are_even_and_independent():
    draws = Draws(sample_seeds(1, range(20_000)))
    first, second = draws.uniform(), draws.uniform()
    for drawn in (first, second):
        assert drawn.min() >= 0 and drawn.max() < 1
        assert np.histogram(drawn, 20, (0, 1))[0] == pytest.approx(1000, abs=150)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03 and abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03
    assert set(draws.below(3)) == {0, 1, 2}


def test_splitmix_is_the_published_one():
    """The first outputs for state 1234567, from the reference implementation's test vector."""
    draws = Draws(np.array([1234567], dtype=np.uint64))
    assert [int(draws.bits()[0]) for _ in range(2)] == [6457827717110365317, 3203168211198807973]


def test_parameters_are_drawn_as_torchvisions():
    """Means and spreads of what RandomResizedCrop cuts, over many draws of both."""
    step, many = A.RandomResizedCrop(scale=(0.3, 1.0)), 3000
    sides = np.full((2, many), 32.0)
    ours = np.stack(augmenting._cut(step, sides, Draws(sample_seeds(2, range(many)))))
    theirs = v2.RandomResizedCrop(32, scale=(0.3, 1.0), ratio=step.ratio)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [theirs.make_params([torch.zeros(3, 32, 32)]) for _ in range(many)]
    expected = np.array([[d["top"], d["left"], d["height"], d["width"]] for d in drawn]).T
    assert ours.mean(1) == pytest.approx(expected.mean(1), abs=0.4)
    assert ours.std(1) == pytest.approx(expected.std(1), abs=0.4)


def test_every_order_of_colour_changes_happens(photos):
    """Full saturation loss and strong contrast do not commute with the rest: all orders give their own picture."""
    step = A.ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.4)
    got = A.build([step], SIDE)([photos[0]] * 200, sample_seeds(4, range(200)))
    assert len({one.tobytes() for one in got}) == 200
