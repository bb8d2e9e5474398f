"""A learning-rate sweep: the training's own steps, at rates that grow. Afterwards everything is as it was before."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from catfish_core.config import SweepConfig
from catfish_core.errors import ConfigError
from catfish_core.events import Event, Preparing, ProbeEnd, SweepEnded, SweepPoint
from catfish_core.training.compute import reading
from catfish_core.training.loop import Means, ShouldStop, Source, TrainState, in_training, step, validate
from catfish_core.training.lr_finder import ladder, smoother
from catfish_core.training.optim import Loss


def sweep(
    state: TrainState,
    train: Source,
    val: Source,
    loss_fn: Loss,
    settings: SweepConfig,
    seed: int = 0,
    should_stop: ShouldStop = lambda: False,
) -> Iterator[Event]:
    """One step at each rate of `settings`, telling SweepPoint and, at the end, SweepEnded.

    A step is a training step; the rate is that of the last parameter group, the head's, and the others keep their
    ratio to it. `train` is begun anew, in another order, whenever it is through. The loss told is that before the
    step. It ends early when `should_stop` says so, when a loss is no number, or when the smoothed loss exceeds
    `settings.divergence` times its lowest. Weights, buffers, optimizer, modes and random states are afterwards
    bit for bit as before, whether it ended, raised or was closed. Raises ConfigError where nothing is trained.
    """
    smooth, lowest, made = smoother(settings), math.inf, 0
    reason: Literal["finished", "diverged", "stopped"] = "finished"
    with _trial(state) as trial, closing(_cycled(train)) as batches:
        for lr, (images, labels) in zip(ladder(settings), batches, strict=False):
            if should_stop():
                reason = "stopped"
                break
            loss, _ = yield from trial.step(images, labels, loss_fn, lr)
            made += 1
            due = settings.val_every is not None and made % settings.val_every == 0
            measured = trial.validate(val, loss_fn, should_stop) if due else None
            val_loss = _number(measured.loss) if measured else None
            yield SweepPoint(seed=seed, step=made - 1, lr=lr, loss=_number(loss), val_loss=val_loss)
            smoothed = smooth(loss)
            lowest = min(lowest, smoothed)
            if not math.isfinite(loss) or smoothed > (settings.divergence or math.inf) * lowest:
                reason = "diverged"
                break
    yield SweepEnded(seed=seed, reason=reason, steps=made)


def probe(
    state: TrainState,
    train: Source,
    val: Source,
    loss_fn: Loss,
    name: str,
    lr: float,
    steps: int,
    should_stop: ShouldStop = lambda: False,
) -> Generator[Event, None, ProbeEnd | None]:
    """Train `steps` at the constant rate `lr`, validate, and put everything back; None when asked to stop.

    All probes of a state begin with the same weights and random state, and see the same photos in the same order.
    """
    means, made = Means(), 0
    with _trial(state) as trial, closing(_cycled(train)) as batches:
        for images, labels in itertools.islice(batches, steps):
            if should_stop():
                return None
            yield Preparing(what=f"Trying the rate {lr:.2g}", done=made, total=steps, unit="steps")
            loss, right = yield from trial.step(images, labels, loss_fn, lr)
            means.add(loss, right, len(labels))
            made += 1
            if not math.isfinite(loss):
                break
        measured = trial.validate(val, loss_fn, should_stop)
    if measured is None:
        return None
    val_loss = _number(measured.loss) if math.isfinite(means.loss) else None
    return ProbeEnd(
        name=name,
        lr=lr,
        loss=_number(means.loss),
        val_loss=val_loss,
        val_accuracy=None if val_loss is None else measured.accuracy,
        steps=made,
    )


class _Trial:
    """Steps on the weights of a state, whose counters and loss scale stay out of it."""

    def __init__(self, state: TrainState) -> None:
        groups = state.optimizer.param_groups
        if not any(parameter.requires_grad for group in groups for parameter in group["params"]):
            raise ConfigError(
                "Every part of this network is frozen: there is nothing to train.", "Unfreeze the head."
            )
        if not groups[-1]["lr"]:
            what = "The head's learning rate is 0, so the other rates have no ratio to it."
            raise ConfigError(what, "Give the head a rate.")
        self.state = replace(state, scaler=GradScaler(state.device.type, enabled=state.scaler.is_enabled()))
        self.shares = [float(group["lr"]) / float(groups[-1]["lr"]) for group in groups]
        self.learning: list[nn.Module] = []

    def step(
        self, images: Tensor, labels: Tensor, loss_fn: Loss, lr: float
    ) -> Generator[Event, None, tuple[float, float]]:
        """One training step with the head at `lr`; the mean loss before it, and how many photos were right."""
        self.learning = self.learning or in_training(self.state)
        for part in self.learning:
            part.training = True
        for group, share in zip(self.state.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = lr * share
        facts = yield from step(self.state, images, labels, loss_fn, epoch=0)
        loss, right = next(reading(facts))
        return loss, right

    def validate(self, val: Source, loss_fn: Loss, should_stop: ShouldStop) -> Means | None:
        """What the network makes of `val`; None when asked to stop."""
        state = self.state
        return validate(state.learner, val, loss_fn, state.device, should_stop, state.compute, state.micro_batch)


@contextmanager
def _trial(state: TrainState) -> Iterator[_Trial]:
    """Steps that are undone at the end, however it comes."""
    trial = _Trial(state)
    with _random_kept(state.device), _network_kept(state.model, state.learner), _optimizer_kept(state.optimizer):
        yield trial


@contextmanager
def _random_kept(device: torch.device) -> Iterator[None]:
    """Python, NumPy, torch and the device draw on afterwards as if nothing had been drawn inside."""
    cards = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    of_mps = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        with torch.random.fork_rng(cards):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if of_mps is not None:
            torch.mps.set_rng_state(of_mps)


@contextmanager
def _network_kept(*networks: nn.Module) -> Iterator[None]:
    """Weights, gradients, buffers, modes and what is trained: as they were, in the tensors that they were in."""
    modules = list({module: None for network in networks for module in network.modules()})
    modes = [module.training for module in modules]
    weights = [(p, p.detach().clone(), p.grad, p.requires_grad) for m in modules for p in m.parameters(recurse=False)]
    buffers = [(m, name, b, b.clone()) for m in modules for name, b in m.named_buffers(recurse=False)]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, before, gradient, trained in weights:
                parameter.copy_(before)
                parameter.grad = gradient
                parameter.requires_grad_(trained)
            for module, name, buffer, before in buffers:
                setattr(module, name, buffer.copy_(before))
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


@contextmanager
def _optimizer_kept(optimizer: Optimizer) -> Iterator[None]:
    """The optimizer's memory of earlier steps, and its rates, as they were."""
    before = deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        optimizer.load_state_dict(before)


def _cycled(train: Source) -> Generator[tuple[Tensor, Tensor], None, None]:
    """The batches of one epoch after the other, without end."""
    for epoch in itertools.count():
        yield from train.epoch(epoch)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
