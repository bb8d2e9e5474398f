import time
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from catfish_core.data import library, loader, photos, pixels
from catfish_core.data.loader import Batches, Pictures, normalised
from catfish_core.errors import PhotoError

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def split(workspace, tiny_dataset):
    return library.load(workspace, tiny_dataset).splits["train"]


def batches(split, size=5, **options):
    return Batches(Pictures(split.paths, 16), split.labels, size, MEAN, STD, **options)


def test_pictures_are_what_the_photo_module_makes(split):
    pictures = Pictures(split.paths, 16, "crop")
    got = pictures.read([3, 0, 3])
    assert got.dtype == torch.uint8 and got.shape == (3, 3, 16, 16)
    for tensor, i in zip(got, (3, 0, 3), strict=True):
        expected = np.asarray(photos.resized(photos.open_photo(split.paths[i]), 16, "crop"))
        assert np.array_equal(tensor.permute(1, 2, 0).numpy(), expected)


def test_cached_pictures_are_the_same_to_the_last_bit(workspace, tiny_dataset, split, monkeypatch):
    decoded = Pictures(split.paths, 16).read(range(24))
    steps = pixels.prepare(workspace, library.load(workspace, tiny_dataset), 16, "squash")
    cached = Pictures(split.paths, 16, cached=partial(ended(steps).take, "train"))
    monkeypatch.setattr(photos, "square", None)
    got = cached.read(range(24))
    assert torch.equal(got, decoded) and got.stride() == decoded.stride()
    assert torch.equal(cached.read([3, 0, 3]), decoded[[3, 0, 3]])


def ended(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_photo_that_no_longer_decodes_is_named_as_it_came(split):
    split.paths[7].write_bytes(b"gone bad")
    pictures = Pictures(split.paths, 16, names=split.names)
    with pytest.raises(PhotoError, match=split.names[7]):
        list(Batches(pictures, split.labels, 4, MEAN, STD))


def test_in_order_and_normalised(split):
    got = list(batches(split))
    assert [len(labels) for _, labels in got] == [5, 5, 5, 5, 4]
    images, labels = (torch.cat(parts) for parts in zip(*got, strict=True))
    assert images.dtype == torch.float32 and labels.dtype == torch.int64 and labels.tolist() == list(split.labels)
    pixels = Pictures(split.paths, 16).read(range(24)).float() / 255
    expected = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(images, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(23, [24]), (8, [8, 8, 8]), (24, [24]), (100, [24]), (1, [1] * 24), (11, [11, 11, 2])],
)
def test_a_lone_last_sample_joins_the_batch_before_it(split, size, lengths):
    some = batches(split, size)
    assert [len(labels) for _, labels in some] == lengths
    assert (len(some), some.samples) == (len(lengths), 24)


def test_seeds_and_epochs_decide_the_order(split):
    def order(seed, epoch):
        return [
            tuple(image.flatten().tolist())
            for images, _ in batches(split, seed=seed).epoch(epoch)
            for image in images
        ]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1) and order(1, 0) != order(2, 0)
    assert sorted(order(1, 0)) == sorted(order(1, 1))


def jitter(pixels, seeds):
    factors = torch.tensor([np.random.default_rng(seed).random(3).tolist() for seed in seeds]).view(-1, 3, 1, 1)
    return (pixels.float() * factors).to(torch.uint8)


def test_augmentation_depends_on_seed_epoch_and_sample_alone(split):
    def by_label(size, epoch, seed=3):
        some = batches(split, size, augment=jitter, seed=seed)
        return sorted(tuple(image.flatten().tolist()) for images, _ in some.epoch(epoch) for image in images)

    assert by_label(4, 0) == by_label(7, 0) == by_label(24, 0)
    assert by_label(4, 0) != by_label(4, 1) and by_label(4, 0) != by_label(4, 0, seed=4)


def test_nobody_elses_random_numbers_are_touched(split):
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    list(batches(split, augment=jitter, seed=3).epoch(2))
    assert torch.equal(torch.rand(4), expected)


def test_an_epoch_given_up_ends_its_threads(split):
    import threading

    steps = batches(split).epoch(0)
    next(steps)
    steps.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_the_next_batch_is_decoded_meanwhile(split, monkeypatch):
    read = Pictures.read
    begun = []

    def noted(self, indices):
        begun.append(list(indices))
        return read(self, indices)

    monkeypatch.setattr(Pictures, "read", noted)
    steps = batches(split).epoch(0)
    next(steps)
    for _ in range(100):
        if len(begun) == 2:
            break
        time.sleep(0.01)
    assert len(begun) == 2
    steps.close()


def test_labels_and_pictures_must_match(split):
    with pytest.raises(ValueError, match="labels"):
        Batches(Pictures(split.paths, 16), [0], 4, MEAN, STD)


def test_no_samples_no_batches():
    empty = Batches(Pictures([], 16), [], 4, MEAN, STD, seed=1)
    assert len(empty) == 0 and list(empty) == []


def test_normalised_leaves_its_input():
    pixels = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert torch.allclose(normalised(pixels, (0.5,) * 3, (0.5,) * 3), torch.ones(1, 3, 2, 2))
    assert pixels.unique().tolist() == [255]


def test_as_tensor():
    assert loader.as_tensor(Image.new("RGB", (4, 2), (1, 2, 3)))[:, 0, 0].tolist() == [1, 2, 3]
