import os
import threading
import time

import pytest

from catfish_core import runs, sweeps
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.errors import CatfishError
from catfish_core.events import Completed, EventLog, Failed, Paused, Preparing, Stopped
from catfish_core.lab import messages
from catfish_core.lab.messages import Watch

DONE = Completed(best_epoch=1, best_val_accuracy=0.9, seconds=1)


def say(job, *events):
    (job.attempt / "started.json").write_text('{"pid": 0, "time": 0}')
    with EventLog(job.events_path) as log:
        for event in events:
            log.append(event)
    return job


def run_of(workspace, owner, *events, name="A run"):
    return say(runs.create(workspace, RunConfig(name=name), owner), *events)


@pytest.fixture
def look(workspace, monkeypatch):
    """look(user): what this person is told now; nothing is remembered from a moment ago."""
    monkeypatch.setattr(messages, "FRESH", 0.0)
    watch = Watch(workspace)
    return lambda user="ada": [(e.title, e.status) for e in messages.news(workspace, user, watch.ended())]


def test_the_end_of_a_run_is_told_once_to_its_owner(workspace, look):
    assert look() == look("bob") == []
    run_of(workspace, "ada", DONE, name="Mine")
    run_of(workspace, "bob", Failed(what="No memory."), name="His")
    assert look() == [("Mine", "completed")] and look() == []
    assert look("bob") == [("His", "failed")] and look("bob") == []


def test_what_was_before_the_first_visit_is_no_news(workspace, look):
    run = run_of(workspace, "ada", DONE)
    os.utime(run.events_path, (time.time() - 60, time.time() - 60))
    assert look() == []


def test_a_run_that_is_started_again_ends_again(workspace, look):
    look()
    run = run_of(workspace, "ada", Failed(what="No."))
    assert look() == [("A run", "failed")]
    (run.path / "attempts" / "2").mkdir()
    assert look() == []  # it is on its way up
    say(run, DONE)
    assert look() == [("A run", "completed")]


def test_an_interrupted_sweep_is_news_too_and_a_stop_or_pause_is_none(workspace, look):
    look()
    say(sweeps.create(workspace, RunConfig(), SweepConfig(), "ada"), Preparing(what="Starting up"))
    run_of(workspace, "ada", Stopped(epoch=1, kept_epoch=1, seconds=1))
    run_of(workspace, "ada", Paused(epoch=1, kept_epoch=1, seconds=1))
    assert [status for _, status in look()] == ["crashed"]


def test_a_run_at_work_is_looked_at_until_it_ends(workspace, look):
    look()
    run = runs.create(workspace, RunConfig(), "ada")
    assert look() == []  # it waits
    say(run, Preparing(what="Starting up"), DONE)
    assert look() == [(run.config().title, "completed")]


def test_a_damaged_run_is_told_by_its_id(workspace, look):
    look()
    run = run_of(workspace, "ada", DONE)
    (run.path / "config.json").write_text("{")
    assert look() == [(run.id, "completed")]


@pytest.mark.parametrize("name", ["../../etc/passwd", "<b>x</b>", "🐟", "a" * 500, ""])
def test_any_name_is_remembered_within_the_workspace(workspace, look, name):
    look(name)
    run_of(workspace, name, DONE)
    assert len(look(name)) == 1 and look(name) == []
    told = list((workspace.root / "lab" / "told").iterdir())
    assert {path.suffix for path in told} <= {".json", ".lock"} and len(told) <= 2


def test_two_tabs_that_look_at_once_tell_it_once(workspace, look):
    look()
    for n in range(5):
        run_of(workspace, "ada", DONE, name=str(n))
    told = []
    tabs = [threading.Thread(target=lambda: told.extend(look())) for _ in range(8)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert sorted(title for title, _ in told) == ["0", "1", "2", "3", "4"]


def test_a_torn_memory_begins_anew(workspace, look):
    look()
    (file,) = (workspace.root / "lab" / "told").glob("*.json")
    file.write_text("{")
    assert look() == []


def test_unchanged_runs_are_not_read_again(workspace, monkeypatch):
    monkeypatch.setattr(messages, "FRESH", 0.0)
    for _ in range(3):
        run_of(workspace, "ada", DONE)
    watch, read = Watch(workspace), []
    assert len(watch.ended()) == 3
    monkeypatch.setattr(messages.directory, "status", lambda job: read.append(job) or "completed")
    assert len(watch.ended()) == 3 and read == []


def test_a_message_to_all_stands_until_it_is_put_away(workspace):
    message = messages.post(workspace, "  Maintenance\nat 5 pm <b>\x07 ", "root", None)
    assert message.text == "Maintenance at 5 pm <b>" and message.by == "root"
    assert messages.standing(workspace, "ada") == [message] == messages.standing(workspace)
    messages.dismiss(workspace, "ada", message.id)
    assert messages.standing(workspace, "ada") == [] and messages.standing(workspace, "bob") == [message]
    messages.withdraw(workspace, message.id)
    assert messages.standing(workspace, "bob") == []


def test_a_message_ends_at_its_time(workspace, monkeypatch):
    messages.post(workspace, "short", "root", 1)
    messages.post(workspace, "long", "root", 3)
    assert [m.text for m in messages.standing(workspace)] == ["long", "short"]
    later = time.time() + 2 * 3600
    monkeypatch.setattr(messages.time, "time", lambda: later)
    assert [m.text for m in messages.standing(workspace)] == ["long"]


@pytest.mark.parametrize("text", ["", " \n ", "x" * 301])
def test_an_empty_or_endless_message_is_refused(workspace, text):
    with pytest.raises(CatfishError):
        messages.post(workspace, text, "root", None)
    assert messages.standing(workspace) == []
