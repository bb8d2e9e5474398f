"""A run on two processes: one run's events and files, and every way it can end."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from catfish_core import runs
from catfish_core.augment import RandomHorizontalFlip
from catfish_core.config import AugmentConfig, ComputeConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.data import library
from catfish_core.events import BatchEnd, Completed, EpochEnd, Failed, Preparing, Started, Stopped, Tested
from catfish_core.jobs import queue, worker

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def configured(processes=2, epochs=2, arch="simple_net", **training):
    return RunConfig(
        data=DataConfig(dataset="tiny", image_size=16),
        model=ModelConfig(arch=arch),
        augment=AugmentConfig(steps=(RandomHorizontalFlip(),)),
        training=TrainingConfig(epochs=epochs, batch_size=9, device="cpu", **training),
        compute=ComputeConfig(processes=processes),
    )


def said(run):
    return run.events()[0]


def losses(run):
    """step → loss, epoch → means: where a step was made twice, the later one."""
    told = said(run)
    steps = {e.step: e.loss for e in told if isinstance(e, BatchEnd)}
    epochs = {e.epoch: (e.train_loss, e.val_loss, e.val_accuracy) for e in told if isinstance(e, EpochEnd)}
    return [steps[n] for n in sorted(steps)] + [value for n in sorted(epochs) for value in epochs[n]]


def ranks(run):
    """pid → rank of the processes that compute `run`, torchrun included as -1."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(run.path) in words and b"catfish_core.jobs.ranks" in words:
            rank = [int(item[5:]) for item in environment if item.startswith(b"RANK=")]
            found[int(folder.name)] = rank[0] if rank else -1
    return found


def ports(pid):
    """The addresses, in the kernel's hexadecimal, at which a process accepts connections."""
    rows = [
        line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()
    ]
    listening = {row[9]: row[1].partition(":")[0] for row in rows if row[3] == "0A"}
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    return [listening[link[8:-1]] for link in links if link.startswith("socket:") and link[8:-1] in listening]


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"still not true after {seconds} s")


def training(run, epochs=1):
    return sum(isinstance(e, EpochEnd) for e in said(run)) >= epochs


@pytest.fixture
def launched(workspace, tiny_dataset):
    """Start a run as the app does; whatever is left of it is ended with the test."""
    begun = []

    def start(config):
        run = queue.submit(workspace, config)
        begun.append(run)
        return run

    yield start
    for run in begun:
        for pid in [*([pid_of(run)] if run.alive() else []), *ranks(run)]:
            os.kill(pid, signal.SIGKILL)


def pid_of(run):
    return json.loads((run.attempt / "started.json").read_text())["pid"]


def test_two_processes_tell_what_one_tells(workspace, tiny_dataset):
    one, two = (runs.create(workspace, configured(processes)) for processes in (1, 2))
    assert isinstance(worker.work(one), Completed)
    heard = []
    assert isinstance(worker.work(two, heard.append), Completed)
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    assert heard == said(two)
    kinds = [type(e) for e in heard if not isinstance(e, Preparing)]
    assert kinds == [Started, *([BatchEnd] * 3 + [EpochEnd]) * 2, Tested, Completed]
    assert next(e for e in heard if isinstance(e, Started)).compute == "fp32, 2 processes"
    assert {path.name for path in one.path.iterdir()} == {path.name for path in two.path.iterdir()}
    assert len(list((two.path / "tensorboard").iterdir())) == 1
    assert not list(two.attempt.glob("ranks/*"))
    wait_for(lambda: not ranks(two), 20)


def test_a_stop_is_heard_by_both_and_the_best_weights_are_kept(launched):
    run = launched(configured(epochs=10_000))
    wait_for(lambda: training(run, 2))
    run.stop()
    wait_for(lambda: runs.status(run) == "stopped", 10)
    best = [e.best_epoch for e in said(run) if isinstance(e, EpochEnd)][-1]
    assert isinstance(said(run)[-1], Stopped) and said(run)[-1].kept_epoch == best and run.model_path.exists()
    wait_for(lambda: not ranks(run), 20)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_fails_the_run_which_then_goes_on_from_its_last_epoch(launched, workspace, rank):
    run = launched(configured(epochs=80))
    wait_for(lambda: training(run))
    os.kill(next(pid for pid, number in ranks(run).items() if number == rank), signal.SIGKILL)
    wait_for(lambda: runs.status(run) == "failed", 20)
    ended = said(run)[-1]
    assert isinstance(ended, Failed) and ended.what == "One of the 2 processes of this run died."
    wait_for(lambda: not ranks(run) and not run.alive(), 20)
    queue.again(workspace, run)
    wait_for(lambda: runs.status(run) == "completed")
    whole = runs.create(workspace, configured(1, epochs=80))
    worker.work(whole)
    assert losses(run) == pytest.approx(losses(whole), abs=1e-4)


def test_a_killed_worker_takes_its_processes_with_it(launched):
    run = launched(configured(epochs=10_000))
    wait_for(lambda: training(run))
    assert sorted(ranks(run).values()) == [-1, 0, 1]
    open_to = {address for pid in ranks(run) for address in ports(pid)}
    assert open_to == {"0100007F"}  # 127.0.0.1: nobody else can connect
    before = set(ranks(run))
    os.kill(pid_of(run), signal.SIGKILL)
    run.stop()  # or the queue would go on with it
    wait_for(lambda: not before & set(ranks(run)), 20)
    wait_for(lambda: runs.status(run) == "stopped")


def test_what_only_one_process_finds_is_told(workspace, tiny_dataset, monkeypatch):
    """Without a cache each reads its own photos: one that is gone is met by one of them, and named."""
    monkeypatch.setenv("CATFISH_CACHE_GB", "0")
    gone = library.load(workspace, tiny_dataset).splits["train"]
    gone.paths[3].unlink()
    run = runs.create(workspace, configured())
    ended = worker.work(run)
    assert isinstance(ended, Failed) and gone.names[3].rpartition("/")[2] in ended.what
    wait_for(lambda: not ranks(run), 20)


@pytest.mark.slow
def test_a_wish_before_the_start_is_heard_too(workspace, tiny_dataset):
    run = runs.create(workspace, configured(epochs=10_000))
    run.stop()
    assert isinstance(worker.work(run), Stopped)
    wait_for(lambda: not ranks(run), 20)
