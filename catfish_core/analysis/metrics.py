"""Numbers that say how good predictions are: plain functions of labels and counts.  [no torch]"""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054  # how many standard deviations hold the middle 95 % of a normal distribution

Confusion = tuple[tuple[int, ...], ...]


def wilson(correct: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """The interval, within 0 to 1, that holds the true accuracy when `correct` of `total` were right.

    Wilson's score interval (1927): unlike the textbook's ±, it stays honest near 0 and 1 and with few photos.
    (0, 1) for no photos at all: nothing is known then. Raises ValueError for counts that cannot be.
    """
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} cannot be right")
    if total == 0:
        return 0.0, 1.0
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    # at the ends the formula gives exactly 0 or 1; rounding must not push it past them
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == total else centre + half)


def confusion(labels: Sequence[int], predicted: Sequence[int], classes: int) -> Confusion:
    """How often each class (row) was taken for each class (column); raises ValueError for unequal lengths."""
    counts = [[0] * classes for _ in range(classes)]
    for label, guess in zip(labels, predicted, strict=True):
        counts[label][guess] += 1
    return tuple(tuple(row) for row in counts)


def precisions(matrix: Confusion) -> tuple[float | None, ...]:
    """For each class: of the photos called so, the part that was; None where none was called so."""
    called = [sum(column) for column in zip(*matrix, strict=True)]
    return tuple(_part(matrix[k][k], total) for k, total in enumerate(called))


def recalls(matrix: Confusion) -> tuple[float | None, ...]:
    """For each class: of its photos, the part that was recognised; None where it has no photos."""
    return tuple(_part(row[k], sum(row)) for k, row in enumerate(matrix))


def _part(count: int, total: int) -> float | None:
    return count / total if total else None
