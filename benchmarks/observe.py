"""How the engine really computes, seen from outside, so that the limit does the same: precision, order, optimizer.

Observed rather than asked for: a limit that believed the configuration would be fooled by an engine that does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook


@dataclass
class Format:
    """`dtype`: the fewest bits a layer computed with; `channels_last`: whether a convolution saw that order."""

    dtype: torch.dtype = torch.float32
    channels_last: bool = False

    def see(self, layer: nn.Module, given: Tensor, made: Tensor) -> None:
        """Take note of what one layer was given and made."""
        if made.is_floating_point() and made.dtype.itemsize < self.dtype.itemsize:
            self.dtype = made.dtype
        if isinstance(layer, nn.Conv2d) and given.dim() == 4 and not given.is_contiguous():
            self.channels_last |= given.is_contiguous(memory_format=torch.channels_last)

    @property
    def memory(self) -> torch.memory_format:
        """The order in which pictures lie in memory."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def casting(self, device: torch.device) -> torch.autocast:
        """The context in which this precision is computed with; in float32 it does nothing."""
        return torch.autocast(device.type, self.dtype, enabled=self.dtype is not torch.float32)


@dataclass
class Observed:
    """`steps`: how layers computed while gradients were recorded; `passes`: while they were not; `optimizer`."""

    steps: Format = field(default_factory=Format)
    passes: Format = field(default_factory=Format)
    optimizer_type: type[Optimizer] = torch.optim.Adam
    options: dict[str, Any] = field(default_factory=dict)

    def optimizer(self, model: nn.Module) -> Optimizer:
        """A new optimizer of the kind that was seen, over what is trained of `model`."""
        known = inspect.signature(self.optimizer_type).parameters  # defaults may hold what only a base class takes
        options = {name: value for name, value in self.options.items() if name in known}
        return self.optimizer_type([p for p in model.parameters() if p.requires_grad], **options)


@contextmanager
def observing() -> Iterator[Observed]:
    """Watch every network and optimizer of this process; nothing is left behind that could slow a measurement."""
    seen = Observed()

    def layer(module: nn.Module, given: Any, made: Any) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            (seen.steps if torch.is_grad_enabled() else seen.passes).see(module, given[0], made)

    def step(optimizer: Optimizer, _: Any, __: Any) -> None:
        seen.optimizer_type, seen.options = type(optimizer), dict(optimizer.defaults)

    handles = [register_module_forward_hook(layer), register_optimizer_step_pre_hook(step)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
