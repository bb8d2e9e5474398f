"""The sweep: the training's own steps at growing rates, and afterwards nothing is different."""

import copy
import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

from catfish_core.config import OptimizerConfig, RunConfig, SweepConfig, TrainingConfig
from catfish_core.errors import ConfigError, TrainingError
from catfish_core.events import MemorySaved, ProbeEnd, SweepEnded, SweepPoint, drain
from catfish_core.training import loop, optim
from catfish_core.training.compute import Compute
from catfish_core.training.loop import TrainState, fit
from catfish_core.training.lr_finder import ladder
from catfish_core.training.sweep import probe, sweep

CPU = torch.device("cpu")
LOSS = optim.loss_function(TrainingConfig())
SHORT = SweepConfig(steps=12, divergence=None)


class Tensors:
    """Batches in memory, shuffled by the epoch's number; as careless loaders do, it draws from the global states."""

    def __init__(self, count=24, batch_size=6, draws=True):
        source = torch.Generator().manual_seed(0)
        self.labels = torch.arange(count) % 2
        self.images = torch.randn(count, 3, 8, 8, generator=source) * 0.5 + self.labels.view(-1, 1, 1, 1)
        self.batch_size, self.draws = batch_size, draws
        self.epochs = []

    def __len__(self):
        return math.ceil(len(self.labels) / self.batch_size)

    def epoch(self, number, first=0):
        self.epochs.append(number)
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(number))
        for chosen in order.split(self.batch_size)[first:]:
            noise = torch.rand(1) + random.random() + np.random.rand() if self.draws else torch.zeros(1)
            yield self.images[chosen] + 0.01 * noise.float(), self.labels[chosen]

    def __iter__(self):
        return self.epoch(0)


class Frozen(nn.Module):
    """A frozen part with a BatchNorm, a trained one with another and dropout, and a buffer of its own."""

    def __init__(self):
        super().__init__()
        self.back = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).requires_grad_(False)
        self.neck = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(64, 2)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, images):
        if self.training:
            self.seen = self.seen + len(images)  # replaced, not changed in place
        return self.head(self.neck(self.back(images)))


def start(name="adam", steps_before=3, device=CPU, compute=Compute()):  # noqa: B008 - frozen
    """A state in the middle of a training, with two groups whose rates are 1 to 4."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = compute.placed(Frozen(), device)
    config = RunConfig(optimizer=OptimizerConfig(name=name, lr=1e-3, weight_decay=1e-4))
    optimizer = optim.optimizer(model, config.optimizer)
    defaults = {k: v for k, v in optimizer.param_groups[0].items() if k not in ("params", "lr")}
    optimizer.param_groups.clear()
    optimizer.add_param_group({**defaults, "params": list(model.neck.parameters()), "lr": 2.5e-4, "name": "neck"})
    optimizer.add_param_group({**defaults, "params": list(model.head.parameters()), "lr": 1e-3, "name": "head"})
    state = TrainState(model, optimizer, optim.Schedule(optimizer, config, 4), device, compute)
    if steps_before:
        few = config.model_copy(update={"training": TrainingConfig(epochs=1)})
        list(fit(state, Tensors(), Tensors(), few))
    model.train()
    model.neck[1].eval()  # an unusual mode, which must come back
    return state


def snapshot(state):
    """Everything that a sweep could change, copied."""
    model, optimizer = state.model, state.optimizer
    numbers = {f.name: getattr(state, f.name) for f in state.__dataclass_fields__.values()}
    plain = {name: value for name, value in numbers.items() if isinstance(value, (int, float, bool, type(None)))}
    return copy.deepcopy(
        {
            "weights": dict(model.named_parameters()),
            "buffers": dict(model.named_buffers()),
            "gradients": {name: p.grad for name, p in model.named_parameters()},
            "trained": {name: p.requires_grad for name, p in model.named_parameters()},
            "modes": {name: part.training for name, part in model.named_modules()},
            "optimizer": optimizer.state_dict(),
            "scaler": state.scaler.state_dict(),
            "state": plain,
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "threads": torch.get_num_threads(),
            "grad mode": torch.is_grad_enabled(),
        }
    )


def assert_same(a, b, at="state"):
    """Bit for bit: tensors by their bytes, so that nan equals nan and 0 does not equal -0."""
    assert type(a) is type(b), at
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.stride() == b.stride() and a.device == b.device, at
        flat = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
        assert torch.equal(*flat), at
    elif isinstance(a, np.ndarray):
        assert np.array_equal(a, b), at
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), at
        for key in a:
            assert_same(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), at
        for number, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{at}[{number}]")
    else:
        assert a == b, at


def next_order(source):
    return [labels.tolist() for _, labels in source.epoch(3)]


def finished(state, train):
    ended = list(sweep(state, train, Tensors(), LOSS, SHORT))[-1]
    assert (ended.reason, ended.steps) == ("finished", 12)


def validated(state, train):
    told = list(sweep(state, train, Tensors(), LOSS, SHORT.model_copy(update={"val_every": 5})))
    assert [e.step for e in told if isinstance(e, SweepPoint) and e.val_loss is not None] == [4, 9]


def diverged(state, train):
    settings = SweepConfig(init=1e-3, final=100.0, steps=40, divergence=1.5, smoothing="rolling", window=1)
    assert list(sweep(state, train, Tensors(), LOSS, settings))[-1].reason == "diverged"


def exploded(state, train):
    train.images[:] = 1e38
    *_, point, ended = sweep(state, train, Tensors(), LOSS, SHORT)
    assert point.loss is None and ended.reason == "diverged"


def stopped(state, train):
    told = []
    told += sweep(state, train, Tensors(), LOSS, SHORT, should_stop=lambda: len(told) >= 0 and len(train.epochs) > 1)
    assert told[-1].reason == "stopped" and told[-1].steps == 4


def abandoned(state, train):
    events = sweep(state, train, Tensors(), LOSS, SHORT)
    for _ in range(3):
        next(events)
    events.close()


def raised(state, train):
    def faulty(logits, labels):
        if len(train.epochs) > 1:
            raise ZeroDivisionError("in the middle of a step")
        return LOSS(logits, labels)

    with pytest.raises(ZeroDivisionError):
        list(sweep(state, train, Tensors(), faulty, SHORT))


def tried_out(state, train):
    assert drain(probe(state, train, Tensors(), LOSS, "valley", 1e-2, 7)).steps == 7


def tried_and_stopped(state, train):
    assert drain(probe(state, train, Tensors(), LOSS, "valley", 1e-2, 7, lambda: len(train.epochs) > 1)) is None


ENDS = [finished, validated, diverged, exploded, stopped, abandoned, raised, tried_out, tried_and_stopped]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("steps_before", [0, 3], ids=["fresh", "trained"])
def test_it_changes_nothing_however_it_ends(ends, steps_before):
    state, train = start(steps_before=steps_before), Tensors()
    kept = {id(p) for p in state.model.parameters()} | {id(b) for b in state.model.buffers()}
    order = next_order(train)
    train.epochs.clear()
    before = snapshot(state)
    ends(state, train)
    assert_same(before, snapshot(state))
    assert {id(p) for p in state.model.parameters()} | {id(b) for b in state.model.buffers()} == kept
    train.epochs.clear()
    assert next_order(train) == order


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_it_changes_nothing_with_any_optimizer(name):
    state = start(name)
    before = snapshot(state)
    finished(state, Tensors())
    assert_same(before, snapshot(state))


def test_training_goes_on_as_if_there_had_been_no_sweep():
    config = RunConfig(training=TrainingConfig(epochs=3))

    def losses(first):
        state = start()
        first(state)
        return [e.loss for e in fit(state, Tensors(), Tensors(), config) if hasattr(e, "loss")]

    assert losses(lambda state: finished(state, Tensors())) == losses(lambda state: None)


def test_channels_last_and_lower_precision_stay_as_they_are():
    compute = Compute("bf16", channels_last=True)
    state = start(compute=compute)
    before = snapshot(state)
    finished(state, Tensors())
    assert_same(before, snapshot(state))
    assert state.model.neck[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_sweep_step_is_a_training_step():
    """The losses are those of a training whose schedule sets the same rates."""
    state, settings = start(), SweepConfig(init=1e-4, final=1e-2, steps=12, divergence=None)
    ratios = {"neck": 0.25, "head": 1.0}
    swept = [e.loss for e in sweep(state, Tensors(), Tensors(), LOSS, settings) if isinstance(e, SweepPoint)]
    rates = iter(ladder(settings))

    def apply(step):
        lr = next(rates)
        for group in state.optimizer.param_groups:
            group["lr"] = lr * ratios[group["name"]]
        return lr

    state.schedule.apply, state.epoch, state.finished = apply, 0, False
    config = RunConfig(training=TrainingConfig(epochs=3))
    told = fit(state, Tensors(), Tensors(draws=False), config)
    trained = [event.loss for event in told if isinstance(event, loop.BatchEnd)]
    assert swept == trained


def test_groups_keep_their_ratio_and_the_axis_is_the_heads():
    state, seen = start(), []
    state.optimizer.register_step_pre_hook(lambda opt, *_: seen.append([g["lr"] for g in opt.param_groups]))
    told = [e for e in sweep(state, Tensors(), Tensors(), LOSS, SHORT) if isinstance(e, SweepPoint)]
    assert [lr for _, lr in seen] == [e.lr for e in told] == ladder(SHORT)
    assert all(neck / head == pytest.approx(0.25) for neck, head in seen)
    assert [group["lr"] for group in state.optimizer.param_groups] == [2.5e-4, 1e-3]


def test_the_loader_begins_anew_in_another_order():
    train = Tensors()
    list(sweep(start(), train, Tensors(), LOSS, SHORT))
    assert train.epochs == [0, 1, 2]


def test_one_batch_is_enough():
    train = Tensors(count=6)
    assert list(sweep(start(), train, Tensors(), LOSS, SHORT))[-1].steps == 12
    assert train.epochs == list(range(12))


def test_frozen_parts_stay_in_evaluation_while_it_runs():
    state, modes = start(), set()
    state.model.back[1].register_forward_hook(lambda part, *_: modes.add(part.training))
    list(sweep(state, Tensors(), Tensors(), LOSS, SHORT))
    assert modes == {False}


def test_divergence_is_judged_on_the_smoothed_loss():
    """One bad batch is no divergence for a mean of five; with a window of one it is."""
    state, calls = start(), []

    def spiked(logits, labels):
        calls.append(1)
        return LOSS(logits, labels) * (8 if len(calls) == 6 else 1)

    tame = SweepConfig(init=1e-8, final=1e-7, steps=12, smoothing="rolling", window=5)
    assert list(sweep(state, Tensors(), Tensors(), spiked, tame))[-1].reason == "finished"
    calls.clear()
    wild = tame.model_copy(update={"window": 1})
    assert list(sweep(state, Tensors(), Tensors(), spiked, wild))[-1].steps == 6


def test_memory_that_runs_out_is_saved_and_remembered_only_inside(monkeypatch):
    state, whole = start(), loop._accumulated

    def short_of_memory(state, images, labels, loss_fn, number):
        if number == 1:
            raise RuntimeError("out of memory")
        return whole(state, images, labels, loss_fn, number)

    monkeypatch.setattr(loop, "_accumulated", short_of_memory)
    told = list(sweep(state, Tensors(), Tensors(), LOSS, SHORT))
    assert [e.micro_batch for e in told if isinstance(e, MemorySaved)] == [3]
    assert told[-1].reason == "finished" and state.micro_batch is None


def test_no_memory_at_all_is_said_and_nothing_is_changed(monkeypatch):
    state = start()
    before = snapshot(state)

    def no_memory(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(loop, "_accumulated", no_memory)
    with pytest.raises(TrainingError, match="not enough memory"):
        list(sweep(state, Tensors(), Tensors(), LOSS, SHORT))
    assert_same(before, snapshot(state))


def test_nothing_to_train_is_said_before_anything_runs():
    state, train = start(), Tensors()
    state.model.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing to train"):
        next(sweep(state, train, Tensors(), LOSS, SHORT))
    assert train.epochs == []


def test_a_head_without_a_rate_has_no_ratio():
    state = start()
    state.optimizer.param_groups[-1]["lr"] = 0.0
    with pytest.raises(ConfigError, match="head's learning rate is 0"):
        next(sweep(state, Tensors(), Tensors(), LOSS, SHORT))


def test_probes_begin_alike_and_tell_what_they_reached():
    state, settings = start(), (LOSS, "valley", 1e-3, 8)
    first, again = (drain(probe(state, Tensors(), Tensors(), *settings)) for _ in range(2))
    assert isinstance(first, ProbeEnd) and (first.name, first.lr, first.steps) == ("valley", 1e-3, 8)
    assert (first.loss, first.val_loss, first.val_accuracy) == (again.loss, again.val_loss, again.val_accuracy)
    assert 0 <= first.val_accuracy <= 1
    other = drain(probe(state, Tensors(), Tensors(), LOSS, "steepest", 1e-1, 8))
    assert other.val_loss != first.val_loss


def test_a_probe_that_explodes_has_no_loss():
    train = Tensors()
    train.images[:] = 1e38
    done = drain(probe(start(), train, Tensors(), LOSS, "slide", 100.0, 8))
    assert (done.loss, done.val_loss, done.val_accuracy) == (None, None, None) and done.steps < 8


def test_a_linear_scale_adds():
    settings = SweepConfig(init=0.01, final=0.05, steps=5, scale="linear")
    told = [e.lr for e in sweep(start(), Tensors(), Tensors(), LOSS, settings) if isinstance(e, SweepPoint)]
    assert told == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_changes_nothing_on_a_card(precision):
    compute = Compute(precision, channels_last=precision != "fp32")
    state = start(steps_before=0, device=torch.device("cuda"), compute=compute)
    state.scaler = GradScaler("cuda", enabled=precision == "fp16")
    few = RunConfig(training=TrainingConfig(epochs=1))
    list(fit(state, Tensors(), Tensors(), few))
    for ends in (finished, validated, abandoned, tried_out):
        before = snapshot(state)
        ends(state, Tensors())
        assert_same(before, snapshot(state))
    assert isinstance(list(sweep(state, Tensors(), Tensors(), LOSS, SHORT))[-1], SweepEnded)
