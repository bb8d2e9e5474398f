"""`lr-find`: a configuration as `train` takes it, a sweep watched to its end, and the rate it recommends."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catfish_core import config, sweeps
from catfish_core.cli.plot import draw
from catfish_core.cli.terminal import Bar, Usage, complain, say, say_json
from catfish_core.cli.train import configuration, dataset_id, worker_output
from catfish_core.config import SweepConfig
from catfish_core.errors import ConfigError, storage_faults
from catfish_core.events import (
    Advised,
    Event,
    Failed,
    MemorySaved,
    Preparing,
    ProbeEnd,
    SweepEnded,
    SweepPoint,
    SweepStarted,
)
from catfish_core.sweeps import Sweep
from catfish_core.training.lr_finder import curve, phases, settled
from catfish_core.workspace import Workspace, atomic

ENDED = {
    "finished": "All {0} steps are made.",
    "diverged": "The loss diverged after {0} steps.",
    "stopped": "Stopped after {0} steps.",
}


def lr_find(asked: Namespace) -> int:
    """Sweep as asked; 0 when a rate is recommended."""
    from catfish_core.jobs.worker import work

    workspace, settings = Workspace.default(), sweep_settings(asked)
    configuration(asked)  # a slip of the fingers shows before anything is imported
    if asked.plot and not asked.plot.parent.is_dir():
        raise Usage(f"There is no folder {asked.plot.parent} for the picture.")
    asked.dataset = dataset_id(workspace, asked.dataset) if asked.dataset else None
    sweep = sweeps.create(workspace, configuration(asked), settings)
    with Bar() as bar, worker_output(sweep) as log:
        ended = work(sweep, Teller(bar, quiet=asked.json))
    found = result(sweep, ended)
    if asked.json:
        say_json(found)
    if isinstance(ended, Failed):
        complain(f"{ended.what} {ended.hint} The log is {log}.")
        return 1
    if asked.plot and found["lrs"]:
        plot(sweep, asked.plot)
    if found["rate"] is None:
        complain(found["reason"] or "Stopped before there was anything to read.")
        return 1
    if not asked.json:
        say(f"Learning rate: {found['rate']:.2g}")
    return 0


def sweep_settings(asked: Namespace) -> SweepConfig:
    """How the command line wants to sweep; raises Usage for what cannot be meant."""
    given = {name: getattr(asked, name, None) for name in SweepConfig.model_fields}
    try:
        return config.parse_sweep({name: value for name, value in given.items() if value is not None})
    except ConfigError as error:
        raise Usage(error.what, error.hint) from error


def result(sweep: Sweep, ended: Event) -> dict[str, Any]:
    """What a sweep found in one object: the means over its seeds, the advice, what was tried out."""
    told = sweep.events()[0]
    seen = curve((event for event in told if isinstance(event, SweepPoint)), sweep.settings())
    borders = phases(*settled(seen.lrs, seen.smoothed))
    advised = [event for event in told if isinstance(event, Advised)]
    last = advised[-1] if advised else Advised(recommended=None, rate=None, reason="", suggestions={})
    data = {
        "sweep": sweep.id,
        "status": sweeps.status(sweep, [ended]),
        "lrs": seen.lrs,
        "losses": seen.losses,
        "smoothed": seen.smoothed,
        "suggestions": dict(last.suggestions),
        "recommended": last.recommended,
        "rate": last.rate,
        "reason": last.reason,
        "probes": [
            {
                "name": event.name,
                "lr": event.lr,
                "loss": event.loss,
                "val_loss": event.val_loss,
                "val_accuracy": event.val_accuracy,
                "steps": event.steps,
            }
            for event in told
            if isinstance(event, ProbeEnd)
        ],
        "phases": {"too_small_until": borders.too_small_until, "diverges_from": borders.diverges_from},
    }
    return {**data, "error": f"{ended.what} {ended.hint}".strip()} if isinstance(ended, Failed) else data


def plot(sweep: Sweep, path: Path) -> None:
    """The curve of `sweep` with its last advice as a picture at `path`; raises StorageError where it cannot be."""
    told = sweep.events()[0]
    seen = curve((event for event in told if isinstance(event, SweepPoint)), sweep.settings())
    advised = [event for event in told if isinstance(event, Advised)]
    picture = draw(
        seen, phases(*settled(seen.lrs, seen.smoothed)), advised[-1], log=sweep.settings().scale == "exponential"
    )
    with storage_faults(path), atomic(path) as temporary:
        picture.save(temporary, "PNG")


class Teller:
    """Tells a person how a search goes: a bar that moves, and a line for what matters."""

    def __init__(self, bar: Bar, *, quiet: bool) -> None:
        self.bar, self.quiet = bar, quiet
        self.steps, self.listed = 0, False

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        if isinstance(event, Preparing):
            self.bar.show(event.what, event.done, event.total, event.unit)
        elif isinstance(event, SweepPoint):
            loss = "no number" if event.loss is None else f"{event.loss:.4f}"
            self.bar.show(f"Rate {event.lr:.1e}, loss {loss}", event.step + 1, self.steps, "steps")
        else:
            self.bar.clear()
            if isinstance(event, SweepStarted):
                self.steps = event.steps
            if not self.quiet:
                for line in self.lines(event):
                    say(line)

    def lines(self, event: Event) -> Iterator[str]:
        """What `event` means, for a person."""
        if isinstance(event, SweepStarted):
            yield f"{event.samples:,} photos in {event.batches:,} batches, on {event.device}."
            if set(event.rates.values()) != {1.0}:
                kept = ", ".join(f"{name} × {share:.3g}" for name, share in event.rates.items())
                yield f"The rates are the head's; the others keep their ratio to it: {kept}."
            if event.note:
                yield event.note
        elif isinstance(event, MemorySaved):
            yield f"Memory ran out: batches are computed in {event.micro_batch:,} photos, to the same steps."
        elif isinstance(event, SweepEnded):
            yield ENDED[event.reason].format(event.steps)
        elif isinstance(event, ProbeEnd):
            loss = (
                "a loss that is no number" if event.val_loss is None else f"a validation loss of {event.val_loss:.4f}"
            )
            yield f"Tried {event.lr:.2g} ({event.name}): {loss} after {event.steps} steps."
        elif isinstance(event, Advised) and event.rate is not None:
            if not self.listed:  # a second advice has the same suggestions
                for name, rate in event.suggestions.items():
                    yield f"  {name:<9} {'–' if rate is None else f'{rate:.2g}'}"
            self.listed = True
            yield event.reason
