import math

import pytest

from catfish_core.events import EpochEnd
from catfish_ui.reading import overfitting_since, read


def epochs(train, val, accuracy=None, train_accuracy=None):
    """Epochs with these losses; the best is the one with the lowest validation loss."""
    best = min(range(len(val)), key=lambda i: val[i] if math.isfinite(val[i]) else math.inf)
    accuracy = accuracy or [0.7] * len(val)
    return [
        EpochEnd(
            epoch=i,
            train_loss=t,
            train_accuracy=(train_accuracy or accuracy)[i],
            val_loss=v,
            val_accuracy=accuracy[i],
            lr=0.1,
            seconds=1,
            images_per_second=1,
            improved=i == best,
            best_epoch=best,
            best_val_accuracy=max(accuracy),
        )
        for i, (t, v) in enumerate(zip(train, val, strict=True))
    ]


FALLING = [0.7, 0.6, 0.5, 0.42, 0.35, 0.3]


def test_overfitting_is_named_with_the_epoch_it_began():
    found = epochs(FALLING, [0.7, 0.6, 0.55, 0.6, 0.66, 0.72])
    assert overfitting_since(found) == 4
    reading = read(found, 6, 2, active=False)
    assert reading.overfitting == 4 and "Overfitting began with epoch 4" in reading.text and "epoch 3" in reading.text


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (FALLING, FALLING),
        (FALLING, [0.7, 0.6, 0.55, 0.56, 0.55, 0.56]),  # a wobble
        (FALLING, [0.7, 0.6, 0.55, 0.75, 0.6, 0.54]),  # one bad epoch
        ([0.7, 0.6, 0.5, 0.6, 0.7, 0.8], [0.7, 0.6, 0.55, 0.6, 0.7, 0.8]),  # both rise: not learning by heart
        ([0.7, 0.6], [0.5, 0.9]),  # too early
        ([0.2, 0.015, 0.007, 0.001, 0.0007], [0.02, 0.02, 0.009, 0.016, 0.016]),  # nearly all is right all the time
        (FALLING, [0.7, math.nan, 0.5, 0.6, 0.7, 0.8]),
    ],
)
def test_what_is_not_overfitting(train, val):
    assert overfitting_since(epochs(train, val)) is None


def test_too_early_to_say():
    assert "Too early" in read([], 5, 2, True).text
    assert "Too early" in read(epochs([0.7], [0.7]), 5, 2, True).text


def test_a_loss_that_is_no_number_names_the_learning_rate():
    reading = read(epochs([0.7, math.nan], [0.7, 0.7]), 5, 2, False)
    assert reading.mood == "bad" and "learning rate" in reading.text


def test_a_run_that_learns_nothing_says_so():
    stuck = epochs([0.693, 0.692, 0.693, 0.694], [0.693] * 4, [0.5, 0.48, 0.52, 0.5])
    assert "hardly learned" in read(stuck, 4, 2, False).text


def test_a_run_that_learns_says_so_and_whether_to_go_on():
    learning = epochs(FALLING, FALLING)
    assert read(learning, 20, 2, True).mood == "good"
    assert "more epochs" in read(learning, 6, 2, False).text
    level = epochs([0.5, 0.3, 0.3, 0.3, 0.3, 0.3], [0.5, 0.31, 0.31, 0.31, 0.31, 0.31])
    assert "levelled off" in read(level, 6, 2, False).text


def test_a_gap_between_training_and_validation_is_named():
    gap = epochs([0.7, 0.4, 0.3], [0.7, 0.55, 0.55], [0.6, 0.7, 0.7], [0.6, 0.9, 0.95])
    assert "95 %" in read(gap, 3, 2, False).text and "by heart" in read(gap, 3, 2, False).text
