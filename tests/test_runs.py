"""A run's directory: its life as the files tell it."""

import os
import time

import pytest
from filelock import FileLock

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.errors import RunError
from catfish_core.events import BatchEnd, Completed, EpochEnd, EventLog, Failed, Preparing, Stopped, Tested


def say(run, *events):
    with EventLog(run.events_path) as log:
        for event in events:
            log.append(event)


def epoch_end(epoch=0, accuracy=0.75):
    return EpochEnd(
        epoch=epoch, train_loss=0.5, train_accuracy=0.7, val_loss=0.6, val_accuracy=accuracy, lr=1e-3, seconds=1.0,
        images_per_second=100.0, improved=True, best_epoch=epoch, best_val_accuracy=accuracy,
    )  # fmt: skip


def test_a_new_run_is_queued_and_keeps_its_configuration(workspace):
    config = RunConfig(name="Über <b>café</b>")
    run = runs.create(workspace, config)
    assert run.config() == config
    assert runs.status(run) == "queued"
    assert runs.find(workspace, run.id) == run
    assert runs.latest(workspace) == run


def test_two_runs_of_one_second_do_not_collide(workspace):
    made = {runs.create(workspace, RunConfig()).id for _ in range(20)}
    assert len(made) == 20


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (Completed(best_epoch=0, best_val_accuracy=1.0, seconds=1.0), "completed"),
        (Stopped(epoch=0, kept_epoch=None, seconds=1.0), "stopped"),
        (Failed(what="It broke."), "failed"),
    ],
)
def test_a_terminal_event_is_the_status(workspace, last, status):
    run = runs.create(workspace, RunConfig())
    say(run, Preparing(what="Starting up"), last)
    assert runs.status(run) == status


def test_a_living_worker_is_running_then_stopping_and_a_dead_one_crashed(workspace):
    run = runs.create(workspace, RunConfig())
    with FileLock(run.lock_path):
        (run.attempt / "started.json").write_text("{}")
        assert runs.status(run) == "running"
        run.stop()
        assert runs.status(run) == "stopping"
    assert runs.status(run) == "crashed"


def test_a_worker_that_never_came_up_counts_as_crashed(workspace):
    run = runs.create(workspace, RunConfig())
    log = run.attempt / "log.txt"
    log.write_text("")
    assert runs.status(run) == "queued"
    long_ago = time.time() - runs.START_GRACE - 1
    for path in (log, run.path / "config.json"):
        os.utime(path, (long_ago, long_ago))
    assert runs.status(run) == "crashed"


def test_a_new_attempt_after_a_failure_is_under_way(workspace):
    run = runs.create(workspace, RunConfig())
    say(run, Failed(what="It broke."), Preparing(what="Starting up"))
    with FileLock(run.lock_path):
        assert runs.status(run) == "running"


def test_a_run_launched_again_is_under_way_before_it_says_a_word(workspace):
    run = runs.create(workspace, RunConfig())
    say(run, Stopped(epoch=1, kept_epoch=0, seconds=1, time=100.0))
    assert runs.status(run) == "stopped"
    second = run.path / "attempts" / "2"
    second.mkdir()
    (second / "log.txt").touch()
    assert runs.status(run) == "queued"
    (second / "started.json").write_text('{"pid": 1, "time": 200.0}')
    with FileLock(run.lock_path):
        assert runs.status(run) == "running"
    assert runs.status(run) == "crashed"
    say(run, Stopped(epoch=2, kept_epoch=0, seconds=1, time=300.0))
    assert runs.status(run) == "stopped"


def test_the_listing_is_newest_first_and_shows_damaged_runs(workspace):
    good = runs.create(workspace, RunConfig(name="good"))
    say(good, epoch_end(), Tested(loss=0.5, accuracy=0.9, low=0.8, high=0.95, samples=10))
    broken = workspace.runs / "20200101-000000-broken-abc123"
    broken.mkdir()
    (workspace.runs / "no run at all").mkdir()
    first, second = runs.listing(workspace)
    assert (first.run, first.best_val_accuracy, first.test_accuracy) == (good, 0.75, 0.9)
    assert second.config is None and "configuration" in second.problem


def test_a_run_with_half_a_line_and_a_torn_configuration_is_still_listed(workspace):
    run = runs.create(workspace, RunConfig())
    (run.path / "config.json").write_text('{"data": ')
    run.events_path.write_text('{"type": "Epoch')
    (listed,) = runs.listing(workspace)
    assert listed.problem
    with pytest.raises(RunError, match="cannot be read"):
        run.config()


@pytest.mark.parametrize("id", ["../../etc", "", "20200101-000000-x/../..", "nothing", "20200101-000000-none"])
def test_a_forged_id_is_no_run(workspace, id):
    with pytest.raises(RunError, match="no run called"):
        runs.find(workspace, id)


def test_a_living_run_cannot_be_deleted_a_dead_one_can(workspace):
    run = runs.create(workspace, RunConfig())
    with FileLock(run.lock_path), pytest.raises(RunError, match="Stop it first"):
        runs.delete(run)
    runs.delete(run)
    assert not run.path.exists() and runs.listing(workspace) == []


def test_the_best_is_known_in_the_middle_of_an_epoch_of_thousands_of_batches(workspace):
    run = runs.create(workspace, RunConfig())
    say(run, epoch_end(accuracy=0.625))
    say(run, *(BatchEnd(epoch=1, batch=n, step=n, loss=1.0, lr=0.1, images_per_second=1.0) for n in range(1500)))
    assert run.events_path.stat().st_size > 2**17
    assert runs.summary(run).best_val_accuracy == 0.625


def test_notes_are_kept(workspace):
    run = runs.create(workspace, RunConfig())
    assert run.note() == ""
    run.set_note("looks at the fisherman 🎣")
    assert run.note() == "looks at the fisherman 🎣"
