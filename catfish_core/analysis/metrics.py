"""Counting right and wrong: plain functions of counts.  [no torch]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(correct: int, total: int, z: float = Z95) -> tuple[float, float]:
    """The 95 % interval for a share of which `correct` of `total` were seen; (0, 1) when nothing was.

    Wilson (1927): unlike the usual ± it stays within 0 and 1 and is honest about small tests and perfect scores.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = correct / total, z * z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = z * sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def confusion(labels: Sequence[int], predicted: Sequence[int], classes: int) -> list[list[int]]:
    """`classes` × `classes` counts: row = true class, column = what was said."""
    table = [[0] * classes for _ in range(classes)]
    for label, said in zip(labels, predicted, strict=True):
        table[label][said] += 1
    return table


@dataclass(frozen=True)
class ClassScore:
    """How one class did; `support` is how many photos of it there were, a share of nothing is None."""

    name: str
    precision: float | None
    recall: float | None
    support: int


def per_class(table: Sequence[Sequence[int]], names: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision (of those called so, how many are) and recall (of those that are, how many were found)."""
    return tuple(_score(table, k, name) for k, name in enumerate(names))


def _score(table: Sequence[Sequence[int]], k: int, name: str) -> ClassScore:
    called, support, right = sum(row[k] for row in table), sum(table[k]), table[k][k]
    return ClassScore(name, right / called if called else None, right / support if support else None, support)
