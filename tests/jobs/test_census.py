"""What waits or is under way, found in the directories alone."""

import json
import os
import shutil

import pytest

from catfish_core import events, sweeps
from catfish_core.config import ComputeConfig, SweepConfig
from catfish_core.events import EventLog, Preparing
from catfish_core.jobs import census, directory, queue
from catfish_core.jobs.census import Entry

from .conftest import CONFIG, DONE, RESTED


def found(lab):
    return [entry.id for entry, _ in census.found(lab.workspace)]


def test_an_entry_says_what_its_directory_says(lab):
    config = CONFIG.model_copy(
        update={
            "training": CONFIG.training.model_copy(update={"device": "cuda"}),
            "compute": ComputeConfig(processes=2),
        }
    )
    run = queue.submit(lab.workspace, config, "a", 3)
    ((entry, key),) = census.found(lab.workspace)
    assert entry == Entry(
        id=run.id, kind="run", attempt=1, owner="a", priority=3, submitted=entry.submitted, wants="cuda", devices=2
    )
    assert entry.job(lab.workspace) == run and entry.device == "cuda" and key == "" and entry.submitted > 1e9
    assert queue.overview(lab.workspace).waiting == [entry]


def test_a_sweep_is_one_too(lab):
    sweep = queue.submit_sweep(lab.workspace, CONFIG, SweepConfig(), "a")
    ((entry, _),) = census.found(lab.workspace)
    assert (entry.kind, entry.id, entry.owner) == ("sweep", sweep.id, "a") and entry.job(lab.workspace) == sweep


def test_the_earliest_come_first_runs_and_sweeps_alike(lab):
    jobs = [
        lab.submit(),
        queue.submit_sweep(lab.workspace, CONFIG, SweepConfig()),
        lab.submit(),
        queue.submit_sweep(lab.workspace, CONFIG, SweepConfig()),
    ]
    assert found(lab) == [job.id for job in jobs]


def test_only_what_the_queue_has_to_do_with_is_found(lab):
    """What waits, what runs, what was interrupted; not what ended, what was cancelled, what no queue started."""
    lab.slots(4)
    ended, running, broken, rested = (lab.submit(owner) for owner in "abcd")
    lab.round()
    waiting, cancelled = lab.submit("e"), lab.submit("e")
    lab.launcher.end(ended.attempt), lab.launcher.end(rested.attempt, RESTED), lab.launcher.die(broken.attempt)
    queue.stop(lab.workspace, cancelled)
    by_hand = directory.create(type(ended), lab.workspace.runs, CONFIG)
    with EventLog(by_hand.events_path) as log:
        log.append(DONE)
    assert found(lab) == [running.id, broken.id, waiting.id]
    slots = {entry.id: entry.slot for entry, _ in census.found(lab.workspace)}
    assert slots == {running.id: "cpu", broken.id: "cpu", waiting.id: ""}


def test_a_configuration_that_cannot_be_read_is_its_worker_s_to_tell(lab):
    run = lab.submit()
    (run.path / "config.json").write_text("{")
    ((entry, _),) = census.found(lab.workspace)
    assert (entry.id, entry.wants, entry.devices) == (run.id, "cpu", 1)


def test_what_is_no_job_is_passed_over(lab):
    run = lab.submit()
    (lab.workspace.runs / "notes.txt").write_text("mine")
    (lab.workspace.runs / "20260101-000000-half").mkdir()
    (lab.workspace.runs / ".new" / "20260101-000000-draft").mkdir(parents=True)
    (lab.workspace.runs / "20260101-000000-file").write_text("")
    os.symlink("/nowhere", lab.workspace.runs / "20260101-000000-link")
    (lab.workspace.runs / "20260101-000000-odd" / "attempts").mkdir(parents=True)
    (lab.workspace.runs / "20260101-000000-odd" / "attempts" / "1").write_text("no folder")
    (lab.workspace.runs / "20260101-000000-loop").mkdir()
    os.symlink("events.jsonl", lab.workspace.runs / "20260101-000000-loop" / "events.jsonl")
    (lab.workspace.runs / "20260101-000000-loop" / "attempts" / "1").mkdir(parents=True)
    (lab.workspace.runs / "20260101-000000-loop" / "attempts" / "1" / "submitted.json").write_text("{}")
    assert found(lab) == [run.id]


def test_of_a_finished_run_one_line_is_read(lab, monkeypatch):
    """Thousands with long logs are looked through again and again, by a dispatcher that must give signs of life."""
    run, waiting = lab.submit(), lab.submit()
    lab.round()
    with EventLog(run.events_path) as log:
        for _ in range(1000):
            log.append(Preparing(what="Getting ready, " * 5))
    lab.launcher.end(run.attempt)
    for number in range(200):
        shutil.copytree(run.path, run.path.with_name(f"20260101-000000-{number}"))
    parsed = []
    monkeypatch.setattr(events, "from_json", lambda line, real=events.from_json: parsed.append(line) or real(line))
    assert found(lab) == [waiting.id]
    assert len(parsed) <= 201


def test_keys_are_found_whatever_became_of_their_jobs(lab):
    done, waits, none = lab.submit(key="one"), lab.submit(key="ä ⁂"), lab.submit()
    lab.round()
    lab.launcher.end(done.attempt)
    gone = lab.submit(key="gone")
    shutil.rmtree(gone.path)
    (none.path / "job.json").write_text(json.dumps({"owner": "a", "key": ["list"]}))
    assert dict(census.keys(lab.workspace)) == {"one": done.id, "ä ⁂": waits.id}


@pytest.mark.parametrize("folder", ["runs", "sweeps"])
def test_an_empty_workspace_has_nothing(workspace, folder):
    assert list(census.found(workspace)) == [] and not getattr(workspace, folder).exists()
    assert sweeps.listing(workspace) == []
