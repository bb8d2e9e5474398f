"""The measurement of many photos: what it generates, measures and prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import scale

ROOT = Path(__file__).parents[2]


def test_generated_photos_are_small_jpegs_of_their_own(tmp_path):
    scale.generate(tmp_path, 25)
    files = sorted(tmp_path.glob("*/*.jpg"))
    assert len(files) == 25 and len({file.parent for file in files}) == scale.CLASSES
    assert len({file.read_bytes() for file in files}) == 25
    with Image.open(files[0]) as picture:
        assert picture.size == (scale.SIDE, scale.SIDE) and picture.format == "JPEG"


def test_the_table_has_a_line_a_size():
    cost = scale.Cost(1.0, 2.0, 300.0)
    row = scale.Scale(1000, cost, 9, 0.001, 0.002, 0.5, 0.1, cost, cost, 0.2, 0.4, 0.01)
    lines = scale.table([row, row]).splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| 1,000 | 1.0 (2.0) | 300 | 0.50 |") and "1.00×" in lines[2]


@pytest.mark.slow
def test_a_small_measurement_from_end_to_end(tmp_path):
    path = tmp_path / "scale.json"
    command = [sys.executable, "-m", "benchmarks.scale", "--sizes", "60", "120", "--json", str(path)]
    environment = {**os.environ, "CATFISH_HOME": str(tmp_path / "mine")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())
    assert [row["photos"] for row in rows] == [60, 120] and rows[0]["per_photo"] == 1
    assert all(row["page_s"] > 0 and row["first"]["peak_mb"] > 50 and row["told"] > 1 for row in rows)
    assert not (tmp_path / "mine").exists()  # nothing of one's own workspace is touched
