import json
import os
import time

import pytest

from catfish_core import runs, sweeps
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.events import Completed, EventLog, Failed
from catfish_core.lab import usage
from catfish_core.lab.usage import Waste

KILO = 1000


@pytest.fixture(autouse=True)
def spawned(monkeypatch):
    """The processes that would have been started, in place of them."""
    calls = []
    monkeypatch.setattr(usage, "spawn", lambda module, root, log: calls.append(root))
    monkeypatch.setattr(usage, "_spawned", {})
    return calls


def filled(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def run_of(workspace, owner, ending, **files):
    run = runs.create(workspace, RunConfig(), owner)
    (run.attempt / "started.json").write_text('{"pid": 0, "time": 0}')
    with EventLog(run.events_path) as log:
        log.append(ending)
    for name, size in files.items():
        filled(run.path / name.replace("__", "/").replace("_pt", ".pt").replace("_st", ".safetensors"), size)
    return run


DONE = Completed(best_epoch=1, best_val_accuracy=0.9, seconds=1)
OOPS = Failed(what="It broke.")


def aged(run, seconds=usage.OLD + 60):
    at = time.time() - seconds
    os.utime(run.events_path, (at, at))
    return run


def test_an_empty_workspace_takes_nothing(workspace):
    counted = usage.count(workspace)
    assert counted.by_owner() == {} and counted.waste == () and counted.files == 0


def test_everything_is_counted_for_whom_it_belongs_to(workspace):
    run_of(workspace, "ada", DONE, model_st=300 * KILO)
    sweeps.create(workspace, RunConfig(), SweepConfig(), "bob")
    filled(workspace.datasets / "mine" / "photos" / "1.jpg", 200 * KILO)
    (workspace.datasets / "mine" / "dataset.json").write_text(json.dumps({"owner": "ada"}))
    filled(workspace.pixels / "x" / "pixels.bin", 500 * KILO)
    filled(workspace.weights / "resnet18.pth", 100 * KILO)
    counted = usage.count(workspace)
    table = counted.by_owner()
    assert list(table)[0] == ""  # what everybody shares is the most here
    assert 300 * KILO <= table["ada"]["runs"] < 330 * KILO
    assert 200 * KILO <= table["ada"]["datasets"] < 220 * KILO
    assert 0 < table["bob"]["sweeps"] < 50 * KILO
    assert table[""]["caches"] >= 500 * KILO and table[""]["weights"] >= 100 * KILO
    assert counted.of("ada") == sum(table["ada"].values())


def test_a_file_with_holes_counts_for_what_it_takes(workspace):
    with open(filled(workspace.pixels / "x" / "pixels.bin", 1), "r+b") as file:
        file.truncate(10**9)
    assert usage.count(workspace).of("") < 10**6


def test_a_link_out_of_the_workspace_is_not_followed(workspace, tmp_path):
    filled(tmp_path / "elsewhere" / "large", 10**6)
    run = run_of(workspace, "ada", DONE)
    (run.path / "link").symlink_to(tmp_path / "elsewhere")
    assert usage.count(workspace).of("ada") < 10**6


def test_what_can_go_is_named_with_its_size_and_owner(workspace):
    run_of(workspace, "ada", OOPS)
    run_of(workspace, "ada", OOPS, model_st=KILO)  # it kept weights
    run_of(workspace, "ada", OOPS, checkpoints__last_pt=KILO)  # it can go on
    old = aged(run_of(workspace, "bob", DONE, model_st=KILO, checkpoints__last_pt=50 * KILO))
    run_of(workspace, "bob", DONE, model_st=KILO, checkpoints__last_pt=50 * KILO)  # finished just now
    filled(workspace.features / "f.safetensors", 70 * KILO)
    found = {(w.kind, w.owner): w for w in usage.count(workspace).waste}
    assert set(found) == {("failed", "ada"), ("checkpoints", "bob"), ("caches", "")}
    assert len(found["failed", "ada"].ids) == 1
    assert found["checkpoints", "bob"].ids == (old.id,) and 50 * KILO <= found["checkpoints", "bob"].bytes < 60 * KILO
    assert found["caches", ""].bytes >= 70 * KILO


def test_cleaning_removes_what_was_named_and_counts_again(workspace, spawned):
    failed = run_of(workspace, "ada", OOPS)
    old = aged(run_of(workspace, "bob", DONE, model_st=KILO, checkpoints__last_pt=KILO))
    filled(workspace.features / "f.safetensors", KILO)
    filled(workspace.estimates / "e.json", KILO)
    for waste in usage.count(workspace).waste:
        usage.remove(workspace, waste)
    assert not failed.path.exists()
    assert old.model_path.exists() and not list(old.checkpoints.glob("*")) and runs.status(old) == "completed"
    assert usage.count(workspace).waste == () and len(spawned) == 3


def test_what_is_worth_something_by_now_stays(workspace):
    run = run_of(workspace, "ada", OOPS)
    (waste,) = usage.count(workspace).waste
    filled(run.checkpoints / "last.pt", KILO)  # it was started again meanwhile
    usage.remove(workspace, waste)
    assert run.path.exists()


@pytest.mark.parametrize("id", ["../../elsewhere", "", "nothing"])
def test_a_forged_id_removes_nothing(workspace, tmp_path, id):
    kept = filled(tmp_path / "elsewhere" / "file", 1)
    usage.remove(workspace, Waste("failed", "", 0, (id,)))
    usage.remove(workspace, Waste("checkpoints", "", 0, (id,)))
    assert kept.exists()


def test_parts_of_downloads_go_when_nobody_fetches_them_any_more(workspace):
    given_up, coming = (
        filled(workspace.downloads / "a.zip.part", KILO),
        filled(workspace.downloads / "b.zip.part", KILO),
    )
    long_ago = time.time() - 2 * usage.ABANDONED
    os.utime(given_up, (long_ago, long_ago))
    (waste,) = usage.count(workspace).waste
    usage.remove(workspace, waste)
    assert coming.exists() and not given_up.exists()


def counted(workspace, **quota):
    (workspace.root / "lab.json").parent.mkdir(parents=True, exist_ok=True)
    (workspace.root / "lab.json").write_text(json.dumps(quota))
    usage.main([str(workspace.root)])


def test_a_quota_is_compared_with_the_last_count(workspace, spawned):
    run_of(workspace, "ada", DONE, model_st=30 * KILO)
    assert usage.over_quota(workspace, "ada") is None  # nobody said how much
    counted(workspace, quota_gb=0.00001)
    assert usage.over_quota(workspace, "ada") == "You use 0.0 GB of the 1e-05 GB that each person may use here."
    assert usage.over_quota(workspace, "bob") is None and usage.over_quota(workspace, "") is None
    counted(workspace, quota_gb=1)
    assert usage.over_quota(workspace, "ada") is None
    assert not spawned  # the count is fresh


def test_a_missing_or_torn_count_is_made_once_for_many_who_ask(workspace, spawned):
    assert usage.current(workspace) is None
    usage.path(workspace).parent.mkdir(parents=True)
    usage.path(workspace).write_text("{")
    assert [usage.current(workspace) for _ in range(5)] == [None] * 5
    assert spawned == [str(workspace.root)]
    usage.main([str(workspace.root)])
    assert usage.current(workspace) == usage.read(workspace) != None  # noqa: E711


def test_what_was_counted_is_read_as_it_was_written(workspace):
    run_of(workspace, "🐟 <b>", OOPS)
    usage.main([str(workspace.root)])
    before = usage.read(workspace)
    after = usage.count(workspace)
    assert before.waste == after.waste
    assert [f for f in before.found if f.kind == "runs"] == [f for f in after.found if f.kind == "runs"]
