"""The state of a training between two epochs, on disk: written whole or not at all, read without running code."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from catfish_core.errors import UNREADABLE_TENSORS, RunError
from catfish_core.models.build import fixed
from catfish_core.training.loop import TrainState
from catfish_core.training.thaw import thaw
from catfish_core.workspace import atomic

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
)  # from the configuration
_PLAIN = tuple(field.name for field in dataclasses.fields(TrainState) if field.name not in _BUILT)


def save(path: Path, state: TrainState) -> None:
    """Write weights and their average, optimizer, schedule, counters and random state of `state` to `path`.

    Frozen weights are left out: they are built again from where they came.
    """
    frozen = fixed(state.model)
    content = {
        "model": {name: tensor for name, tensor in state.model.state_dict().items() if name not in frozen},
        "optimizer": state.optimizer.state_dict(),
        "plateau": state.schedule.plateau.state_dict(),
        "scaler": state.scaler.state_dict(),
        "average": state.average.state_dict() if state.average is not None else {},
        "random": torch.get_rng_state(),
        **{name: getattr(state, name) for name in _PLAIN},
    }
    with atomic(path) as temporary:
        torch.save(content, temporary)


def load(path: Path, state: TrainState) -> None:
    """Bring `state` back to what `path` holds.

    Raises RunError for a file that is torn, belongs to another network, or holds more than tensors and plain
    values: nothing in it is executed.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=state.device, weights_only=True)
        thaw(state, max(0, content["epoch"] - 1))  # what was trained when it was saved, so is what lies in it
        now = state.model.state_dict()
        state.model.load_state_dict({**{name: now[name] for name in fixed(state.model)}, **content["model"]})
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.plateau.load_state_dict(content["plateau"])
        if content.get("scaler"):  # empty except in fp16
            state.scaler.load_state_dict(content["scaler"])
        if state.average is not None:
            state.average.load_state_dict(content["average"], state.model)
        content.setdefault("micro_batch", state.micro_batch)  # checkpoints before 0.2 have none
        for name in _PLAIN:
            setattr(state, name, content[name])
        torch.set_rng_state(content["random"].cpu())
    except UNREADABLE_TENSORS as error:
        raise RunError(
            f"The checkpoint {path.name} is damaged or was not written by CatFish; nothing in it was executed.",
            "Delete it to train this run from the start.",
        ) from error
