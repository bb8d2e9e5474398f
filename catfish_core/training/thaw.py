"""Gradual unfreezing: from some epochs on, one part of the network more is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catfish_core import catalog, parts
from catfish_core.events import Unfrozen
from catfish_core.models import build
from catfish_core.training import optim

if TYPE_CHECKING:
    from catfish_core.training.loop import TrainState


def thaw(state: TrainState, epoch: int) -> Unfrozen | None:
    """Let `state` train what `epoch` (from 0) is to train; None where that is what it trains already.

    The optimizer is a new one, at the rates of that epoch, which remembers what the old one knew of each parameter.
    """
    config = state.schedule.config
    if config.parts.preset != "gradual":
        return None
    arch = catalog.arch(config.model.arch)
    shares = parts.shares(config.parts, arch, epoch)
    inside = build.parts(state.model, arch)
    fresh = [name for name, share in shares.items() if share and not any(p.requires_grad for p in inside[name])]
    if not fresh:
        return None
    optimizer = optim.optimizer(state.model, config.optimizer, optim.groups(state.model, config, epoch))
    optimizer.state.update(state.optimizer.state)
    state.optimizer = optimizer
    state.schedule.drive(optimizer)
    return Unfrozen(epoch=epoch, parts=optim.rates(config, epoch), trained=build.count(state.model)[1])
