"""What curves mean, in plain sentences.  [no streamlit]"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from catfish_core.events import EpochEnd
from catfish_ui.text import percent

RISE = 1.08  # validation loss above its lowest by this much is a rise, not a wobble
MATTERS = 0.02  # a rise of less is no learning by heart: with nearly every answer right, a loss near 0 wobbles
FALL = 0.92  # training loss below what it was by this much is still a fall
STUCK = 0.97  # a training loss above this part of the first has not fallen
Mood = Literal["wait", "good", "warn", "bad"]


@dataclass(frozen=True)
class Reading:
    """A sentence or two about the curves; `overfitting` is its first epoch, from 1, None where there is none."""

    mood: Mood
    text: str
    overfitting: int | None = None


def overfitting_since(epochs: Sequence[EpochEnd]) -> int | None:
    """The epoch, counted from 1, with which overfitting began; None where it has not.

    Overfitting: after its lowest point the validation loss has risen for good, in the mean of the last three
    epochs by 8 % and 0.02 or more, while the training loss went on falling. It began with the epoch after the lowest.
    """
    if len(epochs) < 3 or not all(math.isfinite(e.val_loss) for e in epochs):
        return None
    lowest = min(range(len(epochs)), key=lambda i: epochs[i].val_loss)
    after = epochs[lowest + 1 :]
    if len(after) < 2:
        return None
    recent, low = [e.val_loss for e in after[-3:]], epochs[lowest].val_loss
    risen = sum(recent) / len(recent) > max(RISE * low, low + MATTERS) and recent[-1] > low
    falling = epochs[-1].train_loss < FALL * epochs[lowest].train_loss
    return epochs[lowest].epoch + 2 if risen and falling else None


def read(epochs: Sequence[EpochEnd], planned: int, classes: int, active: bool) -> Reading:
    """What the epochs so far say about a run of `planned` epochs that tells `classes` classes apart."""
    if any(not math.isfinite(e.train_loss) or not math.isfinite(e.val_loss) for e in epochs):
        return Reading(
            "bad", "The loss has left the numbers: the steps were too long. Try a learning rate ten times smaller."
        )
    if len(epochs) < 2:
        return Reading("wait", "Too early to say: two epochs are needed to see where the curves are going.")
    began = overfitting_since(epochs)
    if began is not None:
        return _overfitting(epochs, began)
    if _stuck(epochs, classes):
        return Reading(
            "bad" if not active else "warn",
            "It has hardly learned so far: the training loss has not fallen and the answers are little better than "
            "guessing. A learning rate ten times larger or smaller often helps.",
        )
    return _learning(epochs, planned, active)


def _overfitting(epochs: Sequence[EpochEnd], began: int) -> Reading:
    best = epochs[-1].best_epoch + 1
    return Reading(
        "warn",
        f"Overfitting began with epoch {began}: the network gets ever better on photos it has seen, and worse on "
        f"those it has not. It is learning by heart. The weights of epoch {best} are kept. More photos, "
        "augmentations or a smaller network help.",
        began,
    )


def _stuck(epochs: Sequence[EpochEnd], classes: int) -> bool:
    guessing = 1 / max(2, classes)
    return (
        len(epochs) >= 3
        and min(e.train_loss for e in epochs[1:]) > STUCK * epochs[0].train_loss
        and epochs[-1].best_val_accuracy < guessing + 0.1
    )


def _learning(epochs: Sequence[EpochEnd], planned: int, active: bool) -> Reading:
    first, last = epochs[0], epochs[-1]
    gap = last.train_accuracy - last.val_accuracy
    recent = epochs[-4:]
    improving = len(recent) >= 2 and recent[-1].val_loss < 0.97 * recent[0].val_loss
    if gap > 0.12 and last.train_accuracy > 0.85:
        return Reading(
            "warn",
            f"It knows the training photos better ({percent(last.train_accuracy)} right) than new ones "
            f"({percent(last.val_accuracy)}): the beginning of learning by heart. More photos or augmentations "
            "narrow the gap.",
        )
    if improving and active:
        return Reading("good", "It is learning: the loss falls on training photos and on photos it has not seen.")
    if improving and len(epochs) >= planned:
        return Reading("good", "It was still learning when the last epoch ended: more epochs would probably help.")
    if improving:
        return Reading("good", "It was learning well: both losses were still falling.")
    if last.val_loss < 0.97 * first.val_loss or last.best_val_accuracy > 0.9:
        return Reading("good", "It has learned what it can this way: the curves have levelled off side by side.")
    return Reading("wait", "The curves wobble without a clear direction so far.")
