"""The ten augmentations at work: shape, effect, order, the ends of every range, the same draw for the same seed."""

import itertools

import numpy as np
import pytest
import torch

from catfish_core import augment as A
from catfish_core import config
from catfish_core.errors import ConfigError

SIZE = 16


@pytest.fixture
def photo():
    return torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def draw(steps, photo, seed=0):
    """torchvision's order of dimensions in and out, (3, S, S), so that both can be compared."""
    changed = A.build(steps, photo.shape[-1])([pixels(photo)], np.array([seed], dtype=np.uint64))[0]
    return torch.from_numpy(changed).permute(2, 0, 1)


def pixels(photo):
    return photo.permute(1, 2, 0).contiguous().numpy()


def accepted(steps, size=SIZE):
    try:
        config.parse({"data": {"image_size": size}, "augment": {"steps": [s.model_dump() for s in steps]}})
    except ConfigError:
        return False
    return True


SURE = [
    A.ColorJitter(brightness=0.9), A.RandomHorizontalFlip(p=1), A.RandomVerticalFlip(p=1), A.RandomGrayscale(p=1),
    A.RandomCrop(size=9), A.RandomResizedCrop(scale=(0.3, 0.5)), A.RandomRotation(degrees=(30, 40)), A.Pad(padding=3),
    A.RandomAffine(degrees=(20, 30)), A.GaussianNoise(sigma=0.2),
]  # fmt: skip


def test_all_ten_are_here():
    assert {type(step) for step in SURE} == set(A.STEPS) and len(A.STEPS) == 10


@pytest.mark.parametrize("step", SURE, ids=lambda step: step.kind)
def test_each_changes_the_photo_keeps_its_shape_and_repeats_under_a_seed(step, photo):
    before = photo.clone()
    changed = draw([step], photo, seed=4)
    assert changed.shape == photo.shape and changed.dtype == torch.uint8
    assert not torch.equal(changed, photo) and torch.equal(photo, before)
    assert torch.equal(changed, draw([step], photo, seed=4))


RANDOM = [s for s in SURE if s.kind not in ("RandomHorizontalFlip", "RandomVerticalFlip", "RandomGrayscale", "Pad")]


@pytest.mark.parametrize("step", RANDOM, ids=lambda step: step.kind)
def test_other_seeds_draw_otherwise(step, photo):
    assert len({draw([step], photo, seed).numpy().tobytes() for seed in range(6)}) > 3


def test_exact_effects(photo):
    assert torch.equal(draw([A.RandomHorizontalFlip(p=1)], photo), photo.flip(2))
    assert torch.equal(draw([A.RandomVerticalFlip(p=1)], photo), photo.flip(1))
    grey = draw([A.RandomGrayscale(p=1)], photo)
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[1], grey[2])
    assert torch.equal(draw([A.RandomRotation(degrees=(90, 90))], photo), photo.rot90(1, (1, 2)))
    for never in (A.RandomHorizontalFlip(p=0), A.RandomVerticalFlip(p=0), A.RandomGrayscale(p=0)):
        assert torch.equal(draw([never], photo), photo)
    for nothing in (A.GaussianNoise(sigma=0), A.ColorJitter(brightness=0, contrast=0, saturation=0, hue=0)):
        assert torch.equal(draw([nothing], photo), photo)


def test_fill_is_what_appears():
    black = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    framed = draw([A.Pad(padding=16, fill=255)], black)
    assert framed[:, 0].min() == 255 and framed[:, 8, 8].max() == 0
    turned = draw([A.RandomRotation(degrees=(45, 45), fill=200, interpolation="nearest")], black)
    assert turned[0, 0, 0] == 200 and turned[0, 8, 8] == 0


def test_noise_has_the_strength_and_shift_it_was_given():
    grey = torch.full((3, 256, 256), 128, dtype=torch.uint8)
    grain = draw([A.GaussianNoise(mean=0.1, sigma=0.05)], grey).float() - 128
    assert grain.mean().item() == pytest.approx(25.5, abs=0.2)
    assert grain.std().item() == pytest.approx(12.75, abs=0.2)
    for mean, end in ((-1, 0), (1, 255)):
        assert torch.equal(draw([A.GaussianNoise(mean=mean, sigma=0)], grey), torch.full_like(grey, end))


def test_the_order_is_kept(photo):
    grain, pale = A.GaussianNoise(sigma=0.3), A.RandomGrayscale(p=1)
    pale_last = draw([grain, pale], photo)
    assert torch.equal(pale_last[0], pale_last[1])
    assert not torch.equal(*draw([pale, grain], photo)[:2])


MODES = ("constant", "edge", "reflect", "symmetric")
EXTREMES = [
    *(A.Pad(padding=p, padding_mode=m) for p, m in itertools.product((1, 7, 8, 15, 16, 17, 512), MODES)),
    *(
        A.RandomCrop(size=s, padding=p, pad_if_needed=n, padding_mode=m)
        for s, p, n, m in itertools.product((4, 16, 17, 40, 1024), (0, 8, 16, 512), (True, False), MODES)
    ),
    *(A.RandomResizedCrop(scale=s, ratio=r)
      for s, r in itertools.product(((1e-9, 1e-9), (1, 1)), ((0.1, 0.1), (10, 10), (0.1, 10)))),
    *(A.RandomRotation(degrees=d, expand=e, interpolation=i)
      for d, e, i in itertools.product(((-180, 180), (45, 45), (180, 180)), (True, False), ("nearest", "bilinear"))),
    *(A.RandomAffine(degrees=(-180, 180), translate=t, scale=s, shear=h, interpolation=i)
      for t, s, h, i in itertools.product(((0, 0), (1, 1)), ((0.01, 0.01), (4, 4)), ((-60, 60), (60, 60)),
                                          ("nearest", "bilinear"))),
    *(A.GaussianNoise(mean=m, sigma=s) for m, s in itertools.product((-1, 0, 1), (0, 1))),
    A.ColorJitter(brightness=2, contrast=2, saturation=2, hue=0.5),
]  # fmt: skip


def torchvisions(step, size):
    """torchvision's transform of the same name with the same parameters, for one photo."""
    from catfish_core.torch_setup import v2

    options = step.model_dump(exclude={"kind"})
    if "interpolation" in options:
        options["interpolation"] = v2.InterpolationMode(options["interpolation"])
    if isinstance(step, A.RandomResizedCrop):
        options |= {"size": size, "antialias": True}
    if isinstance(step, A.GaussianNoise):
        noise = v2.GaussianNoise(**options)  # torchvision's takes floats only
        return lambda pixels: (noise(pixels / 255) * 255).round().short().to(pixels.dtype)
    if "center" in options:
        options["center"] = None if step.center == A.MIDDLE else [part * size for part in step.center]
    if isinstance(step, A.RandomAffine):
        options["shear"] = None if step.shear == (0.0, 0.0) else list(step.shear)
    return getattr(v2, step.kind)(**options)


@pytest.mark.parametrize("size", [8, SIZE])
def test_whatever_is_let_through_runs(size):
    photo = torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
    for step in EXTREMES:
        if accepted([step], size):
            changed = draw([step], photo)
            assert changed.shape == photo.shape and changed.dtype == torch.uint8, step


@pytest.mark.parametrize("size", [8, SIZE])
def test_a_configuration_is_refused_exactly_where_a_run_would_break(size):
    """Against torchvision itself, unchecked: whatever is let through must run, whatever is refused must not."""
    photo = torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
    for step in EXTREMES:
        try:
            runs = torchvisions(step, size)(photo).dtype == torch.uint8
        except (RuntimeError, ValueError, IndexError):
            runs = False
        assert accepted([step], size) is runs, f"{step!r} on {size} px: torchvision {'runs' if runs else 'refuses'}"


def reflected(padding):
    return A.Pad(padding=padding, padding_mode="reflect")


@pytest.mark.parametrize(
    ("steps", "fits"),
    [
        ([A.RandomCrop(size=4), reflected(7)], False),  # what an earlier step leaves is what a later one gets
        ([A.RandomCrop(size=4), A.RandomResizedCrop(), reflected(7)], True),  # scaled back to 16 px in between
        ([A.Pad(padding=40), A.RandomResizedCrop(), reflected(16)], False),
        ([A.Pad(padding=40), A.RandomResizedCrop(), A.RandomCrop(size=30)], False),
        ([A.RandomCrop(size=4), A.RandomResizedCrop(ratio=(0.1, 0.1))], False),  # 4 px × 0.1: less than a pixel
        ([A.RandomCrop(size=4), A.RandomResizedCrop(ratio=(10, 10))], False),
        ([A.RandomRotation(degrees=(0, 90), expand=True), reflected(15)], True),
    ],
)
def test_what_earlier_steps_leave_is_what_counts(steps, fits, photo):
    """Against torchvision itself again: with the checks out of the way, what is refused does break."""
    assert accepted(steps) is fits
    left, broke = photo, False
    try:
        for step in steps:
            left = torchvisions(step, SIZE)(left)
    except (RuntimeError, ValueError, IndexError):
        broke = True
    assert broke is not fits
    if fits:
        assert draw(steps, photo).shape == photo.shape


@pytest.mark.parametrize("step", [A.Pad(padding=512), A.RandomRotation(expand=True)], ids=lambda step: step.kind)
def test_a_photo_cannot_grow_until_the_memory_is_full(step):
    """Neither in a run nor in a preview; a rotated photo grows as far as its diagonal."""
    assert accepted([step], 1024) and not accepted([step] * 20, 64)
    with pytest.raises(ConfigError, match=f"{step.kind}: photos would grow to .* px; the limit is {A.MAX_SIDE}"):
        A.build([step] * 20, 64)


def test_a_rotated_photo_grows_no_further_than_was_reckoned():
    for size in (8, 15, 16, 33):
        flat = torch.zeros(3, size, size, dtype=torch.uint8)
        for degrees in range(-180, 181, 5):
            turned = torchvisions(A.RandomRotation(degrees=(degrees, degrees), expand=True), size)(flat)
            assert size <= turned.shape[1] == turned.shape[2] <= size * 2**0.5 + 2


UNFIT = [A.Pad(padding=SIZE, padding_mode="reflect"), A.RandomCrop(size=SIZE + 1)]


@pytest.mark.parametrize("step", UNFIT, ids=lambda step: step.kind)
def test_what_does_not_fit_is_a_sentence_without_a_configuration_too(step, photo):
    """The preview gets its steps straight from a page."""
    with pytest.raises(ConfigError, match=f"{SIZE} px"):
        A.preview(pixels(photo), [step], seed=0)


def test_a_scale_too_small_for_a_float_is_refused():
    with pytest.raises(ValueError, match="scale"):
        A.RandomAffine(scale=(5e-324, 5e-324))


def test_no_steps_make_no_pipeline(photo):
    assert A.build([], SIZE) is None
    assert all(np.array_equal(one, pixels(photo)) for one in A.preview(pixels(photo), [], seed=0))


def test_a_preview_leaves_the_random_state_of_other_devices_alone(photo, monkeypatch):
    """torch.manual_seed seeds every device there is, and nothing would put those back."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    A.preview(pixels(photo), A.recommended(), seed=7)
    assert seeded == []


def test_a_preview_has_nine_different_draws_and_leaves_the_random_state_alone(photo):
    before = torch.get_rng_state()
    nine = A.preview(pixels(photo), A.recommended(), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    assert len({one.tobytes() for one in nine}) == 9
    again, other = (
        A.preview(pixels(photo), A.recommended(), seed=7),
        A.preview(pixels(photo), A.recommended(), seed=8),
    )
    assert all(np.array_equal(a, b) for a, b in zip(nine, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(nine, other, strict=True))


@pytest.mark.parametrize("kind", [A.RandomRotation, A.RandomAffine])
def test_the_chosen_point_stays_where_it_is(kind):
    """A white corner survives every turn around it and leaves the picture when the middle is turned around."""
    white = torch.zeros(3, 32, 32, dtype=torch.uint8)
    white[:, :4, :4] = 255
    still = {"translate": (0, 0), "scale": (1, 1)} if kind is A.RandomAffine else {}
    corner = kind(degrees=(90, 90), center=(0.0625, 0.0625), **still)
    middle = kind(degrees=(90, 90), **still)
    assert draw([corner], white)[:, :4, :4].float().mean() > 200
    assert draw([middle], white)[:, :4, :4].float().mean() < 50


def test_noise_is_cut_off_or_wraps():
    white = torch.full((3, 32, 32), 250, dtype=torch.uint8)
    assert draw([A.GaussianNoise(sigma=0.1)], white).min() > 100
    assert draw([A.GaussianNoise(sigma=0.1, clip=False)], white).min() < 50
