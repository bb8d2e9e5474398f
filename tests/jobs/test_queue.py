"""The queue's door: what is submitted once, told to whoever waits, withdrawn, and said when it cannot be."""

import errno
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from catfish_core import config as configs
from catfish_core import runs, sweeps
from catfish_core.config import SweepConfig
from catfish_core.errors import RunError, StorageError
from catfish_core.events import EventLog
from catfish_core.jobs import directory, queue, store
from catfish_core.workspace import Workspace

from .conftest import CONFIG, DONE, RESTED


def everything(root):
    """Every file and folder there is, but for the queue's own."""
    return sorted(os.fspath(path.relative_to(root)) for path in root.rglob("*") if not path.name.startswith("queue."))


def stood(lab, run):
    return queue.standing(lab.workspace, run)


# -- submitted


def test_a_submitted_run_is_whole_and_waits(lab):
    run = lab.submit("a")
    assert directory.status(run) == "queued" and run.config() == CONFIG and run.owner() == "a"
    assert lab.waiting == [run.id]
    assert everything(lab.workspace.runs) == sorted(
        [".new", run.id, *(f"{run.id}/{name}" for name in ("attempts", "attempts/1", "config.json", "job.json")),
         f"{run.id}/attempts/1/submitted.json"]
    )  # fmt: skip


def test_the_same_key_is_the_same_run(lab):
    first, second, other = lab.submit(key="k"), lab.submit(key="k"), lab.submit(key="l")
    assert first == second != other and lab.waiting == [first.id, other.id]
    lab.round()
    lab.launcher.end(first.attempt)
    lab.round()
    assert lab.submit(key="k") == first and len(runs.listing(lab.workspace)) == 2


def test_what_was_deleted_may_be_submitted_again_with_its_key(lab):
    first = lab.submit(key="k")
    directory.delete(first)
    second = lab.submit(key="k")
    assert second != first and second.path.is_dir() and lab.submit(key="k") == second


def test_nobody_has_more_waiting_than_the_lab_allows(lab):
    lab.slots(1, waiting_per_user=2)
    first, second = lab.submit("a"), lab.submit("a")
    before = everything(lab.workspace.root)
    with pytest.raises(RunError, match="2 jobs of yours in the queue already"):
        lab.submit("a")
    with pytest.raises(RunError, match="as many as one person may have"):
        queue.submit_sweep(lab.workspace, CONFIG, SweepConfig(), "a")
    assert everything(lab.workspace.root) == sorted([*before, "sweeps", "sweeps/.new"])
    lab.submit("b")
    lab.round()
    lab.launcher.end(first.attempt, RESTED)
    lab.round()
    lab.launcher.end(lab.launcher.starts[-1], RESTED)  # of b
    lab.submit("a")
    with pytest.raises(RunError, match="2 jobs of yours"):
        queue.again(lab.workspace, first)
    assert directory.status(first) == "paused" and lab.waiting.count(second.id) == 1


OWNERS = ["../../etc", "<b>x</b>", "🐟 cat", "a\0b", "x" * 5000, "'; DROP TABLE jobs; --", "\ud800", ""]


@pytest.mark.parametrize("owner", OWNERS)
def test_an_odd_name_is_a_name(lab, owner):
    """It is never part of a path or of a statement. Who may be called so is not the queue's to say."""
    run, other = lab.submit(owner), lab.submit("b")
    assert run.path.parent == lab.workspace.runs and "etc" not in run.id
    (first, second) = queue.overview(lab.workspace).waiting
    assert first.owner == owner.encode("utf-8", "replace").decode() == run.owner()
    lab.round()
    assert lab.running == [run.id]
    assert stood(lab, other).reason.endswith("at work on the processor.") and second.owner == "b"


FORGED = [
    "",
    ".",
    "..",
    "../20260101-000000-a",
    "20260101-000000-a/../../etc",
    "20260101-000000-a/x",
    "/etc/passwd",
    "20260101-000000-a\0",
    "20260101-000000-a\n",
    "20260101-000000-<script>",
    "20260101-000000-🐟",
    "２０２６0101-000000-a",
    "20260101-000000-" + "a" * 100_000,
    "20260101-000000-nowhere",
    ".new",
]


@pytest.mark.parametrize("id", FORGED)
@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_forged_id_is_no_job(lab, kind, id):
    lab.submit()
    find = runs.find if kind == "run" else sweeps.find
    with pytest.raises(RunError, match=f"There is no {kind} called") as error:
        find(lab.workspace, id)
    assert len(error.value.what) < 150


# -- told


def test_whoever_waits_is_told_the_place_and_who_is_before(lab):
    first, second, third = lab.submit("a"), lab.submit("a"), lab.submit("b")
    lab.round()
    assert stood(lab, first) is None  # it runs
    here = stood(lab, third)
    assert (here.position, here.of, here.ahead) == (1, 2, ())
    assert here.reason == "One job is at work on the processor."
    here = stood(lab, second)
    assert (here.position, here.of, here.ahead) == (2, 2, (third.id,))


def test_the_order_that_is_shown_is_the_order_in_which_they_start(lab):
    for owner, priority in [("a", 0), ("a", 0), ("b", -1), ("c", 0), ("c", 4), ("b", 0)]:
        lab.submit(owner, priority)
    shown = lab.waiting
    for _ in shown:
        lab.round()
        lab.launcher.end(lab.launcher.starts[-1])
    assert lab.started == shown


def test_in_the_moment_before_its_start_nothing_is_in_its_way(lab):
    lab.slots(2)
    first, second = lab.submit(), lab.submit()
    assert stood(lab, first).reason == "It starts in a moment."
    assert stood(lab, second).reason == "Others are before it."


def test_a_card_that_is_not_there_and_a_processor_that_may_not_be_used(lab):
    run = lab.submit()
    lab.slots(0)
    lab.round()
    assert lab.started == []
    assert stood(lab, run).reason == "This lab lets no jobs run on the processor alone: it waits for a graphics card."


def test_nobody_at_work_is_said_too(lab):
    run = lab.submit()
    lab.dispatcher.resign()  # not while something waits
    assert stood(lab, run).reason == "It starts in a moment."
    lab.clock.now += queue.TTL + 1
    assert stood(lab, run).reason == "The queue is waking up: it starts in a moment."


def test_where_no_dispatcher_can_be_started_now_the_job_waits_all_the_same(workspace, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(queue, "spawn", refused)
    run = queue.submit(workspace, CONFIG)
    assert directory.status(run) == "queued"
    assert queue.standing(workspace, run).reason == "The queue is waking up: it starts in a moment."
    queue.stop(workspace, run)
    queue.again(workspace, run)
    assert directory.status(run) == "queued"


def test_health_in_words(lab, quiet):
    health = queue.health(lab.workspace)
    assert health.alive and health.pid == os.getpid() and health.words == "The dispatcher is at work."
    assert abs(health.heartbeat - time.time()) < 60 and health.since == health.heartbeat
    lab.clock.now += queue.TTL + 1
    health = queue.health(lab.workspace)
    assert not health.alive and health.words.startswith("The dispatcher has died")
    with lab.dispatcher.store.writing():
        lab.dispatcher.store.hold(directory_free(lab))
    assert queue.health(lab.workspace).words == "The dispatcher is not running."


def directory_free(lab):
    held = lab.dispatcher.store.lease()
    return type(held)(**{**vars(held), "pid": 0})


def test_a_new_workspace_has_nobody_at_work(workspace, quiet):
    health = queue.health(workspace)
    assert not health.alive and health.pid is None and health.words == "The dispatcher is not running."
    queue.keep_going(workspace)
    assert quiet == []  # nothing to do
    queue.ensure_dispatcher(workspace)
    queue.ensure_dispatcher(workspace)
    assert quiet == ["catfish_core.jobs.dispatcher"]  # the first one gets its time to come up


def test_what_waits_gets_a_dispatcher_without_anybody_asking(lab, quiet):
    lab.submit()
    assert quiet == []
    lab.clock.now += queue.TTL + 1
    queue.keep_going(lab.workspace)
    assert quiet == ["catfish_core.jobs.dispatcher"]
    queue.keep_going(lab.workspace)
    assert len(quiet) == 1
    lab.clock.now += queue.PATIENCE
    queue.keep_going(lab.workspace)
    assert len(quiet) == 2


# -- withdrawn, moved, gone on with


@pytest.mark.parametrize(("how", "status"), [(queue.stop, "stopped"), (queue.pause, "paused")])
def test_what_waits_is_cancelled_and_can_be_put_back(lab, how, status):
    run = lab.submit()
    how(lab.workspace, run)
    assert directory.status(run) == status and lab.waiting == [] and stood(lab, run) is None
    how(lab.workspace, run)  # a second click
    queue.again(lab.workspace, run)
    assert directory.status(run) == "queued" and lab.waiting == [run.id] and run.attempt.name == "2"
    lab.round()
    assert lab.started == [run.id] and directory.status(run) == "running"


def test_what_runs_is_asked(lab):
    run = lab.submit()
    lab.round()
    queue.pause(lab.workspace, run)
    assert directory.status(run) == "pausing" and lab.running == [run.id]
    queue.stop(lab.workspace, run)
    assert directory.status(run) == "stopping"


def test_a_wish_to_what_has_gone_does_not_bring_it_back(lab):
    run = lab.submit()
    shutil.rmtree(run.path)
    for deed in (queue.stop, queue.pause):
        with pytest.raises(RunError, match="is not there any more"):
            deed(lab.workspace, run)
    assert not run.path.exists()


def test_sooner_and_later(lab):
    first, second, third = (lab.submit("a") for _ in range(3))
    queue.prioritise(lab.workspace, third, 1)
    assert lab.waiting == [third.id, first.id, second.id]
    queue.prioritise(lab.workspace, third, -1)
    assert lab.waiting == [first.id, second.id, third.id]
    lab.dispatcher.close()
    for file in store._files(store.path_in(lab.workspace)):
        file.unlink(missing_ok=True)
    assert lab.waiting == [first.id, second.id, third.id]  # it stands in the directory


def test_what_is_under_way_is_not_begun_again(lab):
    run = lab.submit()
    for _ in range(2):
        with pytest.raises(RunError, match="is waiting or training already"):
            queue.again(lab.workspace, run)
        lab.round()
    assert [path.name for path in (run.path / "attempts").iterdir()] == ["1"]


def test_a_finished_run_is_trained_further(lab):
    run = lab.submit("a")
    lab.round()
    lab.launcher.end(run.attempt)
    lab.round()
    run.checkpoints.mkdir()
    (run.checkpoints / "last.pt").touch()
    queue.again(lab.workspace, run, lambda: runs.extend(run, 3))
    assert directory.status(run) == "queued" and run.config().training.epochs == CONFIG.training.epochs + 3
    lab.round()
    assert directory.status(run) == "running" and run.attempt.name == "2"


def test_a_run_that_the_queue_refuses_is_not_longer_for_it(lab):
    run = lab.submit("a")
    lab.round()
    lab.launcher.end(run.attempt, RESTED)
    lab.round()
    run.checkpoints.mkdir(exist_ok=True)
    (run.checkpoints / "last.pt").touch()
    lab.slots(1, waiting_per_user=1)
    lab.submit("a"), lab.round(), lab.submit("a")
    with pytest.raises(RunError, match="as many as one person may have"):
        queue.again(lab.workspace, run, lambda: runs.extend(run, 3))
    assert run.config().training.epochs == CONFIG.training.epochs and run.attempt.name == "1"


def test_two_who_go_on_with_it_at_once_begin_one_attempt(lab):
    run = lab.submit()
    lab.round()
    lab.launcher.end(run.attempt, RESTED)
    lab.round()
    said = []

    def press():
        try:
            queue.again(lab.workspace, run)
            said.append("begun")
        except RunError as error:
            said.append(error.what)

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("begun") == 1 and set(said) == {"begun", "This run is waiting or training already."}
    assert lab.waiting == [run.id] and sorted(path.name for path in (run.path / "attempts").iterdir()) == ["1", "2"]


# -- when it cannot be written down


@pytest.fixture
def small_disk(tmp_path):
    """A workspace on a disk of its own of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
        pytest.skip("only who may mount can do this")
    yield Workspace(place / "home")
    subprocess.run(["umount", "-l", place], check=True)


def fill(workspace, leave=0):
    """Take all the space there is, but for `leave` bytes."""
    with open(workspace.root / "full", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))


def test_a_full_disk_is_said_and_leaves_nothing_half_made(small_disk, quiet):
    first = queue.submit(small_disk, CONFIG)
    before = everything(small_disk.root)
    fill(small_disk)
    with pytest.raises(StorageError, match="disk is full"):
        queue.submit(small_disk, CONFIG)
    with pytest.raises(StorageError, match="disk is full"):
        queue.submit_sweep(small_disk, CONFIG, SweepConfig())
    (small_disk.root / "full").unlink()
    assert [name for name in everything(small_disk.root) if name not in before] == ["sweeps", "sweeps/.new"]
    second = queue.submit(small_disk, CONFIG)
    assert [entry.id for entry in queue.overview(small_disk).waiting] == [first.id, second.id]


@pytest.mark.parametrize("leave", range(0, 65536, 4096))
def test_a_disk_that_fills_up_at_any_step_of_a_submission(small_disk, quiet, leave):
    queue.submit(small_disk, CONFIG)
    fill(small_disk, leave)
    try:
        queue.submit(small_disk, CONFIG, key="k")
    except StorageError as error:
        assert "disk is full" in error.what
    (small_disk.root / "full").unlink()
    run = queue.submit(small_disk, CONFIG, key="k")
    assert len(list(small_disk.runs.glob("2*"))) == 2 and not list((small_disk.runs / ".new").iterdir())
    assert [entry.id for entry in queue.overview(small_disk).waiting][1:] == [run.id]


def test_a_full_disk_does_not_hide_how_a_run_ended(small_disk, quiet):
    run = queue.submit(small_disk, CONFIG)
    (run.attempt / "exit.json").write_text("{}")
    with EventLog(run.events_path) as log:
        log.append(DONE)
    assert directory.status(run) == "completed"
    fill(small_disk)
    with pytest.raises(StorageError, match="disk is full"):
        queue.again(small_disk, run)
    with pytest.raises(StorageError, match="disk is full"):
        directory.attempt_again(run)
    assert directory.status(run) == "completed"
    assert [path.name for path in (run.path / "attempts").iterdir()] == ["1"]
    (small_disk.root / "full").unlink()
    queue.again(small_disk, run)
    assert directory.status(run) == "queued" and run.attempt.name == "2"


def test_what_waits_can_be_cancelled_on_a_full_disk(small_disk, quiet):
    run = queue.submit(small_disk, CONFIG)
    fill(small_disk)
    queue.stop(small_disk, run)
    assert directory.status(run) == "stopped"  # the wish is heard whatever becomes of the queue


def test_a_queue_that_stays_busy_leaves_nothing_half_made(lab, monkeypatch):
    monkeypatch.setattr(store, "BUSY", 0.1)
    paused = lab.submit(key="p")
    lab.round()
    lab.launcher.end(paused.attempt, RESTED)
    before = everything(lab.workspace.root)
    with lab.dispatcher.store.writing():
        for deed in (lambda: lab.submit(key="k"), lambda: queue.again(lab.workspace, paused)):
            with pytest.raises(StorageError, match="The queue is busy"):
                deed()
    assert everything(lab.workspace.root) == before and directory.status(paused) == "paused"
    lab.submit(key="k"), queue.again(lab.workspace, paused)
    assert len(lab.waiting) == 2


# -- many at once


CLIENT = """
import json, pathlib, sys, time
from catfish_core import config
from catfish_core.jobs import queue
from catfish_core.workspace import Workspace
root, number, count, key = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
queue.spawn = lambda *_, **__: 0
wanted, told = config.load(root.parent / "wanted.json"), []
print("ready", flush=True)
sys.stdin.readline()
for each in range(count):
    began = time.perf_counter()
    run = queue.submit(Workspace(root), wanted, f"u{number % 5}", key=key or f"{number}-{each}")
    told.append((run.id, time.perf_counter() - began))
print(json.dumps(told))
"""


def crowd(workspace, clients, count, key=""):
    """What so many processes are told that all submit `count` runs at the same moment; and how long it took them."""
    (workspace.root.parent / "wanted.json").write_text(configs.dump(CONFIG))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path(__file__).parents[2]}
    facts = [os.fspath(workspace.root), str(count), key]
    begun = [
        subprocess.Popen([sys.executable, "-c", CLIENT, facts[0], str(number), *facts[1:]], **pipes)
        for number in range(clients)
    ]
    assert all(process.stdout.readline() == "ready\n" for process in begun)
    began = time.perf_counter()
    for process in begun:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [each for process in begun for each in json.loads(process.communicate()[0])]
    return told, time.perf_counter() - began


def test_hundreds_at_once_are_all_there_once(workspace):
    told, seconds = crowd(workspace, 6, 50)
    p95 = statistics.quantiles([took for _, took in told], n=20)[-1]
    print(f"300 submissions in {seconds:.1f} s: {300 / seconds:.0f}/s, p95 {1000 * p95:.0f} ms")
    ids = {id for id, _ in told}
    assert len(told) == len(ids) == 300
    waiting = queue.overview(workspace).waiting
    assert {entry.id for entry in waiting} == ids and len(waiting) == 300
    assert {path.name for path in workspace.runs.glob("2*")} == ids and not list((workspace.runs / ".new").iterdir())
    assert store.use(workspace, lambda db: len({db.keyed(f"{n}-{e}") for n in range(6) for e in range(50)})) == 300


def test_one_key_from_many_processes_is_one_run(workspace):
    told, _ = crowd(workspace, 8, 5, key="the same")
    assert len({id for id, _ in told}) == 1 and len(told) == 40
    assert len(queue.overview(workspace).waiting) == 1 == len(list(workspace.runs.glob("2*")))
    assert json.loads((workspace.runs / told[0][0] / "job.json").read_text())["key"] == "the same"
    assert configs.load(workspace.runs / told[0][0] / "config.json") == CONFIG
