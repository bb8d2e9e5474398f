"""The worker: from config.json to a model and a report, and every way it can end."""

import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from safetensors import SafetensorError

from catfish_core import config as configs
from catfish_core import events, runs, sweeps
from catfish_core.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, SweepConfig, TrainingConfig
from catfish_core.data import library, pixels
from catfish_core.errors import RunError, StorageError
from catfish_core.events import (
    BatchEnd,
    Completed,
    EpochEnd,
    EventLog,
    Failed,
    Paused,
    Preparing,
    Started,
    Stopped,
    Tested,
    drain,
)
from catfish_core.jobs import directory, queue, worker
from catfish_core.jobs.launcher import remains
from catfish_core.jobs.wish import StopWish
from catfish_core.workspace import write_text


def configured(dataset="tiny", epochs=2, **training):
    return RunConfig(
        data=DataConfig(dataset=dataset, image_size=16),
        model=ModelConfig(arch="simple_cnn"),
        optimizer=OptimizerConfig(lr=1e-3),
        training=TrainingConfig(epochs=epochs, batch_size=8, device="cpu", **training),
    )


def said(run):
    return run.events()[0]


def wait_for(condition, seconds=60.0):
    """Wait until `condition()` is true; its value. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"still not true after {seconds} s")


@pytest.fixture
def launched(workspace):
    """Start a run in a process of its own; whatever is left of it is ended with the test."""
    begun = []

    def start(config):
        run = queue.submit(workspace, config)
        begun.append(run)
        return run

    yield start
    for run in begun:
        if run.alive():
            os.kill(pid_of(run), signal.SIGKILL)


def pid_of(run):
    return json.loads((run.attempt / "started.json").read_text())["pid"]


def test_a_run_from_configuration_to_report(workspace, tiny_dataset):
    run = runs.create(workspace, configured())
    heard = []
    ended = worker.work(run, heard.append)
    assert isinstance(ended, Completed) and runs.status(run) == "completed"
    assert heard == said(run)
    kinds = [type(e) for e in heard if not isinstance(e, Preparing)]
    assert kinds == [Started, *([BatchEnd] * 3 + [EpochEnd]) * 2, Tested, Completed]
    report = json.loads(run.report_path.read_text())
    assert report["samples"] == 8 and len(report["predictions"]) == 8
    assert run.model_path.exists() and (run.checkpoints / "last.pt").exists()
    assert list((run.path / "tensorboard").glob("events.out.*"))
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"torch", "python", "commit", "seed", "device"} <= set(environment)
    assert runs.summary(run).test_accuracy == report["accuracy"]


def test_two_runs_of_one_configuration_are_equal_to_the_last_digit(workspace, tiny_dataset):
    curves = []
    for _ in range(2):
        run = runs.create(workspace, configured())
        worker.work(run)
        curves.append([e.loss for e in said(run) if isinstance(e, BatchEnd)])
    assert curves[0] == curves[1]


def test_losses_are_those_without_a_cache_to_the_last_digit(workspace, tiny_dataset, monkeypatch):
    curves, said_of_photos = [], []
    for budget in ("10", "0"):
        monkeypatch.setenv("CATFISH_CACHE_GB", budget)
        run = runs.create(workspace, configured())
        assert isinstance(worker.work(run), Completed)
        told = said(run)
        facts = [(e.loss,) for e in told if isinstance(e, BatchEnd)]
        facts += [(e.train_loss, e.val_loss) for e in told if isinstance(e, EpochEnd)]
        pixels.forget(workspace, library.info(workspace, tiny_dataset).version)
        curves.append([*facts, json.loads(run.report_path.read_text())["predictions"]])
        said_of_photos.append([e.what for e in told if isinstance(e, Preparing) and "hotos" in e.what][0])
    assert curves[0] == curves[1]
    assert said_of_photos[0] == "Preparing the photos" and "read anew in every epoch" in said_of_photos[1]


def test_the_kept_weights_are_those_of_the_best_epoch(workspace, tiny_dataset):
    """Measured again from the saved model, the validation accuracy is the best one told."""
    from catfish_core.models import saved
    from catfish_core.training import optim, session
    from catfish_core.training.loop import validate

    run = runs.create(workspace, configured(epochs=4))
    ended = worker.work(run)
    made = drain(session._prepared(run.config(), workspace))
    model = saved.load(run.path).model
    measured = validate(model, made.batches("val"), optim.loss_function(run.config().training), made.device)
    assert measured.accuracy == ended.best_val_accuracy


def test_a_missing_dataset_fails_with_a_sentence(workspace):
    run = runs.create(workspace, configured(dataset="nowhere"))
    ended = worker.work(run)
    assert isinstance(ended, Failed) and "nowhere" in ended.what and ended.hint
    assert runs.status(run) == "failed"


def test_a_dataset_that_changed_is_not_trained_on_silently(workspace, tiny_dataset):
    config = configured()
    changed = config.model_copy(update={"data": config.data.model_copy(update={"version": "0123456789abcdef"})})
    ended = worker.work(runs.create(workspace, changed))
    assert isinstance(ended, Failed) and "changed" in ended.what


def test_a_run_without_configuration_fails_with_a_sentence(workspace):
    run = runs.create(workspace, configured())
    (run.path / "config.json").unlink()
    ended = worker.work(run)
    assert isinstance(ended, Failed) and "configuration" in ended.what


def test_a_fault_nobody_foresaw_is_told_and_logged(workspace, tiny_dataset, monkeypatch, capsys):
    from catfish_core.training import session

    def broken(*_):
        raise ZeroDivisionError("division by zero")
        yield

    monkeypatch.setattr(session, "train", broken)
    ended = worker.work(runs.create(workspace, configured()))
    assert isinstance(ended, Failed) and "ZeroDivisionError" in ended.what
    assert "Traceback" in capsys.readouterr().err


def test_out_of_memory_is_explained(workspace, monkeypatch):
    from catfish_core.training import session

    def greedy(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 TB")
        yield

    monkeypatch.setattr(session, "train", greedy)
    ended = worker.work(runs.create(workspace, configured()))
    assert isinstance(ended, Failed) and "memory" in ended.what and "batch size" in ended.hint


def test_a_full_disk_that_nobody_thought_of_is_told_as_one(workspace, monkeypatch):
    from catfish_core.training import session

    def full(*_):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(session, "train", full)
    ended = worker.work(runs.create(workspace, configured()))
    assert isinstance(ended, Failed) and "disk is full" in ended.what and "Free some space" in ended.hint


def test_a_disk_too_full_for_the_weights_ends_the_run_and_keeps_what_was_saved(workspace, tiny_dataset, monkeypatch):
    from catfish_core.models import saved

    run = runs.create(workspace, configured(epochs=3))
    real = saved.save_file

    def full(tensors, path, **about):
        if (run.checkpoints / "last.pt").exists():
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        real(tensors, path, **about)

    monkeypatch.setattr(saved, "save_file", full)
    config = configured(epochs=3)
    config = config.model_copy(update={"optimizer": OptimizerConfig(name="sgd", lr=0.3)})  # each epoch is better
    write_text(run.path / "config.json", configs.dump(config))
    ended = worker.work(run)
    assert isinstance(ended, Failed) and "disk is full" in ended.what
    assert run.model_path.exists() and (run.checkpoints / "last.pt").exists()
    monkeypatch.undo()
    assert isinstance(worker.work(run), Completed)  # and it goes on from there
    assert [e.epoch for e in events.effective(said(run)) if isinstance(e, EpochEnd)] == [0, 1, 2]


def test_a_disk_too_full_for_the_log_ends_the_attempt_and_the_run_goes_on_later(workspace, tiny_dataset, monkeypatch):
    whole, run = (runs.create(workspace, configured(epochs=3)) for _ in range(2))
    worker.work(whole)
    real = events.to_json

    def full(event):
        if isinstance(event, (BatchEnd, Failed)) and getattr(event, "step", 4) >= 4:
            raise OSError(28, "No space left on device")
        return real(event)

    monkeypatch.setattr(events, "to_json", full)
    with pytest.raises(StorageError, match="disk is full"):
        worker.work(run)
    assert runs.status(run) == "crashed"  # nothing could be written: no end
    monkeypatch.undo()
    assert isinstance(worker.work(run), Completed)
    same(run, whole)


def test_a_second_worker_on_one_run_is_refused(workspace, tiny_dataset, monkeypatch):
    run = runs.create(workspace, configured())
    monkeypatch.setattr(worker, "LOCK_WAIT", 0.05)
    with FileLock(run.lock_path), pytest.raises(RunError, match="already"):
        worker.work(run)
    with FileLock(run.lock_path), pytest.raises(RunError, match="already"):
        queue.again(workspace, run)


def test_stop_within_two_seconds_keeps_the_best_weights(launched, tiny_dataset):
    run = launched(configured(epochs=10_000))
    wait_for(lambda: sum(isinstance(e, EpochEnd) for e in said(run)) >= 2)
    asked = time.time()
    run.stop()
    wait_for(lambda: runs.status(run) == "stopped")
    last = said(run)[-1]
    assert isinstance(last, Stopped) and last.time - asked < 2
    best = [e.best_epoch for e in said(run) if isinstance(e, EpochEnd)][-1]
    assert last.kept_epoch == best and run.model_path.exists()
    wait_for(lambda: not run.alive(), 5)


def test_a_stop_before_the_start_is_heard_too(workspace, tiny_dataset):
    run = runs.create(workspace, configured(epochs=10_000))
    run.stop()
    assert isinstance(worker.work(run), Stopped)


def test_sigterm_is_a_wish_to_stop(launched, tiny_dataset):
    run = launched(configured(epochs=10_000))
    wait_for(lambda: any(isinstance(e, EpochEnd) for e in said(run)))
    os.kill(pid_of(run), signal.SIGTERM)
    wait_for(lambda: runs.status(run) == "stopped", 5)


def test_pause_within_an_epoch_and_going_on_ends_as_if_it_had_never_been(launched, workspace, tiny_dataset):
    config = configured(epochs=150, ema_decay=0.9)
    run = launched(config)
    wait_for(lambda: sum(isinstance(e, BatchEnd) for e in said(run)) >= 5)
    asked = time.time()
    run.pause()
    wait_for(lambda: runs.status(run) in ("paused", "completed"))
    last = said(run)[-1]
    assert isinstance(last, Paused) and last.time - asked < 2
    wait_for(lambda: not run.alive(), 5)
    queue.again(workspace, run)
    wait_for(lambda: runs.status(run) == "completed")
    whole = runs.create(workspace, config)
    worker.work(whole)
    same(run, whole)


def same(run, whole):
    """Two runs that are over: the same curves, weights and answers to the last bit."""
    measured = ("time", "seconds", "test_seconds", "images_per_second")
    facts = [
        [
            {k: v for k, v in vars(event).items() if k not in measured}
            for event in events.effective(said(each))
            if not isinstance(event, Preparing)
        ]
        for each in (run, whole)
    ]
    assert facts[0] == facts[1]
    assert run.model_path.read_bytes() == whole.model_path.read_bytes()
    assert run.report_path.read_bytes() == whole.report_path.read_bytes()


@pytest.mark.parametrize(
    ("files", "kind"), [((), "stop"), (("pause",), "pause"), (("stop",), "stop"), (("pause", "stop"), "stop")]
)
def test_a_signal_after_a_wish_to_rest_is_that_wish(workspace, files, kind):
    """Whoever ends a worker that was asked to rest sends it a signal too."""
    run = runs.create(workspace, configured())
    stop = StopWish(run)
    for name in files:
        run.wish(name)
    stop.wish(signal.SIGTERM, None)
    assert stop() and stop.kind == kind


@pytest.mark.parametrize("wish", ["pause", "stop"])
def test_a_sweep_that_is_to_rest_is_stopped(workspace, tiny_dataset, wish):
    sweep = sweeps.create(workspace, configured(), SweepConfig(steps=20))
    sweep.wish(wish)
    assert isinstance(worker.work(sweep), Stopped)


def test_where_steps_would_be_lost_the_loop_has_longer_to_answer(workspace, monkeypatch):
    run = runs.create(workspace, configured())
    monkeypatch.setattr("catfish_core.jobs.wish.PATIENCE", 0.01)
    gone, stake = threading.Event(), [True]
    with StopWish(run, gone.set, lambda: stake[0]) as stop:
        run.pause()
        wait_for(stop)
        assert not gone.wait(0.3)
        stake[0] = False
        assert gone.wait(5)


def test_steps_are_at_stake_from_the_first_one_on_and_not_while_something_is_prepared(workspace, tiny_dataset):
    run = runs.create(workspace, configured(epochs=1))
    with EventLog(run.events_path) as log:
        work = worker._Work(run, log, lambda event: at_stake.append((type(event), work.unsaved)))
        at_stake = []
        work.do(alone=False)
    assert [stake for kind, stake in at_stake if kind in (BatchEnd, EpochEnd)] == [True] * 4
    assert not any(stake for kind, stake in at_stake if kind in (Preparing, Started, Tested, Completed))


def test_a_stop_before_the_first_epoch_of_a_later_attempt_knows_what_is_kept(workspace, tiny_dataset):
    run = runs.create(workspace, configured(epochs=5))
    seen = []

    def stop_in_the_second_epoch(event):
        seen.append(event)
        if isinstance(event, BatchEnd) and event.epoch == 1:
            run.stop()

    first = worker.work(run, stop_in_the_second_epoch)
    best = [event.best_epoch for event in seen if isinstance(event, EpochEnd)][-1]
    assert isinstance(first, Stopped) and first.kept_epoch == best
    again = worker.work(run)  # the wish is still there
    assert isinstance(again, Stopped) and again.kept_epoch == best


def test_a_batch_that_never_ends_does_not_hold_up_a_stop(workspace, monkeypatch):
    """The listener ends the process itself when the loop does not answer; here the end is caught instead."""
    run = runs.create(workspace, configured())
    gone = threading.Event()
    monkeypatch.setattr("catfish_core.jobs.wish.PATIENCE", 0.05)
    with StopWish(run, overdue=gone.set) as stop:
        run.stop()
        assert gone.wait(5) and stop()


def test_a_worker_killed_at_any_moment_is_noticed_and_the_run_ends_as_if_it_had_never_been(
    launched, workspace, tiny_dataset
):
    config = configured(epochs=60, ema_decay=0.9)
    run = launched(config)
    steps = random.randrange(1, 150)
    print(f"killed after {steps} steps")
    wait_for(lambda: sum(isinstance(e, BatchEnd) for e in said(run)) >= steps)
    os.kill(pid_of(run), signal.SIGKILL)
    wait_for(lambda: not run.alive())
    if runs.status(run) == "crashed":
        queue.again(workspace, run)
    wait_for(lambda: runs.status(run) == "completed")
    whole = runs.create(workspace, config)
    worker.work(whole)
    same(run, whole)


def test_a_worker_that_dies_after_its_last_epoch_has_lost_nothing(workspace, tiny_dataset, monkeypatch):
    """Before it said that it was done, or before it was tested: nothing is trained again."""
    whole, run = (runs.create(workspace, configured(epochs=3)) for _ in range(2))
    for each in (whole, run):
        directory.submitted(each, each.attempt)
        worker.work(each)
    told = run.events_path.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(told) if b'"type": "EpochEnd"' in line)
    for kept in (last + 1, len(told) - 1):
        run.events_path.write_bytes(b"".join(told[:kept]))
        (run.attempt / "exit.json").write_text('{"code": null, "signal": 9, "reason": "ended"}')
        assert runs.status(run) == "queued"  # the dispatcher goes on with it
        directory.attempt_again(run, retry=1)
        heard = []
        assert isinstance(worker.work(run, heard.append), Completed)
        assert not any(isinstance(event, (BatchEnd, EpochEnd)) for event in heard)
        assert runs.status(run) == "completed" and run.model_path.read_bytes() == whole.model_path.read_bytes()
        assert run.report_path.read_bytes() == whole.report_path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("moved", [True, False])
def test_a_run_directory_that_goes_while_it_trains_does_not_come_back(
    workspace, launched, tiny_dataset, tmp_path, moved
):
    """Nothing writes there any more, and no process stays."""
    run = launched(configured(epochs=5000))
    wait_for(lambda: any(isinstance(event, EpochEnd) for event in said(run)))
    attempt = run.attempt
    if moved:
        run.path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(run.path, ignore_errors=True)
    wait_for(lambda: not remains(attempt), 15)
    wait_for(lambda: not queue.overview(workspace).running)
    assert not run.path.exists() and runs.listing(workspace) == []
    if moved:
        (tmp_path / "elsewhere").rename(run.path)
        assert runs.status(run) != "completed" and any(run.checkpoints.glob("*.pt"))


def test_a_checkpoint_with_code_in_it_is_put_aside_and_runs_nothing(workspace, tiny_dataset, tmp_path):
    import torch

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    run = runs.create(workspace, configured())
    run.checkpoints.mkdir()
    torch.save({"model": Bomb()}, run.checkpoints / "last.pt")
    ended = worker.work(run)
    assert isinstance(ended, Completed)
    assert any("nothing in it was executed" in e.what for e in said(run) if isinstance(e, Preparing))
    assert not (tmp_path / "executed").exists()


def test_a_run_survives_the_end_of_the_process_that_started_it(workspace, tiny_dataset):
    """As the app does: submit in another process, which is then killed with SIGKILL."""
    import subprocess
    import sys

    program = (
        "import sys, time; from catfish_core import config; from catfish_core.jobs import queue;"
        "from catfish_core.workspace import Workspace; from pathlib import Path;"
        "run = queue.submit(Workspace.default(), config.load(Path(sys.argv[1])));"
        "print(run.id, flush=True); time.sleep(600)"
    )
    path = workspace.root / "wanted.json"
    from catfish_core import config as configs

    path.write_text(configs.dump(configured(epochs=3)))
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as parent:
        id = parent.stdout.readline().strip()
        parent.kill()
    run = runs.find(workspace, id)
    wait_for(lambda: runs.status(run) == "completed")


def test_a_run_directory_that_vanishes_is_no_crash_of_the_listing(workspace, tiny_dataset):
    run = runs.create(workspace, configured())
    worker.work(run)
    shutil.rmtree(run.path)
    assert runs.listing(workspace) == []
