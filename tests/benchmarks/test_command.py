"""The command: rows asked for, JSON in the agreed shape, a sentence where the photos are missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import command, machine

ROOT = Path(__file__).parents[2]
KEYS = ["name", "course_s", "engine_s", "limit_s", "speedup", "of_limit", "peak_mb"]


def test_a_small_benchmark_from_end_to_end(tiny_zip, tmp_path):
    path = tmp_path / "results" / "made.json"
    asked = ["--quick", "--json", str(path), "--rows", "simple_net", "lr_sweep", "predict_cam"]
    environment = {**os.environ, "CATFISH_BENCH_DATA": str(tiny_zip)}
    command = [sys.executable, "-m", "benchmarks", *asked]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == ["simple_net", "lr_sweep", "predict_cam"]
    for row in rows:
        assert list(row) == KEYS
        assert row["course_s"] > 0 and row["limit_s"] > 0
        assert row["speedup"] == pytest.approx(row["course_s"] / row["engine_s"])
        assert row["of_limit"] == pytest.approx(row["limit_s"] / row["engine_s"])
        assert row["peak_mb"] > 50
    assert all(row["engine_s"] for row in rows)
    assert "torch " in done.stdout and "avx512_bf16" in done.stdout  # the machine
    assert "simple_net: SimpleNet at 64 px. One epoch" in done.stdout


def test_without_photos_it_says_where_they_belong(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CATFISH_BENCH_DATA", str(tmp_path / "none.zip"))
    assert command.main(["--rows", "simple_net"]) == 1
    said = capsys.readouterr().err
    assert "none.zip does not exist" in said and "CATFISH_BENCH_DATA" in said


def test_the_peak_is_taken_from_a_small_process():
    """Linux hands a process's peak on to its children: torch must not be in the process that starts them."""
    program = "import sys, benchmarks.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--rows", "unknown"]])
def test_what_cannot_be_meant_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert "error" in capsys.readouterr().err


def test_others_at_work_are_said():
    before = machine.Work(all=100.0, ours=10.0, at=0.0)
    assert machine.disturbed(before, machine.Work(all=120.5, ours=30.0, at=10.0)) is None  # all but 0.5 s were ours
    assert "Others used 1.5 of" in (machine.disturbed(before, machine.Work(all=135.0, ours=30.0, at=10.0)) or "")
    assert machine.disturbed(None, None) is None


def test_the_whole_machine_works_at_least_as_much_as_we_do():
    before = machine.Work.now()
    if before is None:
        pytest.skip("this system does not tell")
    assert sum(k * k for k in range(3_000_000)) > 0
    after = machine.Work.now()
    assert after is not None and after.ours > before.ours
    assert after.all - before.all >= after.ours - before.ours - 0.05  # counted in hundredths


def test_the_machine_line_names_what_decides_about_bf16():
    line = machine.line()
    assert "cores" in line and "torch" in line and "amx_bf16" in line
