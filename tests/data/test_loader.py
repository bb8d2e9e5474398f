import time
from functools import partial

import numpy as np
import pytest
import torch

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
    got = pictures.read(np.array([3, 0, 3]))
    assert got.dtype == np.uint8 and got.shape == (3, 16, 16, 3)
    for square, i in zip(got, (3, 0, 3), strict=True):
        assert np.array_equal(square, np.asarray(photos.resized(photos.open_photo(split.paths[i]), 16, "crop")))


def test_cached_pictures_are_the_same_to_the_last_bit(workspace, tiny_dataset, split, monkeypatch):
    decoded = Pictures(split.paths, 16).read(np.arange(24))
    steps = pixels.prepare(workspace, library.load(workspace, tiny_dataset), 16, "squash")
    cached = Pictures(split.paths, 16, cached=partial(ended(steps).take, "train"))
    monkeypatch.setattr(photos, "square", None)
    assert np.array_equal(cached.read(np.arange(24)), decoded)
    assert np.array_equal(cached.read(np.array([3, 0, 3])), decoded[[3, 0, 3]])


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
    pixels = torch.from_numpy(Pictures(split.paths, 16).read(np.arange(24))).permute(0, 3, 1, 2) / 255
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
    factors = np.array([np.random.default_rng(seed).random(3) for seed in seeds]).reshape(-1, 1, 1, 3)
    return (pixels * factors).astype(np.uint8)


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
    white = np.full((1, 2, 2, 3), 255, dtype=np.uint8)
    got = normalised(white, (0.5,) * 3, (0.5,) * 3)
    assert got.shape == (1, 3, 2, 2) and got.is_contiguous() and torch.allclose(got, torch.ones(1, 3, 2, 2))
    assert np.unique(white).tolist() == [255]


def test_the_order_in_memory_changes_no_value(split):
    plain, beside = (list(batches(split, seed=1, channels_last=wanted).epoch(3)) for wanted in (False, True))
    for (a, _), (b, _) in zip(plain, beside, strict=True):
        assert torch.equal(a, b)
        assert a.is_contiguous() and b.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("ahead", [0, 3, 9])
def test_how_many_are_made_ready_ahead_changes_nothing(split, ahead):
    one, other = (
        list(batches(split, seed=2, augment=jitter, ahead=number).epoch(1)) for number in (1, ahead)
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(sum(one, ()), sum(other, ()), strict=True))


@pytest.mark.parametrize(("room", "reads"), [(loader.KEPT, 24), (16 * 16 * 3 * 4 * 23, 72)])
def test_photos_are_normalised_once_where_all_of_them_fit(split, monkeypatch, room, reads):
    monkeypatch.setattr(loader, "KEPT", room)
    read, asked = Pictures.read, []
    monkeypatch.setattr(Pictures, "read", lambda self, indices: (asked.extend(indices), read(self, indices))[1])
    some = batches(split, seed=1)
    epochs = [list(some.epoch(n)) for n in (0, 1, 0)]
    assert len(asked) == reads
    for (first, _), (again, _) in zip(epochs[0], epochs[2], strict=True):
        assert torch.equal(first, again)


def test_what_is_kept_is_nobody_elses(split):
    some = batches(split, seed=3)  # in the order of the photos they are not copied, and networks leave them alone
    before = [images.clone() for images, _ in some]
    for images, _ in some:
        images.zero_()
    assert all(torch.equal(images, expected) for (images, _), expected in zip(some, before, strict=True))


def test_photos_in_their_order_are_not_copied(split):
    some = batches(split)
    before = [images.clone() for images, _ in some]
    first, again = ([images for images, _ in some] for _ in range(2))
    assert [images.data_ptr() for images in first] == [images.data_ptr() for images in again]
    assert all(torch.equal(images, expected) for images, expected in zip(first, before, strict=True))
