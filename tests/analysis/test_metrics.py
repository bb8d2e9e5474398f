"""Wilson's interval against worked values; precision and recall against a count by hand."""

import random

import pytest

from catfish_core.analysis.metrics import confusion, per_class, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),
    ],
)
def test_wilson_against_published_values(correct, total, low, high):
    assert wilson(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_within_bounds_and_knows_nothing_of_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    for total in (1, 2, 7, 1000):
        for correct in {0, 1, total // 2, total}:
            low, high = wilson(correct, total)
            assert 0 <= low <= correct / total + 1e-12 and correct / total - 1e-12 <= high <= 1  # but for rounding


def test_precision_and_recall_against_counting():
    rng = random.Random(3)
    labels, said = [rng.randrange(4) for _ in range(200)], [rng.randrange(4) for _ in range(200)]
    pairs = list(zip(labels, said, strict=True))
    table = confusion(labels, said, 4)
    assert [[pairs.count((a, b)) for b in range(4)] for a in range(4)] == [list(row) for row in table]
    for k, score in enumerate(per_class(table, "abcd")):
        hits = sum(a == b == k for a, b in pairs)
        assert score.precision == hits / said.count(k)
        assert (score.recall, score.support) == (hits / labels.count(k), labels.count(k))


def test_shares_of_nothing_are_none():
    a, b, c = per_class(confusion([0, 0, 1], [0, 1, 1], 3), ("a", "b", "c"))
    assert (a.precision, a.recall, b.precision, b.recall) == (1.0, 0.5, 0.5, 1.0)
    assert (c.precision, c.recall, c.support) == (None, None, 0)
