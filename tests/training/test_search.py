"""A search from its directory to its advice, in this process and in a worker's."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catfish_core import runs, sweeps
from catfish_core.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, SweepConfig, TrainingConfig
from catfish_core.errors import RunError
from catfish_core.events import (
    Advised,
    Failed,
    Preparing,
    ProbeEnd,
    Stopped,
    SweepCompleted,
    SweepEnded,
    SweepPoint,
    SweepStarted,
)
from catfish_core.jobs import queue, worker
from catfish_core.parts import PartsConfig
from catfish_core.training import lr_finder, search


def configured(arch="simple_net", batch_size=8, parts=None, **training):
    pretrained = parts is not None
    return RunConfig(
        data=DataConfig(dataset="tiny", image_size=32 if pretrained else 16),
        model=ModelConfig(arch=arch, pretrained=pretrained),
        parts=PartsConfig(preset=parts or "everything"),
        optimizer=OptimizerConfig(lr=1e-3),
        training=TrainingConfig(batch_size=batch_size, device="cpu", **training),
    )


def of(told, kind):
    return [event for event in told if isinstance(event, kind)]


def searched(workspace, config, **settings):
    sweep = sweeps.create(workspace, config, SweepConfig(**settings))
    ended = worker.work(sweep)
    told = sweep.events()[0]
    assert told[-1] == ended
    return sweep, told


def wait_for(condition, seconds=60.0):
    """Wait until `condition()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"still not true after {seconds} s")


def test_a_whole_search(workspace, tiny_dataset):
    sweep, told = searched(workspace, configured(), steps=60, final=10.0, probe_steps=4, seeds=2, val_every=20)
    assert isinstance(told[-1], SweepCompleted) and sweeps.status(sweep) == "completed"
    (started,) = of(told, SweepStarted)
    assert (started.steps, started.seeds, started.samples, started.batches) == (60, 2, 24, 3)
    assert set(started.rates.values()) == {1.0} and started.note == ""
    points = of(told, SweepPoint)
    assert {point.seed for point in points} == {0, 1}
    assert [p.lr for p in points if p.seed == 0] == lr_finder.ladder(sweep.settings())[
        : sum(not p.seed for p in points)
    ]
    assert [p.step for p in points if p.val_loss is not None][:2] == [19, 39]
    assert points[0].loss != next(p for p in points if p.seed == 1).loss  # other first weights
    ended = of(told, SweepEnded)
    assert [(e.seed, e.steps) for e in ended] == [(n, sum(p.seed == n for p in points)) for n in (0, 1)]
    first, *_, last = of(told, Advised)
    curve = lr_finder.curve(points, sweep.settings())
    advice = lr_finder.advise(curve.lrs, curve.smoothed)
    assert (first.recommended, first.rate, dict(first.suggestions)) == ("valley", advice.rate, advice.suggestions)
    probes = of(told, ProbeEnd)
    assert {probe.name: probe.lr for probe in probes} == lr_finder.candidates(advice, 3)
    assert all(probe.steps == 4 for probe in probes)
    best = min(probes, key=lambda probe: probe.val_loss)
    assert (last.recommended, last.rate) == (best.name, best.lr)
    assert sweeps.summary(sweep).advised == last


def test_the_same_search_twice_says_the_same(workspace, tiny_dataset):
    def losses():
        return [e.loss for e in of(searched(workspace, configured(), steps=20, probes=0)[1], SweepPoint)]

    assert losses() == losses()


def test_a_sweep_starts_where_training_starts(workspace, tiny_dataset):
    """Its first loss is that of the first step of a run with the same configuration."""
    from catfish_core.events import BatchEnd

    config = configured(seed=5, epochs=1)
    run = runs.create(workspace, config)
    worker.work(run)
    trained = of(run.events()[0], BatchEnd)
    point, *_ = of(searched(workspace, config, steps=3, probes=0)[1], SweepPoint)
    assert point.loss == trained[0].loss


def test_one_batch_works_and_is_pointed_out(workspace, tiny_dataset):
    _, told = searched(workspace, configured(batch_size=64), steps=30, probes=0)
    (started,) = of(told, SweepStarted)
    assert started.batches == 1 and "smaller batch size" in started.note
    assert len(of(told, SweepPoint)) > 20


def test_a_frozen_backbone_sees_every_photo_once(workspace, tiny_dataset):
    _, told = searched(workspace, configured("efficientnet_lite0", parts="head_only"), steps=30, probe_steps=3)
    (started,) = of(told, SweepStarted)
    assert "sees every photo once" in started.note
    assert isinstance(told[-1], SweepCompleted) and of(told, Advised)[0].rate is not None


def test_the_courses_recipe_is_swept_in_its_ratios(workspace, tiny_dataset):
    _, told = searched(workspace, configured("efficientnet_lite0", parts="course"), steps=5, probes=0)
    (started,) = of(told, SweepStarted)
    assert list(started.rates.values()) == pytest.approx([1 / 9, 1 / 3, 1])
    assert len(of(told, SweepPoint)) == 5


def test_photos_are_mixed_as_in_training_and_the_average_is_left_out(workspace, tiny_dataset):
    plain, mixed, averaged = (
        [point.loss for point in of(searched(workspace, configured(**training), steps=4, probes=0)[1], SweepPoint)]
        for training in ({}, {"mix": "mixup"}, {"ema_decay": 0.99})
    )
    assert plain != mixed and plain == averaged


def test_a_loss_that_is_no_number_from_the_start_is_explained(workspace, tiny_dataset, monkeypatch):
    monkeypatch.setattr(search.optim, "loss_function", lambda _: lambda logits, labels: logits.sum() * math.nan)
    _, told = searched(workspace, configured(), steps=30)
    assert [(e.loss, e.step) for e in of(told, SweepPoint)] == [(None, 0)]
    assert of(told, SweepEnded)[0].reason == "diverged"
    (advised,) = of(told, Advised)
    assert advised.rate is None and "not a number from the first step" in advised.reason
    assert not of(told, ProbeEnd) and isinstance(told[-1], SweepCompleted)


def test_rates_far_too_small_recommend_nothing(workspace, tiny_dataset):
    _, told = searched(workspace, configured(), init=1e-12, final=1e-11, steps=60)
    (advised,) = of(told, Advised)
    assert advised.rate is None and "higher final rate" in advised.reason


def test_nothing_to_train_fails_in_a_sentence(workspace, tiny_dataset, monkeypatch):
    monkeypatch.setattr(search.session.build, "freeze", lambda model, *_: model.requires_grad_(False))
    sweep, told = searched(workspace, configured(), steps=30)
    assert isinstance(told[-1], Failed) and "nothing to train" in told[-1].what
    assert not of(told, SweepStarted) and sweeps.status(sweep) == "failed"


def test_a_missing_dataset_fails_in_a_sentence(workspace):
    _, told = searched(workspace, configured(), steps=30)
    assert isinstance(told[-1], Failed) and "tiny" in told[-1].what


def test_stopped_in_the_middle_it_advises_on_what_there_is(workspace, tiny_dataset):
    sweep = sweeps.create(workspace, configured(), SweepConfig(steps=100, final=1.0))
    seen = []
    for event in search.search(sweep, lambda: sum(isinstance(e, SweepPoint) for e in seen) >= 80):
        seen.append(event)
    (ended,) = of(seen, SweepEnded)
    assert (ended.reason, ended.steps) == ("stopped", 80)
    (advised,) = of(seen, Advised)
    assert advised.rate is not None and seen[-1] == advised


def test_stopped_before_the_first_step_it_says_nothing(workspace, tiny_dataset):
    sweep = sweeps.create(workspace, configured(), SweepConfig())
    sweep.stop()
    assert isinstance(worker.work(sweep), Stopped)
    assert not of(sweep.events()[0], Advised)


def test_the_training_data_and_models_of_others_are_left_alone(workspace, tiny_dataset):
    """A search writes into its own directory and into caches, nowhere else."""
    before = {path for path in workspace.root.rglob("*") if "cache" not in path.parts}
    sweep, _ = searched(workspace, configured(), steps=5, probes=0)
    made = {path for path in workspace.root.rglob("*") if "cache" not in path.parts} - before
    assert {path.relative_to(workspace.root).parts[0] for path in made} == {"sweeps"}
    names = {path.name for path in sweep.path.iterdir()}
    assert names == {"job.json", "config.json", "sweep.json", "events.jsonl", "attempts", "worker.lock"}


@pytest.fixture
def launched(workspace):
    """Start a sweep in a process of its own; whatever is left of it is ended with the test."""
    begun = []

    def start(config, **settings):
        sweep = queue.submit_sweep(workspace, config, SweepConfig(**settings))
        begun.append(sweep)
        return sweep

    yield start
    for sweep in begun:
        if sweep.alive():
            os.kill(json.loads((sweep.attempt / "started.json").read_text())["pid"], signal.SIGKILL)


def test_points_stream_and_a_stop_is_heard_within_two_seconds(launched, workspace, tiny_dataset):
    sweep = launched(configured(), steps=10_000, divergence=None)
    wait_for(lambda: len(of(sweep.events()[0], SweepPoint)) >= 20)
    assert sweeps.status(sweep) == "running"
    with pytest.raises(RunError, match="searching already"):
        queue.again(workspace, sweep)
    asked = time.time()
    sweep.stop()
    wait_for(lambda: sweeps.status(sweep) == "stopped")
    told = sweep.events()[0]
    assert isinstance(told[-1], Stopped) and told[-1].time - asked < 2
    assert of(told, SweepEnded)[-1].reason == "stopped" and of(told, Advised)


def test_a_search_survives_the_end_of_the_process_that_started_it(workspace, tiny_dataset):
    program = (
        "import sys, time; from catfish_core import config; from catfish_core.jobs import queue;"
        "from catfish_core.workspace import Workspace; from pathlib import Path;"
        "sweep = queue.submit_sweep(Workspace.default(), config.load(Path(sys.argv[1])),"
        " config.SweepConfig(steps=20, probes=0)); print(sweep.id, flush=True); time.sleep(600)"
    )
    from catfish_core import config as configs

    path = workspace.root / "wanted.json"
    path.write_text(configs.dump(configured()))
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as parent:
        id = parent.stdout.readline().strip()
        parent.kill()
    sweep = sweeps.find(workspace, id)
    wait_for(lambda: sweeps.status(sweep) == "completed")
    assert len(of(sweep.events()[0], SweepPoint)) == 20


def test_the_worker_tells_runs_from_sweeps(workspace):
    sweep = sweeps.create(workspace, RunConfig(), SweepConfig())
    run = runs.create(workspace, RunConfig())
    assert worker.job_at(sweep.path) == sweep and worker.job_at(run.path) == run
    with pytest.raises(RunError):
        sweeps.find(workspace, run.id)


def test_preparing_is_told(workspace, tiny_dataset):
    _, told = searched(workspace, configured(), steps=40, final=10.0, probe_steps=2)
    said = [event.what for event in of(told, Preparing)]
    assert "Building the network" in said and any(what.startswith("Trying the rate") for what in said)
