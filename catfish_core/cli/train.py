"""`train` and `resume`: a configuration from a file and options, a dataset imported if need be; a run watched to its
end."""

from __future__ import annotations

import contextlib
import json
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catfish_core import augment, catalog, config, runs
from catfish_core.cli.datasets import bring, imported_before
from catfish_core.cli.runs import find
from catfish_core.cli.terminal import Bar, Usage, complain, percent, remark, say, say_json
from catfish_core.config import RunConfig
from catfish_core.data import library
from catfish_core.errors import ConfigError, DatasetError, RunError
from catfish_core.events import (
    BatchEnd,
    Completed,
    EarlyStop,
    EpochEnd,
    Event,
    Failed,
    MemorySaved,
    NotSaved,
    Paused,
    Preparing,
    Resumed,
    Started,
    Stopped,
    Unfrozen,
)
from catfish_core.events import Tested as TestResult  # pytest takes a class called Test… for tests
from catfish_core.jobs import directory
from catfish_core.jobs.directory import Job
from catfish_core.runs import Run
from catfish_core.workspace import Workspace

FIELDS = {  # option → field of the configuration
    "name": "name",
    "dataset": "data.dataset",
    "image_size": "data.image_size",
    "arch": "model.arch",
    "pretrained": "model.pretrained",
    "parts": "parts.preset",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "seed": "training.seed",
    "device": "training.device",
    "lr": "optimizer.lr",
}
TRANSFER_SIZE = 128  # px: where pretrained networks are good and a laptop is not yet slow


def train(asked: Namespace) -> int:
    """Train as asked; 0 when the run completed or was stopped with weights to keep."""
    workspace = Workspace.default()
    configuration(asked)  # a slip of the fingers shows before anything is imported
    asked.dataset = dataset_id(workspace, asked.dataset) if asked.dataset else None
    run = runs.create(workspace, configuration(asked))
    return watch(run, as_json=asked.json)


def resume(asked: Namespace) -> int:
    """Go on with a run; 0 as `train`."""
    run = find(asked.run)
    if (status := runs.status(run)) in runs.ACTIVE:
        raise RunError(f"The run {run.id} is {status}.", "There is nothing to go on with.")
    if asked.more_epochs is not None:
        runs.extend(run, asked.more_epochs)
    elif status == "completed":
        raise RunError(f"The run {run.id} is done.", "Add --more-epochs 5 to train it further.")
    directory.next_attempt(run)
    return watch(run, as_json=asked.json)


def configuration(asked: Namespace) -> RunConfig:
    """The configuration the command line describes.

    Raises ConfigError for a file that cannot be meant, Usage for options that cannot.
    """
    base = config.load(asked.config) if asked.config else RunConfig()
    given = {field: getattr(asked, option) for option, field in FIELDS.items()}
    settings = [
        f"{field}={json.dumps(value)}" for field, value in given.items() if value is not None and value is not False
    ]
    if asked.augment:
        settings.append(f"augment.steps={json.dumps([step.model_dump() for step in augment.recommended()])}")
    if asked.arch and not asked.image_size and not asked.config:
        settings.append(f"data.image_size={default_size(asked.arch)}")
    try:
        return config.with_settings(base, [*settings, *asked.settings])
    except ConfigError as error:
        raise Usage(error.what, error.hint) from error


def default_size(arch: str) -> int:
    """Side of the photos, in pixels, when nobody asked for one."""
    return min(catalog.arch(arch).native_size, TRANSFER_SIZE)


def dataset_id(workspace: Workspace, named: str) -> str:
    """The id of the dataset `named` by its id or its path; a path not imported before is imported under its name."""
    builtin = named in {dataset.id for dataset in catalog.BUILTIN_DATASETS}
    path = Path(named)
    is_path = named.startswith(".") or os.sep in named or "/" in named
    if not is_path and (builtin or library.is_ready(workspace, named)):
        return named
    if not path.exists():
        if is_path or path.suffix:
            raise DatasetError(f"There is nothing at {named}.", "Give the path of a zip or of a folder with photos.")
        library.info(workspace, named)  # says which datasets there are
    if (id := imported_before(workspace, path)) is not None:
        remark(f"{named} was imported before, as “{id}”.")
        return id
    whole = path.resolve()
    return bring(workspace, whole.name if whole.is_dir() else whole.stem, path).id


def watch(run: Run, *, as_json: bool) -> int:
    """Train `run` in this process, tell what happens, and print the result."""
    from catfish_core.jobs.worker import work

    with Bar() as bar, worker_output(run) as complaints:
        teller = Teller(run, bar, quiet=as_json)
        ended = work(run, teller)
    if as_json:
        say_json(result(run, ended))
    if isinstance(ended, Failed):
        complain(f"{ended.what} {ended.hint} The log is {complaints}.")
        return 1
    if isinstance(ended, (Stopped, Paused)) and ended.kept_epoch is None and not run.model_path.exists():
        complain("Stopped before there was anything to keep.")
        return 1
    return 0


@contextmanager
def worker_output(job: Job) -> Iterator[Path]:
    """What the worker prints goes where it goes when the app starts it: into the log of the job."""
    path = job.attempt / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", errors="backslashreplace") as log, contextlib.redirect_stderr(log):
        yield path


def result(run: Run, ended: Event) -> dict[str, Any]:
    """The run's end in one object; `test` is null for a run that was not tested."""
    told = run.events()[0]
    best = [e.best_val_accuracy for e in told if isinstance(e, (EpochEnd, Completed))]
    tests = [{"loss": e.loss, "accuracy": e.accuracy} for e in told if isinstance(e, TestResult)]
    data = {
        "run": run.id,
        "status": type(ended).__name__.lower(),
        "best_val_accuracy": best[-1] if best else None,
        "test": tests[-1] if tests else None,
        "seconds": round(getattr(ended, "seconds", ended.time - told[0].time), 3),
    }
    return {**data, "error": f"{ended.what} {ended.hint}".strip()} if isinstance(ended, Failed) else data


def trained(parts: Mapping[str, float]) -> str:
    """The parts that are trained with their rates, from the head backwards."""
    return ", ".join(f"{name} at {rate:.3g}" for name, rate in reversed(list(parts.items())) if rate)


class Teller:
    """Tells a person what a run does: a bar that moves, a line for every epoch, a sentence for what matters."""

    def __init__(self, run: Run, bar: Bar, *, quiet: bool) -> None:
        self.run, self.bar, self.quiet = run, bar, quiet
        self.batches = self.epochs = 0

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        if isinstance(event, Preparing):
            self.bar.show(event.what, event.done, event.total, event.unit)
        elif isinstance(event, BatchEnd):
            text = f"Epoch {event.epoch + 1} of {self.epochs}, {event.images_per_second:,.0f} photos/s"
            self.bar.show(text, event.batch + 1, self.batches, "batches")
        else:
            self.bar.clear()
            if isinstance(event, Started):
                self.batches, self.epochs = event.batches, event.epochs
            if not self.quiet:
                for line in self.lines(event):
                    say(line)

    def lines(self, event: Event) -> Iterator[str]:
        """What `event` means, for a person."""
        if isinstance(event, Started):
            counts = ", ".join(f"{number:,} {split}" for split, number in event.samples.items())
            yield f"Run {self.run.id}"
            yield f"{len(event.classes)} classes; photos: {counts}."
            how = f"{event.device} ({event.compute})" if event.compute else event.device
            yield f"{event.trained:,} of {event.parameters:,} weights to train, on {how}."
            if 0 in event.parts.values():
                yield f"Trained: {trained(event.parts)}; the rest is frozen."
            if event.note:
                yield event.note
        elif isinstance(event, Unfrozen):
            yield f"From epoch {event.epoch + 1} on it trains {event.trained:,} weights: {trained(event.parts)}."
        elif isinstance(event, MemorySaved):
            yield f"Memory ran out: batches are computed in {event.micro_batch:,} photos, to the same steps."
        elif isinstance(event, Resumed):
            yield self._resumed(event)
        elif isinstance(event, NotSaved):
            yield f"{event.what} {event.hint}"
        elif isinstance(event, EpochEnd):
            yield self._epoch(event)
        elif isinstance(event, EarlyStop):
            yield f"The validation loss has not fallen for {event.patience} epochs: training ends here."
        elif isinstance(event, TestResult):
            yield (
                f"Test: {percent(event.accuracy)} of {event.samples:,} photos right "
                f"(95 % interval: {percent(event.low)} to {percent(event.high)}), loss {event.loss:.4f}."
            )
        elif isinstance(event, Completed):
            yield f"Done in {event.seconds:.0f} s; the weights of epoch {event.best_epoch + 1} are kept."
            yield "Try it: python -m catfish_core predict latest photo.jpg --cam heatmaps"
        elif isinstance(event, (Stopped, Paused)):
            kept = "" if event.kept_epoch is None else f"; the weights of epoch {event.kept_epoch + 1} are kept"
            yield f"{type(event).__name__} in epoch {event.epoch + 1}{kept}."
            yield f"Go on: python -m catfish_core resume {self.run.id}"

    def _resumed(self, event: Resumed) -> str:
        if event.epoch >= self.epochs:
            return "Its epochs are trained; only the test is left."
        if event.batch >= self.batches:
            return f"It goes on after the last batch of epoch {event.epoch + 1}."
        return f"It goes on with batch {event.batch + 1} of epoch {event.epoch + 1}."

    def _epoch(self, event: EpochEnd) -> str:
        width = len(str(self.epochs))
        line = (
            f"Epoch {event.epoch + 1:>{width}}/{self.epochs}  loss {event.train_loss:.4f}  "
            f"validation {event.val_loss:.4f}, {percent(event.val_accuracy):>7} right  {event.seconds:.1f} s"
        )
        return line + ("  best so far" if event.improved else "")
