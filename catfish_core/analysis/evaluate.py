"""A network against photos it never learned from: the numbers, and every single answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from catfish_core.analysis import metrics
from catfish_core.analysis.metrics import ClassScore
from catfish_core.errors import DatasetError
from catfish_core.events import finite
from catfish_core.models.build import split_outputs

MANY = 100  # classes


@dataclass(frozen=True)
class Answer:
    """What was said of one photo: its name, true class, most probable class, and all probabilities.

    Of more than MANY classes only the highest probability, that of `predicted`: the report of thousands of photos
    in a thousand classes would have gigabytes.
    """

    name: str
    label: int
    predicted: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """The test of a network; `low` and `high` bound the accuracy at 95 % (Wilson), `loss` is the mean a photo."""

    loss: float
    accuracy: float
    low: float
    high: float
    samples: int
    classes: tuple[str, ...]
    confusion: list[list[int]]
    per_class: tuple[ClassScore, ...]
    predictions: tuple[Answer, ...]

    def to_json(self) -> str:
        """The report as report.json holds it; null for what is not a number, as networks that overflow say it."""
        return json.dumps(finite(asdict(self)), ensure_ascii=False, allow_nan=False) + "\n"


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    classes: Sequence[str],
    names: Sequence[str],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
) -> Report | None:
    """`model` on `batches` (in their own order, `names` one a photo); None when it was asked to stop.

    Raises DatasetError when there are no photos.
    """
    if not names:
        raise DatasetError("There are no test photos in this dataset.", "Add some under test/<class>/.")
    seen = _look(model, batches, loss_fn, device, should_stop)
    if seen is None:
        return None
    loss, probabilities, labels = seen
    predicted = probabilities.argmax(1).tolist()
    right = sum(said == label for said, label in zip(predicted, labels, strict=True))
    table = metrics.confusion(labels, predicted, len(classes))
    low, high = metrics.wilson(right, len(labels))
    told = probabilities if len(classes) <= MANY else probabilities.amax(1, keepdim=True)
    answers = tuple(
        Answer(name, label, said, tuple(round(p, 6) for p in row))
        for name, label, said, row in zip(names, labels, predicted, told.tolist(), strict=True)
    )
    accuracy = right / len(labels)
    per_class = metrics.per_class(table, classes)
    return Report(loss, accuracy, low, high, len(labels), tuple(classes), table, per_class, answers)


@torch.inference_mode()
def _look(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    should_stop: Callable[[], bool],
) -> tuple[float, Tensor, list[int]] | None:
    """Mean loss a photo, probabilities (N, C) and labels of all batches."""
    model.eval()
    loss_sum, probabilities, labels = 0.0, [], []
    for images, truth in batches:
        if should_stop():
            return None
        logits, _ = split_outputs(model(images.to(device)))
        loss_sum += float(loss_fn(logits, truth.to(device)).item()) * len(truth)
        probabilities.append(logits.softmax(1).cpu())
        labels += truth.tolist()
    return loss_sum / len(labels), torch.cat(probabilities), labels
