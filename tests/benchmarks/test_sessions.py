"""The measurement of many browsers: what it counts as a delay, as growth and as kept; and that a visitor sees."""

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks import place
from benchmarks.sessions import Fact, Measured, Sample, delays, facts, growth, table, verdicts
from benchmarks.visitor import Sight, Visitor
from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.events import BatchEnd, EventLog, Started, Stopped

ROOT = Path(__file__).parents[2]


def sample(at, memory=100.0):
    return Sample(at, cpu_s=at / 4, memory_mb=memory, load=1.0)


def begun(batches=2, epochs=9):
    return Started(
        classes=("cat", "fish"), samples={"train": 8}, batches=batches, epochs=epochs, parameters=9, trained=9,
        device="cpu", dataset_version="1",
    )  # fmt: skip


def step(epoch, batch, at, batches=2):
    return BatchEnd(
        epoch=epoch, batch=batch, step=epoch * batches + batch, loss=0.5, lr=0.1, images_per_second=9, time=at
    )


def test_facts_are_epochs_begun_and_steps_made():
    told = facts([begun(), step(0, 0, 1.0), step(0, 1, 2.0), step(1, 0, 3.0)])
    assert told["epoch"] == [Fact(1.0, 1.0), Fact(3.0, 2.0)]
    assert told["step"] == [Fact(1.0, 0.5), Fact(2.0, 1.0), Fact(3.0, 1.5)]


def test_a_delay_ends_with_the_first_sight_of_a_fact_or_of_a_later_one():
    told = [Fact(10.0, 1.0), Fact(11.0, 2.0), Fact(12.0, 3.0), Fact(13.0, 4.0)]
    seen = [Sight(10.5, "epoch", 1.0), Sight(11.5, "epoch", 1.0), Sight(12.25, "epoch", 3.0)]
    assert delays(told, seen, 0, 12.5) == [0.5, 1.25, 0.25]
    assert delays(told, seen, 10.5, 20) == [1.25, 0.25, math.inf]  # not told of what was before; the last is lost
    assert delays(told, [], 0, 10) == [math.inf]


def test_a_curve_rounds_to_six_digits():
    third = [Fact(1.0, 123 + 1 / 3)]
    assert delays(third, [Sight(2.0, "step", 123.333)], 0, 9) == [1.0]
    assert delays(third, [Sight(2.0, "step", 123.3)], 0, 9) == [math.inf]


def test_growth_passes_over_the_beginning():
    rising = [sample(float(at), 100.0 + at) for at in range(101)]
    assert growth(rising) == pytest.approx(80 / 120)
    assert growth([sample(float(at), 50.0 if at < 20 else 100.0) for at in range(101)]) == pytest.approx(0)
    assert growth(rising[:2]) == 0


def measured(**changed):
    facts = {
        "page": "run", "sessions": 20, "seconds": 600.0, "epoch_s": (0.6, 1.2, 2.0), "step_s": None, "share": 0.25,
        "queue_share": 0.01, "opening_cpu_s": 0.1, "memory_mb": (190.0, 195.0), "growth": 0.01, "looks": 1.25,
        "received_kb": 50.0, "load": 1.0, "epochs": 900.0,
    }  # fmt: skip
    return Measured(**(facts | changed))


@pytest.mark.parametrize(
    "missed",
    [{"epoch_s": (1.6, 2, 3)}, {"step_s": (math.inf, 2, 3)}, {"share": 0.41}, {"growth": 0.06}, {"faults": ["no"]}],
)
def test_each_limit_can_be_missed(missed):
    assert all(kept for *_, kept in verdicts(measured()))
    assert [kept for *_, kept in verdicts(measured(**missed))].count(False) == 1
    assert "MISSED" in table(measured(**missed)) and "MISSED" not in table(measured())


def test_the_table_is_one():
    lines = [line for line in table(measured()).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "| an epoch told, median | 0.60 s | 1.5 s | kept |" in lines and "0.41" not in "".join(lines)


def test_a_visitor_sees_what_a_run_says(workspace):
    """A real server; the run's worker is this test."""
    run = runs.create(workspace, RunConfig(name="Watched"))
    log = EventLog(run.events_path)
    log.append(begun())

    async def look_on():
        visitor = Visitor(port, "run", {"run": run.id})
        task = asyncio.create_task(visitor.visit())
        await asyncio.wait_for(visitor.drawn(), 60)
        for epoch in (0, 1):
            for batch in (0, 1):
                log.append(step(epoch, batch, time.time()))
            await until(lambda epoch=epoch: visitor.sights and visitor.sights[-1].position == epoch + 1)
        log.append(Stopped(epoch=1, kept_epoch=None, seconds=1))
        await until(lambda: visitor.looks[""] == 2)  # all of it is drawn anew
        task.cancel()
        await asyncio.wait([task])
        return visitor

    with log, FileLock(run.lock_path), place.app(workspace) as (_, port):
        visitor = asyncio.run(look_on())
    assert not visitor.faults and visitor.title == "Watched"  # still the page it came for
    for kind in ("epoch", "step"):
        told = facts(run.events()[0])[kind]
        waits = delays(told, [sight for sight in visitor.sights if sight.kind == kind], 0, math.inf)
        assert len(waits) == len(told) and all(0 <= wait < 20 for wait in waits)
    assert len(visitor.looks) >= 2 and visitor.looks[""] == 2  # the page twice, its parts more often


async def until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.slow
def test_a_small_measurement_from_end_to_end(tmp_path):
    path = tmp_path / "sessions.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.sessions",
        "--sessions",
        "2",
        "--minutes",
        "0.4",
        "--json",
        str(path),
    ]
    environment = {**os.environ, "CATFISH_HOME": str(tmp_path / "mine")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert path.exists(), done.stderr
    told = json.loads(path.read_text())
    assert told["sessions"] == 2 and not told["faults"] and told["looks"] > 0.3 and told["memory_mb"][0] > 50
    assert 0 < told["epoch_s"][0] < 10 and 0 < told["step_s"][0] < 10 and 0 < told["share"] < 1
    assert not (tmp_path / "mine").exists()  # nothing of one's own workspace is touched
