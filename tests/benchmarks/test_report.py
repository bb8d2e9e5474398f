"""From seconds to rows: ratios the right way round, gaps kept as gaps, a table that lines up."""

import json

import pytest

from benchmarks.report import Seconds, explained, rates, result, table, to_json
from benchmarks.rows import ROWS, Plan

KEYS = ["name", "course_s", "engine_s", "limit_s", "speedup", "of_limit", "peak_mb"]
NAMES = [
    "simple_net", "simple_cnn", "simple_cnn_augmented", "resnet18",
    "lite0_frozen_cold", "lite0_frozen_warm", "lr_sweep", "predict_cam",
]  # fmt: skip


def test_the_rows_are_those_of_the_issue():
    assert [row.name for row in ROWS] == NAMES


def test_ratios():
    made = result("simple_cnn", Seconds(course=8.0, engine=2.0, limit=1.5), 300.0)
    assert made.speedup == 4.0  # four times as fast as the course
    assert made.of_limit == 0.75  # three quarters of what the machine could do


def test_what_the_engine_cannot_do_is_null():
    (row,) = json.loads(to_json([result("lr_sweep", Seconds(8.0, None, 1.5), None)]))
    assert list(row) == KEYS
    assert (row["engine_s"], row["speedup"], row["of_limit"], row["peak_mb"]) == (None, None, None, None)
    assert (row["course_s"], row["limit_s"]) == (8.0, 1.5)


def test_the_table_lines_up_and_shows_gaps():
    lines = table(
        [result("simple_net", Seconds(1.8, 0.08, 0.075), 312.4), result("lr_sweep", Seconds(8.0, None, 1.5), None)]
    ).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["simple_net", "1.80", "0.0800", "0.0750", "22.5×", "0.94", "312"]
    assert lines[2].split() == ["lr_sweep", "8.00", "–", "1.50", "–", "–", "–"]


def test_rates_are_photos_a_second():
    made = rates([result("simple_net", Seconds(2.0, 0.5, 0.25), None)], {"simple_net": 1000})
    assert made.splitlines()[1].split() == ["simple_net", "500", "2,000", "4,000"]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_every_row_says_what_it_compares(row):
    said = explained([row], Plan(epochs=20, steps=100, repeats=7))
    assert said.startswith(f"{row.name}: ") and "{" not in said
    assert row.kind != "frozen" or "20 epochs" in said
