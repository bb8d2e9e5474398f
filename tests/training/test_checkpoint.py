"""Exact resume: interrupted at any batch, a run ends with the weights, losses and curves of one that never was."""

import errno
import math
import os
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from catfish_core import augment, events, runs
from catfish_core.config import (
    AugmentConfig,
    ComputeConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainingConfig,
)
from catfish_core.errors import RunError
from catfish_core.events import (
    BatchEnd,
    Completed,
    EarlyStop,
    EpochEnd,
    NotSaved,
    Preparing,
    Resumed,
    Started,
    Tested,
)
from catfish_core.parts import PartsConfig
from catfish_core.training import checkpoint, session

BATCHES = 3  # of an epoch: 24 photos in eights
LITE = ModelConfig(arch="efficientnet_lite0", pretrained=True)
FLIPPED = AugmentConfig(steps=(augment.RandomHorizontalFlip(), augment.ColorJitter()))
SHAPES = {
    "adam, augmented, cosine": {
        "augment": FLIPPED,
        "schedule": ScheduleConfig(kind="cosine", warmup_epochs=0.5),
        "optimizer": OptimizerConfig(name="adam", lr=1e-3),
    },
    "sgd, averaged, mixed, plateau": {
        "schedule": ScheduleConfig(kind="plateau", patience=0, warmup_epochs=1.5),
        "optimizer": OptimizerConfig(name="sgd", lr=0.05, momentum=0.9),
        "training": {"ema_decay": 0.9, "mix": "either"},
    },
    "one cycle, in parts": {
        "schedule": ScheduleConfig(kind="one_cycle"),
        "optimizer": OptimizerConfig(name="rmsprop", lr=1e-3),
        "compute": ComputeConfig(micro_batch=3),
        "training": {"label_smoothing": 0.1, "patience": 1},
    },
    "gradual": {
        "model": LITE,
        "parts": PartsConfig(preset="gradual", every=1),
        "optimizer": OptimizerConfig(name="sgd", lr=0.05, momentum=0.9),
        "training": {"ema_decay": 0.9},
    },
    "frozen, features kept": {
        "model": LITE,
        "augment": FLIPPED,
        "parts": PartsConfig(preset="head_only"),
        "compute": ComputeConfig(feature_views=2),
        "schedule": ScheduleConfig(kind="step", step_size=1),
    },
}


def configured(epochs=2, training=None, **sections):
    sections = {"data": DataConfig(dataset="tiny", image_size=32), **sections}
    return RunConfig(
        **sections, training=TrainingConfig(epochs=epochs, batch_size=8, device="cpu", **(training or {}))
    )


class Telling:
    """Does the attempts of a run, and writes down what each said as its worker does."""

    def __init__(self, workspace, config):
        self.run = runs.create(workspace, config)

    def attempt(self, stop_after=math.inf, kill_after=math.inf):
        """One attempt, asked to stop, or ended without a word, after it told so many steps or ends of epochs."""
        told = []
        with events.EventLog(self.run.events_path) as log:
            steps = session.train(self.run, lambda: len(told) >= stop_after)
            for event in steps:
                log.append(event)
                told += [event] * isinstance(event, (BatchEnd, EpochEnd))
                if len(told) >= kill_after:
                    steps.close()
                    break
        return self

    @property
    def done(self):
        return bool(self.said) and isinstance(self.said[-1], Completed)

    @property
    def said(self):
        return self.run.events()[0]

    def last(self):
        return checkpoint.read(self.run.checkpoints / checkpoint.LAST)


def facts(told):
    """What is in a log but for times, and for what is measured by the clock; of an uninterrupted run's shape."""
    measured = ("time", "seconds", "test_seconds", "images_per_second")
    return [
        (type(event).__name__, {k: v for k, v in vars(event).items() if k not in measured})
        for event in events.effective(told)
        if not isinstance(event, Preparing)
    ]


def flat(thing, name=""):
    """Every tensor and plain value in a checkpoint, by its place."""
    if isinstance(thing, dict):
        return {k: v for key, value in thing.items() for k, v in flat(value, f"{name}/{key}").items()}
    if isinstance(thing, (list, tuple)):
        return flat(dict(enumerate(thing)), name)
    return {name: thing}


def equal(one, other):
    """Whether two runs that are over ended alike to the last bit: checkpoint, kept weights, report."""
    first, second = flat(one.last()), flat(other.last())
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same or value != value, name
    kept = [load_file(each.run.model_path) for each in (one, other)]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert one.run.report_path.read_bytes() == other.run.report_path.read_bytes()
    assert facts(one.said) == facts(other.said)


@pytest.fixture
def made(workspace, tiny_dataset):
    """made(config): a run, not begun."""
    return lambda config: Telling(workspace, config)


@pytest.mark.parametrize("name", SHAPES)
def test_stopped_after_each_batch_and_each_epoch_it_ends_as_if_it_had_never_been(made, name):
    whole, one = made(configured(**SHAPES[name])).attempt(), made(configured(**SHAPES[name]))
    assert whole.done and sum(isinstance(event, BatchEnd) for event in whole.said) == 2 * BATCHES
    while not one.done:
        one.attempt(stop_after=1)
    equal(one, whole)
    assert sum(isinstance(event, Started) for event in one.said) == 2 * (BATCHES + 1) + 1  # the last for the test


@pytest.mark.parametrize("name", ["adam, augmented, cosine", "gradual"])
def test_killed_after_each_batch_it_ends_as_if_it_had_never_been(made, monkeypatch, name):
    """Each attempt is killed before the second step it told is written down, so that is made twice."""
    whole, one = made(configured(**SHAPES[name])).attempt(), made(configured(**SHAPES[name]))
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    while not one.done:
        one.attempt(kill_after=2)
    equal(one, whole)
    resumed = [(event.epoch, event.batch, event.step) for event in one.said if isinstance(event, Resumed)]
    assert resumed[:4] == [(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 0, 3)]


def test_between_two_savings_a_kill_loses_what_came_after_the_first(made):
    whole, one = made(configured()).attempt(), made(configured()).attempt(kill_after=BATCHES + 3)
    (before,) = [event.loss for event in one.said if isinstance(event, BatchEnd) and event.step == 4]
    one.attempt()
    equal(one, whole)
    assert [(e.epoch, e.batch, e.step) for e in one.said if isinstance(e, Resumed)] == [(1, 0, 3)]
    assert [event.loss for event in one.said if isinstance(event, BatchEnd) and event.step == 4] == [before] * 2


def test_killed_before_anything_was_saved_it_begins_anew_and_says_so(made):
    whole, one = made(configured()).attempt(), made(configured()).attempt(kill_after=2).attempt()
    assert [(e.epoch, e.batch, e.step) for e in one.said if isinstance(e, Resumed)] == [(0, 0, 0)]
    equal(one, whole)


def test_killed_after_the_last_epoch_only_the_test_is_made_up_for(made):
    whole, one = made(configured()).attempt(), made(configured()).attempt(stop_after=2 * (BATCHES + 1))
    assert not any(isinstance(event, Tested) for event in one.said)
    steps = len([event for event in one.said if isinstance(event, BatchEnd)])
    one.attempt()
    equal(one, whole)
    assert len([event for event in one.said if isinstance(event, BatchEnd)]) == steps
    assert not (one.run.checkpoints / checkpoint.PREVIOUS).exists()


def test_a_run_that_stopped_early_and_died_is_not_trained_further(made):
    config = configured(epochs=9, optimizer=OptimizerConfig(lr=1e-12), training={"patience": 1})
    whole, one = made(config).attempt(), made(config)
    ends = sum(isinstance(event, EpochEnd) for event in whole.said)
    assert ends < 9 and whole.done
    one.attempt(stop_after=ends * (BATCHES + 1)).attempt()
    equal(one, whole)
    assert sum(isinstance(event, EarlyStop) for event in events.effective(one.said)) == 1


def torn(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    changed = bytes([content[middle] ^ 1])
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[:middle],
            "one bit": content[:middle] + changed + content[middle + 1 :],
            "zeros": bytes(len(content)),
            "foreign": b"PK\x03\x04 not one of ours",
        }[how]
    )


@pytest.mark.parametrize("how", ["empty", "cut", "one bit", "zeros", "foreign"])
def test_where_the_newest_is_torn_it_goes_on_from_the_one_before(made, how):
    whole, one = made(configured()).attempt(), made(configured()).attempt(stop_after=BATCHES + 2)
    torn(one.run.checkpoints / checkpoint.LAST, how)
    one.attempt()
    equal(one, whole)
    assert [(e.epoch, e.batch, e.step) for e in one.said if isinstance(e, Resumed)] == [(1, 0, 3)]
    assert any("last.pt is damaged" in e.what and "one before it" in e.what for e in one.said if is_remark(e))


def is_remark(event):
    return isinstance(event, Preparing) and "damaged" in event.what


def test_where_both_are_torn_it_begins_anew_and_says_so(made):
    whole, one = made(configured()).attempt(), made(configured()).attempt(stop_after=BATCHES + 2)
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        torn(one.run.checkpoints / name, "cut")
    one.attempt()
    assert [(e.epoch, e.batch, e.step) for e in one.said if isinstance(e, Resumed)] == [(0, 0, 0)]
    assert "begins anew" in [event.what for event in one.said if is_remark(event)][-1]
    equal(one, whole)


def test_the_checkpoint_of_another_network_is_put_aside(made):
    other = made(configured(model=LITE, parts=PartsConfig(preset="head_only"))).attempt(stop_after=1)
    one = made(configured())
    one.run.checkpoints.mkdir()
    (other.run.checkpoints / checkpoint.LAST).rename(one.run.checkpoints / checkpoint.LAST)
    one.attempt()
    assert one.done and "begins anew" in next(event.what for event in one.said if is_remark(event))
    equal(one, made(configured()).attempt())


def test_a_full_disk_does_not_end_the_training_and_is_said_once(made, monkeypatch):
    whole, one = made(configured(epochs=3)).attempt(), made(configured(epochs=3))
    real, calls = os.fsync, []

    def full(file):
        calls.append(os.readlink(f"/proc/self/fd/{file}"))
        if ".last.pt" in calls[-1] and 2 <= sum(".last.pt" in call for call in calls) <= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    one.attempt(kill_after=2 * (BATCHES + 1) + 1)
    assert [(e.step, "disk is full" in e.what) for e in one.said if isinstance(e, NotSaved)] == [(5, True)]
    monkeypatch.undo()
    assert not list(one.run.checkpoints.glob(".*"))
    one.attempt()  # from the end of the first epoch: what was saved then is intact
    assert [e.step for e in one.said if isinstance(e, Resumed)] == [3]
    equal(one, whole)


def test_what_an_interrupted_saving_left_is_removed(made):
    one = made(configured(epochs=1))
    one.run.checkpoints.mkdir()
    for left in (one.run.checkpoints / ".last.pt.0a1b2c3d.tmp", one.run.path / ".model.safetensors.0a1b2c3d.tmp"):
        left.write_bytes(b"half")
    one.attempt()
    assert not list(one.run.path.rglob(".*.tmp"))


def test_a_saving_that_the_system_cuts_short_says_what_the_system_said():
    """torch answers that its position is unexpected; that the disk is full has to be dug out."""

    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoint._write({"x": torch.zeros(100_000)}, Full())


def test_it_is_computed_with_the_threads_and_the_formats_of_the_first_attempt(made, monkeypatch):
    whole, one = made(configured()).attempt(), made(configured()).attempt(stop_after=2)
    monkeypatch.setattr(session, "decide", lambda *_: session.Compute("bf16", True))
    before = torch.get_num_threads()
    seen = []
    monkeypatch.setattr(session, "_write_environment", lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(before + 1)
    try:
        one.attempt()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert seen == [before]
    equal(one, whole)


def test_a_device_that_lacks_the_format_takes_another_and_says_so(made, monkeypatch):
    one = made(configured(compute=ComputeConfig(precision="fp32"))).attempt(stop_after=2)
    real = checkpoint.read
    half = session.Compute("fp16", True)
    before = {"torch": "1.0", "device": "cuda"}
    monkeypatch.setattr(checkpoint, "read", lambda path: {**real(path), "compute": half, "made_by": before})
    one.attempt()
    said = [event.what for event in one.said if isinstance(event, Preparing)]
    assert any("fp16" in what and "fp32" in what for what in said)
    assert any("torch 1.0 on cuda" in what for what in said) and one.done


def test_saving_keeps_out_of_the_way_of_the_training(tmp_path, monkeypatch):
    """On a disk that takes a minute for it, it is done every twenty minutes and not every thirty seconds."""
    now = [1000.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "save", lambda path, state: now.__setitem__(0, now[0] + 60))
    state = SimpleNamespace(epoch=0, step=1, finished=False)
    keeper = checkpoint.Keeper(tmp_path, tmp_path / "log", state)
    now[0] += checkpoint.EVERY - 1
    assert not keeper.due()
    now[0] += 1
    assert keeper.due()
    state.step = 2
    assert keeper.save() == [] and not keeper.due()
    now[0] += checkpoint.SHARE * 60 - 1
    assert not keeper.due()
    now[0] += 1
    assert keeper.due()


def test_what_was_told_is_on_the_disk_before_the_state_is(made, monkeypatch):
    real, order = os.fsync, []

    def noted(file):
        order.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")).split("."))
        real(file)

    monkeypatch.setattr(os, "fsync", noted)
    made(configured(epochs=1)).attempt()
    names = [[part for part in parts if part] for parts in order]
    first = next(n for n, parts in enumerate(names) if parts[:2] == ["last", "pt"])
    assert names[first - 1][0] == "events"


def test_checkpoints_of_versions_that_saved_between_epochs_only_are_taken_up(made):
    whole, one = made(configured()).attempt(), made(configured()).attempt(stop_after=BATCHES + 1)
    path = one.run.checkpoints / checkpoint.LAST
    new = torch.load(path, weights_only=True)
    late = ("batch", "sums", "threads", "device_random", "epochs", "compute", "made_by")
    old = {name: value for name, value in new.items() if name not in late}
    torch.save(old, path)
    one.attempt()
    equal(one, whole)


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"model": Bomb()}, tmp_path / "last.pt")
    with pytest.raises(RunError, match="nothing in it was executed"):
        checkpoint.read(tmp_path / "last.pt")
    assert not (tmp_path / "executed").exists()


def test_what_the_pace_was_is_that_of_the_work_alone(made, monkeypatch):
    """Seconds and photos a second of an epoch that was interrupted count the work of both attempts, not the night."""
    now = [0.0]
    monkeypatch.setattr(
        "catfish_core.training.loop.time.perf_counter", lambda: now.__setitem__(0, now[0] + 1) or now[0]
    )
    whole, one = made(configured()).attempt(), made(configured()).attempt(stop_after=2)
    now[0] += 30_000
    one.attempt()
    (first, *_), (again, *_) = ([e for e in each.said if isinstance(e, EpochEnd)] for each in (whole, one))
    assert first.seconds <= again.seconds < first.seconds + 10
    assert 0 < again.images_per_second <= first.images_per_second
