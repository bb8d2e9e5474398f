"""How a run stands, in words.  [no streamlit]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catfish_core.events import Completed, Failed, Paused, Preparing, Started, Stopped
from catfish_core.runs import Status
from catfish_ui.progress import Progress
from catfish_ui.text import count, duration, in_line, listed, roughly, shorten


@dataclass(frozen=True)
class Word:
    """A status as a badge shows it; the colour is one of Streamlit's names."""

    text: str
    color: str
    icon: str


WORDS: dict[Status, Word] = {
    "queued": Word("waiting", "gray", ":material/hourglass_top:"),
    "running": Word("training", "orange", ":material/directions_run:"),
    "pausing": Word("pausing", "orange", ":material/pause:"),
    "stopping": Word("stopping", "orange", ":material/front_hand:"),
    "completed": Word("done", "green", ":material/check_circle:"),
    "paused": Word("paused", "gray", ":material/pause_circle:"),
    "stopped": Word("stopped", "gray", ":material/stop_circle:"),
    "failed": Word("failed", "red", ":material/error:"),
    "crashed": Word("interrupted", "red", ":material/power_off:"),
}


@dataclass(frozen=True)
class Line:
    """What is going on: a sentence, what comes of it or what to do, and how far it is (0 to 1)."""

    text: str
    hint: str = ""
    fraction: float = 0.0


def line(status: Status, progress: Progress) -> Line:
    """How the run stands, for the top of its page."""
    if status in ("completed", "paused", "stopped", "failed", "crashed"):
        return _ended(status, progress)
    if status == "pausing":
        return Line("Pausing: everything is being written down.", fraction=_fraction(progress))
    if status == "stopping":
        return Line("Stopping. The best weights so far are kept.", fraction=_fraction(progress))
    if _trained(progress) and isinstance(progress.last, Preparing):
        return Line(f"{progress.last.what}: photos it has never seen.", fraction=1.0)
    if progress.started is None or progress.ended is not None or isinstance(progress.last, Preparing):
        return _getting_ready(progress)
    if progress.batch is None:
        return Line("Everything is ready: the first photos are going through the network.")
    epoch = min(progress.batch.epoch + 1, progress.started.epochs)
    return Line(f"Training: epoch {epoch} of {progress.started.epochs}.", fraction=_fraction(progress))


def waiting(position: int, reason: str, before: Mapping[str, float] | None = None) -> Line:
    """Where a run is that waits for its turn, counted from 1, and why it does not start yet.

    `before` are the titles of what runs, with the seconds each still needs: the one that ends first is named.
    """
    where = in_line(position)
    hint = reason
    if before:
        soonest = min(before, key=lambda title: before[title])
        hint = f"{reason} “{shorten(soonest)}” needs about {roughly(before[soonest])} more.".strip()
    return Line(f"{where[0].upper()}{where[1:]}.", hint)


def _trained(progress: Progress) -> bool:
    """Whether all epochs are behind it, and only the test is left."""
    started = progress.started
    return started is not None and (progress.early_stop is not None or progress.done >= started.epochs)


def _fraction(progress: Progress) -> float:
    return min(1.0, progress.done / progress.started.epochs) if progress.started else 0.0


def _getting_ready(progress: Progress) -> Line:
    step = progress.last
    if not isinstance(step, Preparing) or step.what == "Starting up":
        return Line("Waking up: the training engine needs a moment to load.")
    if not step.total:
        return Line(f"Getting ready: {step.what}.")
    amount = " ".join(filter(None, (f"{step.done:,} of {step.total:,}", step.unit)))
    return Line(f"Getting ready: {step.what}, {amount}.", fraction=min(1.0, step.done / step.total))


def _ended(status: Status, progress: Progress) -> Line:
    ended = progress.ended
    if ended is None and status in ("paused", "stopped"):
        return Line("Taken out of the queue before its turn came.", "“Go on” puts it back.", _fraction(progress))
    if isinstance(ended, Completed):
        early = progress.early_stop
        why = f" It stopped by itself after {count(early.patience, 'epoch')} without progress." if early else ""
        took = "" if progress.breaks else f" in {duration(ended.seconds)}"  # which only the last attempt took
        return Line(f"Done{took}.{why}", f"The weights of epoch {ended.best_epoch + 1} are kept.", 1)
    if isinstance(ended, Paused):
        hint = "“Go on” takes it up with the very next photos."
        return Line(f"Paused in epoch {max(ended.epoch, int(progress.done)) + 1}.", hint, _fraction(progress))
    if isinstance(ended, Stopped):
        kept = progress.best.best_epoch if ended.kept_epoch is None and progress.best else ended.kept_epoch
        epoch = max(ended.epoch, int(progress.done))  # an attempt that was stopped on its way up counts from 0
        hint = "The weights it had then are kept." if kept is None else f"The weights of epoch {kept + 1} are kept."
        return Line(f"Stopped in epoch {epoch + 1}, as you asked.", hint, _fraction(progress))
    if isinstance(ended, Failed):
        return Line(ended.what, ended.hint, _fraction(progress))
    epochs = len(progress.epochs)
    hint = (
        f"{count(epochs, 'epoch')} {'is' if epochs == 1 else 'are'} safe: “Go on” continues from its last checkpoint."
        if epochs
        else "“Go on” starts it again with the same settings."
    )
    return Line(
        "It was interrupted: perhaps the computer was switched off, or had no memory left.", hint, _fraction(progress)
    )


def photos(samples: dict[str, int]) -> str:
    """“480 photos to learn from, 100 to check on, 100 for the test”."""
    parts = [("train", "to learn from"), ("val", "to check on"), ("test", "for the test")]
    return listed([f"{count(samples[key], 'photo') if key == 'train' else format(samples[key], ',')} {what}"
                   for key, what in parts if samples.get(key)])  # fmt: skip


def training(progress: Progress) -> str:
    """What of the network is trained now, in a sentence; empty where that is everything, or was never said."""
    started, rates = progress.started, {name: rate for name, rate in progress.parts.items() if rate}
    if started is None or progress.trained == started.parameters or not rates:
        return ""
    same = len(set(rates.values())) == 1
    names = [name if same else f"{name} at {rates[name]:.3g}" for name in reversed(rates)]
    return f"{progress.trained:,} of {count(started.parameters, 'parameter')} learn: {listed(names)}."


def computing(started: Started) -> str:
    """How a run is computed, in a sentence or two; empty for runs that never said."""
    formats = {"fp32": "numbers of full length", "bf16": "half-length numbers", "fp16": "half-length numbers"}
    precision = started.compute.partition(",")[0]
    where = {"cpu": "the processor", "cuda": "the graphics card", "mps": "the graphics card"}
    device = where.get(started.device.partition(":")[0], started.device)
    told = f"Computed by {device} in {formats[precision]} ({started.compute})." if precision in formats else ""
    return f"{started.note} {told}".strip()
