"""Optimizer, learning-rate schedule, loss and device from their configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from catfish_core import catalog, parts
from catfish_core.config import OptimizerConfig, RunConfig, TrainingConfig
from catfish_core.errors import ConfigError
from catfish_core.models import build
from catfish_core.training.schedule import multiplier, warmup_steps

Loss = Callable[[Tensor, Tensor], Tensor]
Group = dict[str, Any]  # what torch takes: "params", "lr"

Kind = TypeVar("Kind", bound=type[Optimizer])


def _plain(kind: Kind) -> Kind:
    """`kind` without what torch wraps around it for its compiler, which is never used on an optimizer here.

    The first call of what is wrapped imports all of that compiler: a second that every run would wait for.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))  # which is what is left of its wrapping
    return type(kind.__name__, (kind,), methods)  # type: ignore[return-value]


_SGD, _Adagrad, _RMSprop, _Adam, _AdamW = map(_plain, (SGD, Adagrad, RMSprop, Adam, AdamW))

# fused: one pass over all weights for a whole step; torch has none for RMSprop, nor all of them on MPS.
_OPTIMIZERS: dict[str, Callable[[Sequence[Group], OptimizerConfig, bool], Optimizer]] = {
    "sgd": lambda p, c, f: _SGD(p, c.lr, momentum=c.momentum, weight_decay=c.weight_decay, fused=f),
    "adagrad": lambda p, c, f: _Adagrad(p, c.lr, weight_decay=c.weight_decay, fused=f),
    "rmsprop": lambda p, c, f: _RMSprop(p, c.lr, momentum=c.momentum, weight_decay=c.weight_decay),
    "adam": lambda p, c, f: _Adam(p, c.lr, weight_decay=c.weight_decay, fused=f),
    "adamw": lambda p, c, f: _AdamW(p, c.lr, weight_decay=c.weight_decay, fused=f),
}


def optimizer(model: nn.Module, config: OptimizerConfig, groups: Sequence[Group] = ()) -> Optimizer:
    """The optimizer over `groups`; without any, over the parameters of `model` that are trained, at one rate.

    Raises ConfigError where nothing is trained.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ConfigError("Every part of this network is frozen: there is nothing to train.", "Unfreeze the head.")
    fused = all(p.device.type in ("cpu", "cuda") for p in trained)
    return _OPTIMIZERS[config.name](groups or [{"params": trained}], config, fused)


def groups(model: nn.Module, config: RunConfig, epoch: int = 0) -> list[Group]:
    """What is trained in `epoch` as parameter groups with their rates, first part to head; the rest is frozen.

    Neighbours that share a rate share a group: one fused step for all of them. Parts thawed at different times do
    not: torch's fused SGD wants momentum for all of a group or for none.
    """
    arch = catalog.arch(config.model.arch)
    shares, starts = parts.shares(config.parts, arch, epoch), parts.thaws(config.parts, arch, epoch + 1)
    build.freeze(model, arch, shares)
    inside = build.parts(model, arch)
    return [
        {"params": [p for name in names for p in inside[name]], "lr": config.optimizer.lr * share}
        for (share, _), names in groupby(starts, key=lambda name: (shares[name], starts[name]))
    ]


def rates(config: RunConfig, epoch: int = 0) -> dict[str, float]:
    """Every part of the network, first to head, with its rate in `epoch` before any schedule; 0 where frozen."""
    shares = parts.shares(config.parts, catalog.arch(config.model.arch), epoch)
    return {name: config.optimizer.lr * share for name, share in shares.items()}


class Schedule:
    """Sets the learning rate of every parameter group before each step, in proportion to where it began."""

    def __init__(self, optimizer: Optimizer, config: RunConfig, steps_per_epoch: int) -> None:
        self.drive(optimizer)
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self.plateau = Plateau(config.schedule.gamma, config.schedule.patience)

    def drive(self, optimizer: Optimizer) -> None:
        """Set the rates of `optimizer` from here on, in proportion to those it has now."""
        self.optimizer = optimizer
        self.base = [float(group["lr"]) for group in optimizer.param_groups]

    def apply(self, step: int) -> float:
        """Set the rates for `step` (from 0 over the whole run); the rate of the last group, the head's."""
        schedule = self.config.schedule
        factor = multiplier(schedule, step, self.steps_per_epoch, self.config.training.epochs) * self.plateau.factor
        for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = base * factor
        return self.base[-1] * factor

    def epoch_done(self, val_loss: float, steps: int) -> None:
        """Let a plateau schedule see the validation loss after so many steps of the run, once the warm-up is over."""
        schedule = self.config.schedule
        if schedule.kind == "plateau" and steps >= warmup_steps(schedule, self.steps_per_epoch):
            self.plateau.see(val_loss)


class Plateau:
    """Multiplies the rate by `gamma` after more than `patience` epochs without a lower loss.

    The rule of torch's ReduceLROnPlateau with its relative threshold of 1e-4; kept here as three plain numbers
    so that a checkpoint can hold them.
    """

    THRESHOLD = 1e-4

    def __init__(self, gamma: float, patience: int) -> None:
        self.gamma, self.patience = gamma, patience
        self.factor, self.best, self.stale = 1.0, float("inf"), 0

    def see(self, loss: float) -> None:
        """Take note of one epoch's validation loss."""
        if loss < self.best * (1 - self.THRESHOLD):
            self.best, self.stale = loss, 0
            return
        self.stale += 1
        if self.stale > self.patience:
            self.factor, self.stale = self.factor * self.gamma, 0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"factor": self.factor, "best": self.best, "stale": self.stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.factor, self.best, self.stale = state["factor"], state["best"], state["stale"]


def loss_function(config: TrainingConfig) -> Loss:
    """(logits (B, C), labels (B,) or, where photos were mixed, their shares (B, C)) → mean loss over the batch.

    cross_entropy, or mse: the squared error of the softmax probabilities against one-hot, summed over classes
    (Brier, 1950), so that the network's outputs stay probabilities whatever it was trained with.
    """
    smoothing = config.label_smoothing
    if config.loss == "cross_entropy":
        return lambda logits, labels: F.cross_entropy(logits, labels, label_smoothing=smoothing)

    def brier(logits: Tensor, labels: Tensor) -> Tensor:
        classes = logits.shape[1]
        shares = labels if labels.dim() == 2 else F.one_hot(labels, classes)
        target = shares.to(logits.dtype) * (1 - smoothing) + smoothing / classes
        return (logits.softmax(1) - target).square().sum(1).mean()

    return brier


def device(name: str) -> torch.device:
    """The device called `name`; auto takes cuda, then mps, then cpu. Raises ConfigError for one that is not here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in here.items() if present))
    if not here[name]:
        present = ", ".join(kind for kind, is_here in here.items() if is_here)
        raise ConfigError(f"This machine has no {name} device.", f"Choose auto, or one of: {present}.")
    return torch.device(name)
