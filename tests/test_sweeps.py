"""A sweep's directory: settings, state, and which sweeps compare."""

import json

import pytest
from filelock import FileLock

from catfish_core import runs, sweeps
from catfish_core.config import (
    AugmentConfig,
    ComputeConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    SweepConfig,
    TrainingConfig,
)
from catfish_core.errors import RunError
from catfish_core.events import Advised, EventLog, Failed, Preparing, Stopped, SweepCompleted
from catfish_core.parts import PartsConfig

ADVICE = Advised(recommended="valley", rate=1e-3, reason="So it is.", suggestions={"valley": 1e-3, "course": None})


def say(sweep, *events):
    with EventLog(sweep.events_path) as log:
        for event in events:
            log.append(event)


def test_a_new_sweep_is_queued_and_keeps_what_it_is_about(workspace):
    config, settings = RunConfig(name="mine"), SweepConfig(steps=20, val_every=5, divergence=None)
    sweep = sweeps.create(workspace, config, settings)
    assert sweep.path.parent == workspace.sweeps
    assert (sweep.config(), sweep.settings()) == (config, settings)
    assert sweeps.status(sweep) == "queued"
    assert sweeps.find(workspace, sweep.id) == sweep
    assert runs.listing(workspace) == []


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (SweepCompleted(seconds=1.0), "completed"),
        (Stopped(epoch=0, kept_epoch=None, seconds=1.0), "stopped"),
        (Failed(what="It broke."), "failed"),
    ],
)
def test_a_terminal_event_is_the_status(workspace, last, status):
    sweep = sweeps.create(workspace, RunConfig(), SweepConfig())
    say(sweep, Preparing(what="Starting up"), ADVICE, last)
    assert sweeps.status(sweep) == status
    (listed,) = sweeps.listing(workspace)
    assert listed.advised == ADVICE and listed.status == status


def test_a_living_worker_is_running_then_stopping_and_a_dead_one_crashed(workspace):
    sweep = sweeps.create(workspace, RunConfig(), SweepConfig())
    with FileLock(sweep.lock_path):
        (sweep.attempt / "started.json").write_text("{}")
        assert sweeps.status(sweep) == "running"
        sweep.stop()
        assert sweeps.status(sweep) == "stopping"
        with pytest.raises(RunError, match="This sweep is still searching"):
            sweeps.delete(sweep)
    assert sweeps.status(sweep) == "crashed"
    sweeps.delete(sweep)
    assert sweeps.listing(workspace) == []


def test_damaged_ones_are_listed_with_their_problem(workspace):
    sweep = sweeps.create(workspace, RunConfig(), SweepConfig())
    sweep.settings_path.write_text('{"init": 1, "final": 0.1}')
    (listed,) = sweeps.listing(workspace)
    assert "must be lower than the final rate" in listed.problem
    assert listed.config == RunConfig() and listed.settings is None
    (sweep.path / "config.json").write_text("{")
    (listed,) = sweeps.listing(workspace)
    assert listed.key is None and "configuration of sweep" in listed.problem


@pytest.mark.parametrize("id", ["../runs", "", "20200101-000000-nothing-abc123", "a" * 500])
def test_what_is_no_sweep_is_not_found(workspace, id):
    with pytest.raises(RunError, match="There is no sweep called"):
        sweeps.find(workspace, id)


LITE0 = ModelConfig(arch="efficientnet_lite0", pretrained=True)
SAME = [
    RunConfig(name="other"),
    RunConfig(optimizer=OptimizerConfig(lr=0.5)),
    RunConfig(schedule=ScheduleConfig(kind="cosine")),
    RunConfig(training=TrainingConfig(epochs=99, seed=7, patience=3, device="cpu", ema_decay=0.9)),
    RunConfig(compute=ComputeConfig(precision="fp32", micro_batch=8)),
]
OTHER = [
    RunConfig(data=DataConfig(dataset="mine")),
    RunConfig(data=DataConfig(image_size=96)),
    RunConfig(model=ModelConfig(arch="simple_net")),
    RunConfig(optimizer=OptimizerConfig(weight_decay=0.1)),
    RunConfig(optimizer=OptimizerConfig(name="sgd")),
    RunConfig(training=TrainingConfig(batch_size=32)),
    RunConfig(training=TrainingConfig(loss="mse")),
    RunConfig(training=TrainingConfig(label_smoothing=0.1)),
    RunConfig(training=TrainingConfig(mix="mixup")),
    RunConfig(model=LITE0),
    RunConfig(model=LITE0, parts=PartsConfig(preset="course")),
]


@pytest.mark.parametrize("config", SAME)
def test_sweeps_compare_whatever_does_not_decide_their_curve(config):
    assert sweeps.key(config) == sweeps.key(RunConfig())


def test_sweeps_of_something_else_do_not_compare():
    from catfish_core import augment

    augmented = RunConfig(augment=AugmentConfig(steps=tuple(augment.recommended())))
    keys = {sweeps.key(config) for config in [RunConfig(), augmented, *OTHER]}
    assert len(keys) == len(OTHER) + 2


def test_a_key_is_the_same_after_a_trip_through_json():
    config = RunConfig(data=DataConfig(dataset="mine"))
    assert sweeps.key(RunConfig.model_validate(json.loads(config.model_dump_json()))) == sweeps.key(config)
