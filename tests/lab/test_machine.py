import json
import os
import subprocess
import sys
import threading
import time
import types
from collections import namedtuple

import pytest

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.lab import machine
from catfish_core.lab.machine import Meter


@pytest.fixture
def sleeper():
    """A process that waits for its stdin, with a child that does the same."""
    program = (
        "import subprocess, sys; c = subprocess.Popen(['cat'], stdin=sys.stdin); print(c.pid, flush=True); c.wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    yield process
    process.communicate()


def started(workspace, pid, at):
    run = runs.create(workspace, RunConfig())
    (run.attempt / "started.json").write_text(json.dumps({"pid": pid, "time": at}))
    return run


def test_a_reading_is_of_this_machine(workspace):
    reading = Meter(workspace).read()
    assert len(reading.cores) == os.cpu_count() and all(0 <= load <= 1 for load in reading.cores)
    assert 0 < reading.memory_used < reading.memory_total
    assert (
        0 < reading.disk_free < reading.disk_total
    )  # of the nearest folder there is: the workspace is yet to be made
    assert 0 <= reading.load <= 1


def test_how_busy_a_core_is_does_not_depend_on_the_thread_that_looks(workspace, monkeypatch):
    times = namedtuple("times", "user system idle iowait guest")
    looks = iter([[times(0, 0, 0, 0, 0)], [times(2, 1, 0.5, 0.5, 2)], [times(2, 1, 4.5, 0.5, 2)]])
    monkeypatch.setattr(machine.psutil, "cpu_times", lambda percpu: next(looks))
    monkeypatch.setattr(machine, "FRESH", 0.0)
    meter, seen = Meter(workspace), []
    for _ in range(2):
        looker = threading.Thread(target=lambda: seen.append(meter.read().cores))
        looker.start()
        looker.join()
    assert seen == [(0.75,), (0.0,)]


def test_the_share_of_a_job_counts_the_processes_below_it(workspace, sleeper):
    run = started(workspace, sleeper.pid, time.time())
    share = Meter(workspace).read([run]).shares[run.id]
    assert share.processes == 2 and share.memory > 1e6 and share.cores >= 0


def test_a_pid_that_was_given_to_somebody_else_is_not_a_worker(workspace, sleeper):
    assert machine.worker(started(workspace, sleeper.pid, time.time() - 3600)) is None
    assert machine.worker(started(workspace, sleeper.pid, time.time())) is not None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "time": 0}', '{"pid": 999999999, "time": 0}'])
def test_a_job_whose_worker_left_nothing_readable_has_none(workspace, text):
    run = runs.create(workspace, RunConfig())
    (run.attempt / "started.json").write_text(text)
    assert machine.worker(run) is None and Meter(workspace).read([run]).shares == {}


def test_two_looks_within_a_second_see_the_same(workspace):
    meter = Meter(workspace)
    assert meter.read() is meter.read()


class Driver(types.SimpleNamespace):
    """NVIDIA's library as a machine with two cards has it, one of which will not say how warm it is."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        if index == 2:
            raise self.NVMLError("lost")
        return index

    def nvmlDeviceGetName(self, card):
        return f"Card {card}"

    def nvmlDeviceGetMemoryInfo(self, card):
        return types.SimpleNamespace(used=2 * 2**30, total=24 * 2**30)

    def nvmlDeviceGetUtilizationRates(self, card):
        return types.SimpleNamespace(gpu=75)

    def nvmlDeviceGetTemperature(self, card, sensor):
        if card:
            raise self.NVMLError("not supported")
        return 61


def test_cards_say_what_they_know(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    first, second = machine.gpus()
    assert (first.name, first.load, first.memory_used, first.celsius) == ("Card 0", 0.75, 2 * 2**30, 61)
    assert second.celsius is None


def test_without_a_driver_there_is_no_card(monkeypatch):
    broken = Driver()
    broken.nvmlInit = lambda: (_ for _ in ()).throw(OSError("no driver"))
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert list(machine.gpus()) == []
