"""The training loop: one generator to read from top to bottom. It yields facts; the caller decides what to do."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from catfish_core.config import RunConfig
from catfish_core.errors import TrainingError, out_of_memory
from catfish_core.events import BatchEnd, EarlyStop, EpochEnd, Event, MemorySaved
from catfish_core.models.build import AUX_WEIGHT, split_outputs, train_mode
from catfish_core.training.average import Average
from catfish_core.training.compute import Compute, parts, reading, smallest_part
from catfish_core.training.distributed import ALONE, Team
from catfish_core.training.optim import Loss, Schedule, loss_function
from catfish_core.training.thaw import thaw

ShouldStop = Callable[[], bool]
Due = Callable[[], bool]
LATE = {"cuda": 1}  # steps behind at which a loss is read, so that the device's queue never runs empty


class Source(Protocol):
    """Where batches of (images, labels) come from: `data.loader.Batches`, features of a frozen backbone, tensors.

    Labels are numbers of classes (B,), or the share that each class has in a mixed photo (B, C).
    """

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...
    def epoch(self, n: int, first: int = 0, /) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `n`, counted from 0, from the batch `first` on."""
        ...


@dataclass
class Means:
    """Means over photos, not over batches: the last batch is smaller and must weigh less.

    `before` are the seconds that earlier attempts spent on what is summed up here, `began` is when this one did.
    """

    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0
    before: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def add(self, loss: float, correct: float, samples: int) -> None:
        """Take in one batch: its mean loss, how many of its photos were right, and how many there are."""
        self.loss_sum += loss * samples
        self.correct += int(correct)
        self.samples += samples

    @property
    def loss(self) -> float:
        """Mean loss a photo; nan before the first."""
        return self.loss_sum / self.samples if self.samples else math.nan

    @property
    def accuracy(self) -> float:
        """Part that was right, 0 to 1; nan before the first."""
        return self.correct / self.samples if self.samples else math.nan

    @property
    def seconds(self) -> float:
        """What was spent on it so far, without the time between two attempts."""
        return self.before + time.perf_counter() - self.began

    @property
    def rate(self) -> float:
        """Photos a second since the start."""
        return self.samples / max(self.seconds, 1e-9)


@dataclass
class TrainState:
    """Everything that changes while a network learns; what a checkpoint keeps.

    `batch` is the next one of `epoch`, `sums` are those of the batches before it; `step` counts over the whole run.

    The weights worth keeping are those of the highest validation accuracy, the lower loss deciding between
    equals; early stopping and the plateau schedule watch the validation loss.

    `learner` is what the batches go through: the model, or its head where they are features of a frozen
    backbone, compiled or not. `micro_batch` is the most photos computed at once, None for whole batches. `team`
    are the processes that share each batch; images are this one's part of it, labels the whole batch's.
    With an `average` it is the averaged weights that are validated and worth keeping: see `kept`.
    `threads` are those that torch computes with: sums of floats in parts depend on the number of parts.
    `extended` is how often the run was told to train further.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    device: torch.device
    compute: Compute = Compute()
    learner: nn.Module = None  # type: ignore[assignment]  # the model, unless another is given
    scaler: GradScaler = field(default_factory=lambda: GradScaler(enabled=False))
    micro_batch: int | None = None
    team: Team = ALONE
    average: Average | None = None
    threads: int = field(default_factory=torch.get_num_threads)
    extended: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: Means = field(default_factory=Means)
    best_epoch: int = 0
    best_val_accuracy: float = -1.0
    best_val_loss: float = math.inf
    lowest_val_loss: float = math.inf
    epochs_without_progress: int = 0
    finished: bool = False

    def __post_init__(self) -> None:
        if self.learner is None:
            self.learner = self.model

    def kept(self) -> AbstractContextManager[object]:
        """A context in which `model` holds what is validated and saved: the average where there is one."""
        return nullcontext() if self.average is None else self.average.applied()


def fit(
    state: TrainState,
    train: Source,
    val: Source,
    config: RunConfig,
    should_stop: ShouldStop = lambda: False,
    due: Due = lambda: False,
) -> Iterator[Event]:
    """Train `state.model` from where it is, telling BatchEnd, EpochEnd and, if need be, the events between them.

    At each EpochEnd the model holds exactly that epoch's weights, so a caller that sees `improved` can save
    what it holds in `state.kept()`. `should_stop` is asked before every batch; when it says yes the generator
    ends with `state.finished` False. Raises TrainingError when the loss is no longer a number, or when there is
    not memory enough for the smallest part of a batch.

    `state` is whole, so that it can be written down and gone on from, at every EpochEnd, at the end, and at each
    BatchEnd for which `whole(state, event)`. Where steps are told late that is seldom so: `due`, asked after each
    step, has all of them told.
    """
    loss_fn = loss_function(config.training)
    learning = in_training(state)
    if state.finished:  # by an attempt that did not come to tell its end
        yield from _out_of_patience(state, config)
        return
    for epoch in range(state.epoch, config.training.epochs):
        if should_stop():  # before anything thaws: a state between two epochs is that of the one before
            return
        if (thawed := thaw(state, epoch)) is not None:
            state.learner = state.team.learner(state.learner)
            learning = in_training(state)
            yield thawed
        means = state.sums
        means.began = time.perf_counter()
        for part in learning:
            part.training = True
        yield from _train_epoch(state, train, loss_fn, should_stop, due)
        trained_at = means.rate
        measured = _validated(state, val, loss_fn, should_stop)
        if measured is None:
            return
        _remember(state, epoch, measured)
        state.schedule.epoch_done(measured.loss, state.step)
        state.epoch, state.batch, state.sums = epoch + 1, 0, Means()
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
            seconds=means.seconds,
            images_per_second=trained_at,
            improved=state.best_epoch == epoch,
            best_epoch=state.best_epoch,
            best_val_accuracy=state.best_val_accuracy,
        )
        if state.finished:
            yield from _out_of_patience(state, config)
            return


def whole(state: TrainState, event: BatchEnd) -> bool:
    """Whether `state` is what it was after the step of `event`, with nothing on its way."""
    return event.step + 1 == state.step and math.isfinite(event.loss)


def _out_of_patience(state: TrainState, config: RunConfig) -> Iterator[EarlyStop]:
    """The event of a training that ended because the loss did not fall any more."""
    patience = config.training.patience
    if patience is not None and state.epochs_without_progress >= patience:
        yield EarlyStop(epoch=state.epoch - 1, patience=patience)


def in_training(state: TrainState) -> list[nn.Module]:
    """What is in training mode while `state` learns, and is put there. Kept, because to ask a deep network takes
    longer than a step of its head."""
    train_mode(state.model)
    return [part for part in state.learner.modules() if part.training]


def _train_epoch(
    state: TrainState, train: Source, loss_fn: Loss, should_stop: ShouldStop, due: Due
) -> Iterator[Event]:
    """The steps of `state.epoch` from `state.batch` on."""
    if state.average is not None:
        state.average.follow(state.model)
    epoch, first, seed = state.epoch, state.batch, state.schedule.config.training.seed
    behind: deque[_Step] = deque()
    for batch, (images, labels) in enumerate(train.epoch(epoch, first), first):
        if batch > first and should_stop():
            break
        state.team.step_begins(seed, state.step)
        lr = state.schedule.apply(state.step)
        facts = yield from step(state, images, labels, loss_fn, epoch)
        if state.average is not None:
            state.average.update()
        behind.append(_Step(epoch, batch, state.step, lr, len(labels), reading(facts)))
        state.step, state.batch = state.step + 1, batch + 1
        while len(behind) > (0 if due() else LATE.get(state.device.type, 0)):
            yield from _told(behind.popleft(), state.sums)
    while behind:
        yield from _told(behind.popleft(), state.sums)


@dataclass(frozen=True)
class _Step:
    """A step that was made; its mean loss and how many photos were right are on their way from the device."""

    epoch: int
    batch: int
    step: int
    lr: float
    samples: int
    facts: Iterator[list[float]]


def _told(made: _Step, means: Means) -> Iterator[BatchEnd]:
    """The event of a step; raises TrainingError when its loss is no longer a number."""
    loss, correct = next(made.facts)
    means.add(loss, correct, made.samples)
    yield BatchEnd(
        epoch=made.epoch, batch=made.batch, step=made.step, loss=loss, lr=made.lr, images_per_second=means.rate
    )
    if not math.isfinite(loss):
        raise TrainingError(
            f"In epoch {made.epoch + 1} the loss stopped being a number: the steps were too long, weights exploded.",
            f"Try a learning rate ten times smaller than {made.lr:.2g}.",
        )


def step(
    state: TrainState, images: Tensor, labels: Tensor, loss_fn: Loss, epoch: int
) -> Generator[MemorySaved, None, Tensor]:
    """One step at the rates that the optimizer has; the batch's mean loss before it and how many were right, (2,)."""
    images, labels = (state.compute.moved(tensor, state.device) for tensor in (images, labels))
    facts = yield from _gradients(state, images, labels, loss_fn, epoch)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return facts


def _gradients(
    state: TrainState, images: Tensor, labels: Tensor, loss_fn: Loss, epoch: int
) -> Generator[MemorySaved, None, Tensor]:
    """Compute the gradients of one batch; its mean loss and the number of photos that were right, (2,).

    Where memory runs out the batch is computed again in parts of half the size, and so are all that follow. The
    step stays that of the whole batch, with two exceptions: BatchNorm takes its statistics over the parts, and
    has seen some photos twice after a repetition; dropout draws anew.
    """
    while True:
        most = state.micro_batch
        number = 1 if most is None else parts(len(images), most, smallest_part(state.learner))
        try:
            return _accumulated(state, images, labels, loss_fn, number)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if state.team.size > 1:  # the others are in the middle of adding up gradients
                raise TrainingError(
                    f"There is not enough memory for {len(images) // number} photos at once on each process.",
                    f"Set compute.micro_batch to {max(1, len(images) // (2 * number))}, or take smaller photos.",
                ) from error
            if len(images) // (2 * number) < smallest_part(state.learner):
                raise TrainingError(
                    "There is not enough memory for this network, not even with the smallest part of a batch.",
                    "Take smaller photos or a smaller network, or end other programs.",
                ) from error
        # Out of the handler: the error's traceback no longer holds the tensors of the failed attempt.
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        state.micro_batch = -(-len(images) // (2 * number))
        yield MemorySaved(epoch=epoch, step=state.step, micro_batch=state.micro_batch)


def _accumulated(state: TrainState, images: Tensor, labels: Tensor, loss_fn: Loss, number: int) -> Tensor:
    """The gradients of images (B, 3, S, S), computed in `number` parts, each weighing as many photos as it has."""
    state.optimizer.zero_grad(set_to_none=True)
    team, ours = state.team, state.team.part(labels)
    weight = team.weight(len(labels))
    if number == 1:
        return team.summed(_added(state, images, ours, loss_fn, weight))
    facts = torch.zeros(2, device=state.device)
    pieces = zip(images.tensor_split(number), ours.tensor_split(number), strict=True)
    for more, (some, truth) in zip(reversed(range(number)), pieces, strict=True):
        facts += _added(state, some, truth, loss_fn, weight * (len(truth) / len(ours)), more > 0)
    return team.summed(facts)


def _added(
    state: TrainState, images: Tensor, truth: Tensor, loss_fn: Loss, share: float, more: bool = False
) -> Tensor:
    """Add the gradients of images (B, 3, S, S) that weigh `share` of a step; `more` of the step are to come."""
    with state.team.silent(state.learner, more), state.compute.autocast(state.device):
        logits, auxiliary = split_outputs(state.learner(images))
    loss = loss_fn(logits.float(), truth)
    total = loss
    for extra in auxiliary:
        total = total + AUX_WEIGHT * loss_fn(extra.float(), truth)
    weighed = total if share * state.team.size == 1 else total * (share * state.team.size)
    state.scaler.scale(weighed).backward()  # type: ignore[no-untyped-call]
    if not share:  # computed so that no process idles
        return torch.zeros(2, device=state.device)
    right = (logits.detach().argmax(1) == dominant(truth)).sum()
    return torch.stack((loss.detach() if share == 1 else loss.detach() * share, right))


def dominant(labels: Tensor) -> Tensor:
    """The class (B,) that counts as right: of a mixed photo, whose labels are (B, C), the one with most of it."""
    return labels.argmax(1) if labels.dim() == 2 else labels


def _validated(state: TrainState, val: Source, loss_fn: Loss, should_stop: ShouldStop) -> Means | None:
    """What `state.learner` makes of `val`, computed as the training is."""
    how = state.compute, state.micro_batch, state.team
    with state.kept():
        state.team.validation_begins(state.model)
        return validate(state.learner, val, loss_fn, state.device, should_stop, *how)


@torch.inference_mode()
def validate(
    model: nn.Module,
    batches: Source,
    loss_fn: Loss,
    device: torch.device,
    should_stop: ShouldStop = lambda: False,
    compute: Compute = Compute(),  # noqa: B008 - frozen
    micro_batch: int | None = None,
    team: Team = ALONE,  # noqa: B008 - frozen
) -> Means | None:
    """Mean loss and accuracy of `model` in eval mode over `batches`; None when it was asked to stop."""
    model.eval()
    means = Means()
    behind: deque[tuple[int, Iterator[list[float]]]] = deque()
    for images, labels in batches:
        if should_stop():
            return None
        if not team.weight(len(labels)):
            continue
        images, labels = compute.moved(images, device), compute.moved(team.part(labels), device)
        with compute.autocast(device):
            pieces = images.tensor_split(parts(len(labels), micro_batch))
            logits = torch.cat([split_outputs(model(piece))[0] for piece in pieces]).float()
        right = (logits.argmax(1) == labels).sum()
        behind.append((len(labels), reading(torch.stack((loss_fn(logits, labels), right)))))
        if len(behind) > LATE.get(device.type, 0):
            _measured(means, *behind.popleft())
    for samples, facts in behind:
        _measured(means, samples, facts)
    sums = torch.tensor([means.loss_sum, means.correct, means.samples], dtype=torch.float64)
    loss_sum, correct, samples = team.summed(sums).tolist()
    return replace(means, loss_sum=loss_sum, correct=int(correct), samples=int(samples))


def _measured(means: Means, samples: int, facts: Iterator[list[float]]) -> None:
    loss, correct = next(facts)
    means.add(loss, correct, samples)


def _remember(state: TrainState, epoch: int, measured: Means) -> None:
    """Note whether this epoch's weights are the best so far, and whether the loss still falls."""
    better = measured.accuracy, -measured.loss
    if better > (state.best_val_accuracy, -state.best_val_loss):
        state.best_epoch, state.best_val_accuracy, state.best_val_loss = epoch, measured.accuracy, measured.loss
    if measured.loss < state.lowest_val_loss:
        state.lowest_val_loss, state.epochs_without_progress = measured.loss, 0
    else:
        state.epochs_without_progress += 1
