"""The state of a training on disk, within an epoch too: written whole or not at all, read without running code.

The newest lies in last.pt and the one before it in previous.pt, for when the newest is torn all the same.
"""

from __future__ import annotations

import dataclasses
import os
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from catfish_core.errors import UNREADABLE_TENSORS, RunError, StorageError, storage_faults
from catfish_core.events import NotSaved
from catfish_core.models.build import fixed
from catfish_core.training.compute import Compute
from catfish_core.training.loop import Means, TrainState
from catfish_core.training.thaw import thaw
from catfish_core.workspace import atomic

LAST, PREVIOUS, DAMAGED = "last.pt", "previous.pt", "damaged.pt"
EVERY = 30.0  # seconds of training that a power cut may cost
SHARE = 20  # times as long as the last saving took is trained before the next, on a slow disk
_BUILT = (
    "model",
    "optimizer",
    "schedule",
    "device",
    "compute",
    "learner",
    "scaler",
    "team",
    "average",
    "sums",
)  # from the configuration, or kept in a form of their own
_PLAIN = tuple(field.name for field in dataclasses.fields(TrainState) if field.name not in _BUILT)
_LATER = ("micro_batch", "batch", "threads")  # not in checkpoints of the first versions
_UNREADABLE: tuple[type[Exception], ...] = (*UNREADABLE_TENSORS, zipfile.BadZipFile, zlib.error, OSError)
Content = dict[str, Any]


def save(path: Path, state: TrainState) -> None:
    """Write all that changes while `state` learns to `path`; what was there becomes the previous one.

    Frozen weights are left out: they are built again from where they came. Raises StorageError when the disk
    refuses, or where the run's directory was moved away: it must not come back with nothing but a checkpoint in it.
    What was written before can be read all the same.
    """
    with storage_faults(path):
        path.parent.mkdir(exist_ok=True)
    with atomic(path, make_folder=False) as temporary:
        with open(temporary, "wb") as file:
            _write(content(state), file)
        with suppress(FileNotFoundError):
            path.replace(path.with_name(PREVIOUS))


def _write(what: Content, file: Any) -> None:
    """torch says only that its position is unexpected where a disk is full."""
    try:
        torch.save(what, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def content(state: TrainState) -> Content:
    """What a checkpoint of `state` holds: tensors and plain values."""
    frozen, sums = fixed(state.model), state.sums
    return {
        "model": {name: tensor for name, tensor in state.model.state_dict().items() if name not in frozen},
        "optimizer": state.optimizer.state_dict(),
        "plateau": state.schedule.plateau.state_dict(),
        "scaler": state.scaler.state_dict(),
        "average": state.average.state_dict() if state.average is not None else {},
        "random": torch.get_rng_state(),
        "device_random": _device_random(state.device),
        "sums": (sums.loss_sum, sums.correct, sums.samples, sums.seconds if state.batch else 0.0),
        "compute": dataclasses.asdict(state.compute),
        "made_by": made_by(state.device),
        **{name: getattr(state, name) for name in _PLAIN},
    }


def made_by(device: torch.device) -> dict[str, str]:
    """What decides the last digits of a result besides the formats and the number of threads."""
    return {"torch": torch.__version__.partition("+")[0], "device": device.type}


def load(path: Path, state: TrainState) -> None:
    """Bring `state` back to what `path` holds; raises RunError as `read` and `restore` do."""
    restore(read(path), state)


def read(path: Path) -> Content:
    """What the checkpoint at `path` holds, on the CPU.

    Raises RunError for a file that is torn or changed (each part of it has a checksum), and for one that holds more
    than tensors and plain values: nothing in it is executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (part := archive.testzip()) is not None:
                raise ValueError(f"{part} is damaged")
        found: Content = torch.load(path, map_location="cpu", weights_only=True)
        return {**found, "compute": Compute(**found["compute"]) if "compute" in found else None}
    except _UNREADABLE as error:
        raise _damaged(path.name) from error


def restore(found: Content, state: TrainState) -> None:
    """Bring `state` back to what was `found` in a checkpoint.

    A run that was told to go on further since is not finished, and the patience of its early stopping begins anew.
    Raises RunError for the checkpoint of another network; `state` is of no use then.
    """
    extended = state.extended
    try:
        found = {**{name: getattr(state, name) for name in _LATER}, "extended": 0, **found}
        # What was trained when it was saved, so is what lies in it: between two epochs nothing has thawed yet.
        thaw(state, found["epoch"] if found["batch"] else max(0, found["epoch"] - 1))
        now = state.model.state_dict()
        state.model.load_state_dict({**{name: now[name] for name in fixed(state.model)}, **found["model"]})
        state.optimizer.load_state_dict(found["optimizer"])
        state.schedule.plateau.load_state_dict(found["plateau"])
        if found.get("scaler"):  # empty except in fp16
            state.scaler.load_state_dict(found["scaler"])
        if state.average is not None:
            state.average.load_state_dict(found["average"], state.model)
        for name in _PLAIN:
            setattr(state, name, found[name])
        state.sums = Means(*found.get("sums", ()))
        if state.extended != extended:
            state.extended, state.epochs_without_progress = extended, 0
            state.finished = state.epoch >= state.schedule.config.training.epochs
        torch.set_rng_state(found["random"])
        _set_device_random(state.device, found.get("device_random"))
    except UNREADABLE_TENSORS as error:
        raise _damaged("of this run") from error


def _damaged(which: str) -> RunError:
    return RunError(
        f"The checkpoint {which} is damaged or was not written by CatFish; nothing in it was executed.",
        "Delete it to train this run from the start.",
    )


def _device_random(device: torch.device) -> torch.Tensor | None:
    """Where the random numbers of a device that draws its own are; None for the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def _set_device_random(device: torch.device, state: torch.Tensor | None) -> None:
    if state is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif state is not None and device.type == "mps":
        torch.mps.set_rng_state(state)


def newest(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    return [path for name in (LAST, PREVIOUS) if (path := folder / name).exists()]


def set_aside(path: Path) -> None:
    """Put a checkpoint that cannot be read out of the way, for whoever wants to look into it."""
    with suppress(OSError):
        path.replace(path.with_name(DAMAGED))


def tidy(folder: Path, name: str) -> None:
    """Remove what a process that was killed had begun to write into `folder` under a `name` like this."""
    for path in folder.glob(f".{name}.*.tmp"):
        path.unlink(missing_ok=True)


class Keeper:
    """Saves a state into `folder` when it is told to, and says when it is due: EVERY seconds, less often if slow.

    `log` is what the training told: it is on the disk before the state is, so that after a power cut no step is
    missing in it. A disk that refuses does not end the training: it is said once, and tried again when it is due.
    """

    def __init__(self, folder: Path, log: Path, state: TrainState) -> None:
        self._folder, self._log, self._state = folder, log, state
        self._kept = self._place()
        self._next = time.monotonic() + EVERY
        self._refused = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def save(self) -> list[NotSaved]:
        """Write the state down unless that has been done; what there is to tell."""
        if self._place() == self._kept:
            return []
        began = time.monotonic()
        try:
            _settle(self._log)
            save(self._folder / LAST, self._state)
            self._kept, refused = self._place(), None
        except StorageError as error:
            refused = error
        self._next = time.monotonic() + max(EVERY, SHARE * (time.monotonic() - began))
        told = [] if refused is None or self._refused else [_not_saved(refused, self._state.step)]
        self._refused = refused is not None
        return told

    def done(self) -> None:
        """The training is over: the newest is kept, in case it is to go on after all."""
        for name in (PREVIOUS, DAMAGED):
            (self._folder / name).unlink(missing_ok=True)

    def _place(self) -> tuple[int, int, bool]:
        return self._state.epoch, self._state.step, self._state.finished


def _not_saved(error: StorageError, step: int) -> NotSaved:
    return NotSaved(
        step=step - 1,
        what=f"The state of the training could not be saved. {error.what}",
        hint="It goes on; if it is interrupted before that works, it goes back to what was saved last.",
    )


def _settle(log: Path) -> None:
    """Have the system write down what `log` was told."""
    with suppress(FileNotFoundError), open(log, "rb+") as file:
        os.fsync(file.fileno())
