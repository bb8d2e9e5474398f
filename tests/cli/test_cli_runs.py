"""`runs`: list, show, stop, note, delete."""

import json

import pytest

from catfish_core import config, runs
from catfish_core.config import RunConfig
from catfish_core.events import Completed, EpochEnd, EventLog, Failed, Tested


@pytest.fixture
def old_run(workspace):
    """A run that has ended, as far as its log says."""
    made = runs.create(workspace, RunConfig(name="Old"))
    numbers = {"train_loss": 0.5, "train_accuracy": 0.7, "val_loss": 0.4, "val_accuracy": 0.8, "lr": 0.1}
    with EventLog(made.events_path) as log:
        log.append(EpochEnd(epoch=0, seconds=1, images_per_second=9, improved=True, best_epoch=0,
                            best_val_accuracy=0.8, **numbers))  # fmt: skip
        log.append(Tested(loss=0.4, accuracy=0.75, low=0.6, high=0.9, samples=20))
        log.append(Completed(best_epoch=0, best_val_accuracy=0.8, seconds=3))
    return made


def test_list_and_show(run, old_run):
    (listed,) = json.loads(run("runs", "list", "--json")[1])
    assert listed["run"] == old_run.id
    assert (listed["status"], listed["best_val_accuracy"], listed["test_accuracy"]) == ("completed", 0.8, 0.75)
    shown = json.loads(run("runs", "show", "latest", "--json")[1])
    assert shown["config"] == json.loads(config.dump(old_run.config()))
    assert shown["last"]["type"] == "Completed"
    assert "80.0 %" in run("runs", "list")[1]
    assert str(old_run.path) in run("runs", "show", old_run.id)[1]


def test_a_run_that_failed_says_why(run, workspace):
    made = runs.create(workspace, RunConfig())
    with EventLog(made.events_path) as log:
        log.append(Failed(what="The disk is full.", hint="Free some space."))
    assert "The disk is full. Free some space." in run("runs", "show", made.id)[1]


def test_notes(run, old_run):
    assert run("runs", "note", old_run.id, "good\nlight")[0] == 0
    assert run("runs", "note", old_run.id)[1] == "good\nlight\n"
    assert json.loads(run("runs", "note", old_run.id, "--json")[1])["note"] == "good\nlight"
    assert json.loads(run("runs", "note", old_run.id, "", "--json")[1])["note"] == ""


def test_stop_is_for_runs_that_train(run, old_run, workspace):
    code, _, err = run("runs", "stop", old_run.id)
    assert code == 1 and "completed" in err
    waiting = runs.create(workspace, RunConfig())
    assert run("runs", "stop", waiting.id)[0] == 0
    assert waiting.wished("stop")


def test_delete(run, old_run):
    assert run("runs", "delete", old_run.id, "--json")[:2] == (0, json.dumps({"deleted": old_run.id}) + "\n")
    assert not old_run.path.exists()


def test_nothing_yet_is_said(run):
    assert run("runs", "list", "--json")[1] == "[]\n"
    assert "no runs yet" in run("runs", "list")[1]
