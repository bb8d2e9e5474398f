"""The training loop: one generator to read from top to bottom. It yields facts; the caller decides what to do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from catfish_core.config import RunConfig
from catfish_core.data.loader import Batches
from catfish_core.errors import TrainingError
from catfish_core.events import BatchEnd, EarlyStop, EpochEnd, Event
from catfish_core.models.build import AUX_WEIGHT, split_outputs, train_mode
from catfish_core.training.optim import Loss, Schedule, loss_function

ShouldStop = Callable[[], bool]


@dataclass
class TrainState:
    """Everything that changes while a network learns; what a checkpoint keeps.

    The weights worth keeping are those of the highest validation accuracy, the lower loss deciding between
    equals; early stopping and the plateau schedule watch the validation loss.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    device: torch.device
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_val_accuracy: float = -1.0
    best_val_loss: float = math.inf
    lowest_val_loss: float = math.inf
    epochs_without_progress: int = 0
    finished: bool = False


@dataclass
class Means:
    """Means over photos, not over batches: the last batch is smaller and must weigh less."""

    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0
    started: float = field(default_factory=time.perf_counter)

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Take in one batch: mean loss, logits (B, C), labels (B,)."""
        self.loss_sum += loss * len(labels)
        self.correct += int((logits.argmax(1) == labels).sum())
        self.samples += len(labels)

    @property
    def loss(self) -> float:
        """Mean loss a photo; nan before the first."""
        return self.loss_sum / self.samples if self.samples else math.nan

    @property
    def accuracy(self) -> float:
        """Part that was right, 0 to 1; nan before the first."""
        return self.correct / self.samples if self.samples else math.nan

    @property
    def rate(self) -> float:
        """Photos a second since the start."""
        return self.samples / max(time.perf_counter() - self.started, 1e-9)


def fit(
    state: TrainState, train: Batches, val: Batches, config: RunConfig, should_stop: ShouldStop = lambda: False
) -> Iterator[Event]:
    """Train `state.model` from `state.epoch` on, telling BatchEnd, EpochEnd and, if it comes to that, EarlyStop.

    At each EpochEnd the model holds exactly that epoch's weights, so a caller that sees `improved` can save
    them. `should_stop` is asked before every batch; when it says yes the generator ends with
    `state.finished` False. Raises TrainingError when the loss is no longer a number.
    """
    loss_fn = loss_function(config.training)
    for epoch in range(state.epoch, config.training.epochs):
        means = Means()
        yield from _train_epoch(state, train, epoch, loss_fn, means, should_stop)
        trained_at = means.rate
        measured = None if should_stop() else validate(state.model, val, loss_fn, state.device, should_stop)
        if measured is None:
            return
        _remember(state, epoch, measured)
        state.schedule.epoch_done(measured.loss)
        state.epoch = epoch + 1
        patience = config.training.patience
        out_of_patience = patience is not None and state.epochs_without_progress >= patience
        state.finished = out_of_patience or state.epoch == config.training.epochs
        yield EpochEnd(
            epoch=epoch,
            train_loss=means.loss,
            train_accuracy=means.accuracy,
            val_loss=measured.loss,
            val_accuracy=measured.accuracy,
            lr=float(state.optimizer.param_groups[-1]["lr"]),
            seconds=time.perf_counter() - means.started,
            images_per_second=trained_at,
            improved=state.best_epoch == epoch,
            best_epoch=state.best_epoch,
            best_val_accuracy=state.best_val_accuracy,
        )
        if out_of_patience:
            assert patience is not None
            yield EarlyStop(epoch=epoch, patience=patience)
            return


def _train_epoch(
    state: TrainState, train: Batches, epoch: int, loss_fn: Loss, means: Means, should_stop: ShouldStop
) -> Iterator[BatchEnd]:
    train_mode(state.model)
    for batch, (images, labels) in enumerate(train.epoch(epoch)):
        if should_stop():
            return
        lr = state.schedule.apply(state.step)
        loss, logits = _step(state, images.to(state.device), labels.to(state.device), loss_fn)
        means.add(loss, logits, labels.to(state.device))
        yield BatchEnd(epoch=epoch, batch=batch, step=state.step, loss=loss, lr=lr, images_per_second=means.rate)
        if not math.isfinite(loss):
            raise TrainingError(
                f"In epoch {epoch + 1} the loss stopped being a number: the steps were too long, weights exploded.",
                f"Try a learning rate ten times smaller than {lr:.2g}.",
            )
        state.step += 1


def _step(state: TrainState, images: Tensor, labels: Tensor, loss_fn: Loss) -> tuple[float, Tensor]:
    """One step of the optimizer on images (B, 3, S, S); the loss before it and the logits (B, C)."""
    state.optimizer.zero_grad(set_to_none=True)
    logits, auxiliary = split_outputs(state.model(images))
    loss = loss_fn(logits, labels)
    total = loss
    for extra in auxiliary:
        total = total + AUX_WEIGHT * loss_fn(extra, labels)
    total.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return float(loss.item()), logits.detach()


@torch.inference_mode()
def validate(
    model: nn.Module, batches: Batches, loss_fn: Loss, device: torch.device, should_stop: ShouldStop = lambda: False
) -> Means | None:
    """Mean loss and accuracy of `model` in eval mode over `batches`; None when it was asked to stop."""
    model.eval()
    means = Means()
    for images, labels in batches:
        if should_stop():
            return None
        labels = labels.to(device)
        logits, _ = split_outputs(model(images.to(device)))
        means.add(float(loss_fn(logits, labels).item()), logits, labels)
    return means


def _remember(state: TrainState, epoch: int, measured: Means) -> None:
    """Note whether this epoch's weights are the best so far, and whether the loss still falls."""
    better = measured.accuracy, -measured.loss
    if better > (state.best_val_accuracy, -state.best_val_loss):
        state.best_epoch, state.best_val_accuracy, state.best_val_loss = epoch, measured.accuracy, measured.loss
    if measured.loss < state.lowest_val_loss:
        state.lowest_val_loss, state.epochs_without_progress = measured.loss, 0
    else:
        state.epochs_without_progress += 1
