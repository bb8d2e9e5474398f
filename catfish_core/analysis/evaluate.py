"""A trained network on photos it has never seen: every prediction, and what they add up to."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from catfish_core.analysis.hooks import evaluating
from catfish_core.analysis.metrics import Confusion, confusion, precisions, recalls, wilson
from catfish_core.models.build import split_outputs

DIGITS = 6  # of a probability in the report: with a thousand classes every digit counts in megabytes


@dataclass(frozen=True)
class ClassReport:
    """One class: precision and recall, None where undefined; `support` is how many photos it has."""

    name: str
    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True)
class Prediction:
    """One photo: what it is and what it was taken for (class indices), and all probabilities."""

    name: str
    label: int
    predicted: int
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Report:
    """Loss and accuracy are means over photos; `low` to `high` is the accuracy's 95 % Wilson interval.

    `confusion` has a row for each true class and a column for each predicted one. With no photos at all, loss
    and accuracy are nan.
    """

    loss: float
    accuracy: float
    low: float
    high: float
    samples: int
    classes: tuple[str, ...]
    confusion: Confusion
    per_class: tuple[ClassReport, ...]
    predictions: tuple[Prediction, ...]

    def to_json(self) -> str:
        """The report as JSON; numbers that are not finite as null."""
        return json.dumps(_finite(dataclasses.asdict(self)), ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    classes: Sequence[str],
    names: Sequence[str],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
) -> Report | None:
    """`model` in evaluation mode on `batches` of images (B, 3, S, S) and labels (B,); None when asked to stop.

    `names` are those of the photos, in the order of the batches; raises ValueError when they are not as many.
    `loss_fn` takes logits (B, C) and labels and gives the mean over the batch.
    """
    loss_sum = 0.0
    labels: list[int] = []
    predicted: list[int] = []
    probabilities: list[list[float]] = []
    with evaluating(model):
        for images, truth in batches:
            if should_stop():
                return None
            logits, _ = split_outputs(model(images.to(device)))
            loss_sum += float(loss_fn(logits, truth.to(device))) * len(truth)
            labels += truth.tolist()
            predicted += logits.argmax(1).tolist()
            probabilities += logits.float().softmax(1).tolist()
    predictions = tuple(
        Prediction(name, label, guess, tuple(round(p, DIGITS) for p in chances))
        for name, label, guess, chances in zip(names, labels, predicted, probabilities, strict=True)
    )
    return _report(loss_sum, tuple(classes), predictions)


def _report(loss_sum: float, classes: tuple[str, ...], predictions: tuple[Prediction, ...]) -> Report:
    matrix = confusion([p.label for p in predictions], [p.predicted for p in predictions], len(classes))
    samples, correct = len(predictions), sum(matrix[k][k] for k in range(len(classes)))
    low, high = wilson(correct, samples)
    per_class = (
        ClassReport(name, precision, recall, sum(row))
        for name, precision, recall, row in zip(classes, precisions(matrix), recalls(matrix), matrix, strict=True)
    )
    return Report(
        loss=loss_sum / samples if samples else math.nan,
        accuracy=correct / samples if samples else math.nan,
        low=low,
        high=high,
        samples=samples,
        classes=classes,
        confusion=matrix,
        per_class=tuple(per_class),
        predictions=predictions,
    )
