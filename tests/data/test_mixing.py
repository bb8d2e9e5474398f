"""MixUp and CutMix: what two known photos become, and that draws are reproducible and disturb nothing."""

import random

import numpy as np
import pytest
import torch

from catfish_core.data.mixing import Mixed


class Photos:
    """Batches of two photos: one all 0 and of class 0, one all 1 and of class 2 of 3."""

    def __init__(self, batches=1, size=8):
        self.batches, self.size = batches, size

    def __len__(self):
        return self.batches

    def epoch(self, n, first=0):
        for _ in range(first, self.batches):
            pixels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, self.size, self.size).contiguous()
            yield pixels, torch.tensor([0, 2])


def first(how, alpha=1.0, seed=0, epoch=0, batches=1):
    return list(Mixed(Photos(batches), how, alpha, 3, seed).epoch(epoch))


def test_mixup_of_two_known_photos_is_their_blend():
    """The share of the first is all that is drawn: 0 · share + 1 · (1 - share) everywhere, and the labels alike."""
    ((images, labels),) = first("mixup", seed=1)
    share = labels[0, 0].item()
    assert 0.01 < share < 0.99
    assert torch.allclose(images[0], torch.full((3, 8, 8), 1 - share))
    assert torch.allclose(images[1], torch.full((3, 8, 8), share))
    assert torch.allclose(labels, torch.tensor([[share, 0, 1 - share], [1 - share, 0, share]]))


def test_the_share_is_drawn_from_beta_of_alpha():
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1))."""
    for alpha in (0.2, 1.0, 4.0):
        shares = np.array([labels[0, 0].item() for _, labels in first("mixup", alpha, batches=2000)])
        assert shares.mean() == pytest.approx(0.5, abs=0.04)
        assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_cutmix_pastes_a_rectangle_and_its_area_decides_the_labels():
    for images, labels in first("cutmix", batches=20):
        pasted = images[0] == 1  # the neighbour's pixels in the first photo
        rows, columns = pasted[0].any(1), pasted[0].any(0)
        assert torch.equal(pasted[0], rows[:, None] & columns[None, :])
        assert torch.equal(images[1], 1 - images[0])
        area = pasted.float().mean().item()
        assert torch.allclose(labels, torch.tensor([[1 - area, 0, area], [area, 0, 1 - area]]))


def test_either_takes_both_in_turn():
    whole = [len(images[0].unique()) == 1 for images, _ in first("either", batches=40)]
    assert 5 < sum(whole) < 35


@pytest.mark.parametrize("how", ["mixup", "cutmix", "either"])
def test_draws_depend_on_seed_epoch_and_batch_alone(how):
    torch.manual_seed(1)
    one = first(how, seed=3, epoch=2, batches=3)
    torch.manual_seed(2)
    two = first(how, seed=3, epoch=2, batches=3)
    for (a, b), (c, d) in zip(one, two, strict=True):
        assert torch.equal(a, c) and torch.equal(b, d)
    shares = [
        first(how, seed=s, epoch=e, batches=2)[k][1][0, 0].item() for s in (3, 4) for e in (0, 1) for k in (0, 1)
    ]
    assert len(set(shares)) > 5


@pytest.mark.parametrize("how", ["mixup", "cutmix", "either"])
def test_no_other_random_numbers_are_disturbed(how):
    torch.manual_seed(7)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first(how, batches=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


def test_it_has_as_many_batches_as_what_it_mixes():
    mixed = Mixed(Photos(5), "mixup", 1.0, 3, 0)
    assert len(mixed) == 5 == len(list(mixed))
