"""Batched augmentations against torchvision's functional of the same step and parameters, photo by photo."""

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
    return F.resize(coarse, [SIDE, SIDE], antialias=True).round().to(torch.uint8)


def numbers(low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, N)


def assert_close(got, expected, within=WITHIN):
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
    factors = numbers(low, high)
    got = ours(photos.float(), torch.tensor(factors, dtype=torch.float32).view(-1, 1, 1, 1))
    assert_close(got, torch.stack([theirs(p, float(f)) for p, f in zip(photos, factors, strict=True)]))


def test_grey(photos):
    got = augmenting.apply(A.RandomGrayscale(p=1), photos, Draws(sample_seeds(0, range(N))), SIDE)
    assert_close(got, F.rgb_to_grayscale(photos, 3), 0)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [SIDE, 40, 9])
def test_resized_crops(photos, interpolation, size):
    rng = np.random.default_rng(1)
    height, width = rng.integers(2, SIDE + 1, N), rng.integers(2, SIDE + 1, N)
    top, left = rng.integers(0, SIDE - height + 1), rng.integers(0, SIDE - width + 1)
    cuts = np.stack([top, left, height, width]).astype(float)
    got = augmenting.resized_crop(photos, *cuts, size, interpolation)
    mode = v2.InterpolationMode(interpolation)
    expected = [
        F.resized_crop(p, *(int(v) for v in cut), [size, size], mode, antialias=True)
        for p, cut in zip(photos, cuts.T, strict=True)
    ]
    assert_close(got, torch.stack(expected))


def differing(got, expected, within=WITHIN):
    """The part of all values that is off by more."""
    return ((got.float() - expected.float()).abs() > within).float().mean()


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_rotations(photos, interpolation, fill):
    angles, none = numbers(-180, 180), np.zeros(N)
    got = augmenting.warped(photos, -angles, none, none, none + 1, none, interpolation, fill)
    mode = v2.InterpolationMode(interpolation)
    expected = torch.stack([F.rotate(p, float(a), mode, fill=fill) for p, a in zip(photos, angles, strict=True)])
    if interpolation == "bilinear":
        assert_close(got, expected)
    assert differing(got, expected) < 0.002  # nearest: between two pixels a last digit decides


@pytest.mark.parametrize("fill", [0, 200])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_affine(photos, interpolation, fill):
    angle, scale, shear = numbers(-180, 180), numbers(0.5, 2, 1), numbers(-60, 60, 2)
    across, down = np.round(numbers(-9, 9, 3)), np.round(numbers(-9, 9, 4))
    got = augmenting.warped(photos, angle, across, down, scale, shear, interpolation, fill)
    mode = v2.InterpolationMode(interpolation)
    expected = [
        F.affine(p, a, [int(x), int(y)], s, [h, 0.0], mode, fill=fill)
        for p, a, x, y, s, h in zip(photos, angle, across, down, scale, shear, strict=True)
    ]
    if interpolation == "bilinear":
        assert_close(got, torch.stack(expected))
    assert differing(got, torch.stack(expected)) < 0.002


@pytest.mark.parametrize("center", [(0.0, 0.0), (0.25, 0.75), (1.0, 0.5)])
def test_turning_around_another_point(photos, center):
    angles, none = numbers(-180, 180), np.zeros(N)
    got = augmenting.warped(photos, -angles, none, none, none + 1, none, "bilinear", 0, center)
    place, bilinear = [part * SIDE for part in center], v2.InterpolationMode.BILINEAR
    expected = [F.rotate(p, float(a), bilinear, center=place, fill=0) for p, a in zip(photos, angles, strict=True)]
    assert differing(got, torch.stack(expected)) < 0.002


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_crops_are_parts_of_the_padded_photo(photos, mode):
    step = A.RandomCrop(size=20, padding=4, padding_mode=mode, fill=7)
    got = augmenting.apply(step, photos, Draws(sample_seeds(5, range(N))), SIDE)
    padded = F.pad(photos, [4], fill=7, padding_mode=mode)
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
    together = augment(photos, seeds)
    turned = augment(photos.flip(0), seeds[::-1].copy()).flip(0)
    alone = torch.cat([augment(photos[i : i + 1], seeds[i : i + 1]) for i in range(N)])
    assert_close(turned, together, 1)
    assert_close(alone, together, 1)
    assert not torch.equal(augment(photos, sample_seeds(10, range(N))), together)


def test_a_photo_laid_out_as_the_cache_has_it_gives_the_same(photos):
    augment, seeds = A.build(EVERY, SIDE), sample_seeds(9, range(N))
    channels_last = photos.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(channels_last, seeds), augment(photos, seeds))


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
    pixels = torch.zeros((many, 3, 32, 32), dtype=torch.uint8)
    ours = np.stack(augmenting._cut(step, pixels, Draws(sample_seeds(2, range(many)))))
    theirs = v2.RandomResizedCrop(32, scale=(0.3, 1.0), ratio=step.ratio)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [theirs.make_params([pixels[0]]) for _ in range(many)]
    expected = np.array([[d["top"], d["left"], d["height"], d["width"]] for d in drawn]).T
    assert ours.mean(1) == pytest.approx(expected.mean(1), abs=0.4)
    assert ours.std(1) == pytest.approx(expected.std(1), abs=0.4)


def test_every_order_of_colour_changes_happens(photos):
    """Full saturation loss and strong contrast do not commute with the rest: all orders give their own picture."""
    step = A.ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.4)
    same = photos[:1].expand(200, -1, -1, -1)
    got = A.build([step], SIDE)(same, sample_seeds(4, range(200)))
    assert len({one.numpy().tobytes() for one in got}) == 200
