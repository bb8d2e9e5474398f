"""The fault test on a small scale, and that it sees what it is there to see."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catfish_core import events, runs
from catfish_core.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.data import library
from catfish_core.events import BatchEnd, EventLog, NotSaved, Resumed, drain
from catfish_core.jobs import worker
from catfish_core.runs import Run
from catfish_core.training import session
from catfish_core.workspace import Workspace, write_text
from tests.faults.comparison import differences, two_at_once
from tests.faults.processes import Watch, end_all, living

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_whatever_interrupts_them_trainings_end_as_if_nothing_had():
    call = [sys.executable, "-m", "tests.faults", "--interruptions", "20", "--minutes", "15", "--json"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("interruptions") >= 20
    assert found == {"lost": 0, "doubled": 0, "not_identical": 0} and done.returncode == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_files):
    """Two runs of one configuration that are over."""
    workspace, source = Workspace(tmp_path_factory.mktemp("twins")), tmp_path_factory.mktemp("tiny")
    for name, content in tiny_files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    config = RunConfig(
        data=DataConfig(dataset=drain(library.add(workspace, "tiny", source)).id, image_size=16),
        model=ModelConfig(arch="simple_net"),
        training=TrainingConfig(epochs=2, batch_size=8, device="cpu"),
    )
    made = [runs.create(workspace, config) for _ in range(2)]
    for run in made:
        worker.work(run)
    return made


@pytest.fixture
def twins(trained, tmp_path):
    """Copies of them, for a test to change."""
    return [Run(shutil.copytree(run.path, tmp_path / run.id)) for run in trained]


def test_twins_do_not_differ(twins):
    assert differences(*twins) == []
    assert two_at_once(twins[0]) == []


@pytest.mark.parametrize("name", ["model.safetensors", "report.json"])
def test_a_byte_of_the_weights_or_of_the_answers_makes_a_difference(twins, name):
    path = twins[0].path / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert differences(*twins) == [f"{name} is another"]


def test_a_number_of_the_curve_makes_a_difference(twins):
    path = twins[0].events_path
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    step = next(line for line in lines if line["type"] == "BatchEnd")
    step["loss"] += 1e-15
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    assert any("curve" in found for found in differences(*twins))


@pytest.mark.parametrize("change", ["random", "exp_avg", "missing"])
def test_what_the_last_checkpoint_holds_makes_a_difference(twins, change):
    import torch

    path = twins[0].checkpoints / "last.pt"
    content = torch.load(path, weights_only=True)
    if change == "random":
        content["random"][0] ^= 1
    elif change == "exp_avg":
        content["optimizer"]["state"][0]["exp_avg"] *= 1.0000001
    else:
        del content["plateau"]
    torch.save(content, path)
    assert len(differences(*twins)) == 1


@pytest.mark.parametrize("spoilt", [False, True])
def test_an_older_last_checkpoint_must_lead_to_the_same_where_the_disk_took_no_newer_one(trained, spoilt):
    import torch

    whole, workspace = trained[0], Workspace(trained[0].path.parents[1])
    run, steps = runs.create(workspace, whole.config()), []
    for event in session.train(run, lambda: steps[3:]):  # noqa: B023 - it grows
        steps += [event] * isinstance(event, BatchEnd)
    older = torch.load(run.checkpoints / "last.pt", weights_only=True)
    assert older["step"] < 6
    if spoilt:
        older["optimizer"]["state"][0]["exp_avg"] *= 2
    shutil.copytree(whole.path, run.path, dirs_exist_ok=True)
    torch.save(older, run.checkpoints / "last.pt")
    assert "last.pt/step is another" in differences(run, whole)  # nobody said that the disk was full
    with EventLog(run.events_path) as log:
        log.append(NotSaved(step=5, what="The disk is full."))
    assert any("last.pt" in found for found in differences(run, whole)) is spoilt


def test_a_last_checkpoint_that_cannot_be_read_makes_a_difference(twins):
    (twins[0].checkpoints / "last.pt").write_bytes(b"")
    assert any("cannot be read" in found for found in differences(*twins))


def test_steps_of_two_writers_in_one_log_are_seen(twins):
    told = [event for event in events.read(twins[0].events_path)[0] if isinstance(event, BatchEnd)]
    with EventLog(twins[0].events_path) as log:
        log.append(Resumed(epoch=1, batch=0, step=3))
        log.append(told[3])
        log.append(told[1])
    assert any("step 1 was told where 4 had to come" in found for found in two_at_once(twins[0]))


def test_an_attempt_that_began_before_the_last_one_ended_is_seen(twins):
    run = twins[0]
    (run.path / "attempts" / "2").mkdir()
    for number, name, about in [(1, "started", {"time": 1}), (1, "exit", {"ended": 3}), (2, "started", {"time": 2})]:
        write_text(run.path / "attempts" / str(number) / f"{name}.json", json.dumps(about))
    assert any("before the one before it ended" in found for found in two_at_once(run))


def pretending(run):
    """A process that looks like a worker of `run` and does nothing."""
    waits = "import sys; print(flush=True); sys.stdin.read()"
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", waits, "catfish_core.jobs.worker", os.fspath(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_two_workers_of_one_run_are_seen_and_two_of_two_runs_are_in_order(workspace):
    first, second = (runs.create(workspace, RunConfig()) for _ in range(2))
    watch = Watch(workspace)
    with pretending(first) as one, pretending(second) as other:
        one.stdout.readline(), other.stdout.readline()
        watch.look()
        assert not watch.doubled and watch.most == 2
        with pretending(first) as third:
            third.stdout.readline()
            watch.look()
            watch.look()
            assert len(watch.doubled) == 1 and first.id in watch.doubled[0]
            assert len(end_all(workspace)) == 3
    assert living(workspace) == []
