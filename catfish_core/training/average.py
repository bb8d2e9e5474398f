"""A moving average of the weights: calmer than the weights themselves, and often better on photos never seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from catfish_core.models.build import fixed


class Average:
    """The exponential moving average of all that training changes in `model` (Polyak & Juditsky, 1992).

    After each step average ← d · average + (1 - d) · weights, with d = min(decay, (1 + t) / (10 + t)) after t
    updates, the ramp of TensorFlow's ExponentialMovingAverage: without it a short run would keep the weights it
    began with. BatchNorm's running statistics are averaged alike, as torchvision's and timm's recipes do: copied
    ones would be those of other weights. Counters are copied, and what is frozen is left out.

    Not torch's AveragedModel: it has no ramp, and copies the whole network, frozen parts and all, whereas here the
    model itself takes the averaged values for as long as they are needed (`applied`). So its head, a compiled
    form, or whatever else shares its tensors, has them too.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._live: dict[str, Tensor] = {}
        self._mean: dict[str, Tensor] = {}
        self.follow(model)

    def follow(self, model: nn.Module) -> None:
        """Take in what has come to be trained since; the average of what did not change is what it is."""
        self._track(model, changing(model))

    def _track(self, model: nn.Module, names: set[str]) -> None:
        tensors = model.state_dict()
        for name in sorted(names - self._live.keys()):
            self._live[name] = tensors[name]
            self._mean[name] = tensors[name].clone()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        part = 1 - decay_after(self.updates, self.decay)
        floating = [name for name, tensor in self._live.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self._mean[n] for n in floating], [self._live[n] for n in floating], part)
        for name in self._live.keys() - set(floating):
            self._mean[name].copy_(self._live[name])
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds its average inside, and its own weights again afterwards, to the last bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, live in self._live.items():
            own = live.clone()
            live.copy_(self._mean[name])
            self._mean[name] = own

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"updates": self.updates, "mean": dict(self._mean)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any], model: nn.Module) -> None:
        """Go on from a checkpoint of `model`; raises KeyError or RuntimeError for another network's."""
        self.updates = int(state["updates"])
        self._track(model, set(state["mean"]))
        for name, mean in self._mean.items():
            mean.copy_(state["mean"][name])


def decay_after(updates: int, decay: float) -> float:
    """The part of itself that the average keeps at the update after `updates` others."""
    return min(decay, (1 + updates) / (10 + updates))


def changing(model: nn.Module) -> set[str]:
    """The names in the state of `model` that training changes: trained parameters, and statistics beside them."""
    still = fixed(model) | {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return model.state_dict().keys() - still
