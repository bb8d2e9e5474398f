"""How a sweep stands, in words.  [no streamlit]"""

from __future__ import annotations

from catfish_core.events import Failed, Preparing, Stopped, SweepCompleted
from catfish_core.jobs.directory import Status
from catfish_ui.status import WORDS, Line, Word
from catfish_ui.sweep_progress import SweepProgress
from catfish_ui.sweep_reading import rate
from catfish_ui.text import duration

SWEEPING = Word("sweeping", "orange", ":material/directions_run:")
RAISED = {
    "diverged": "It stopped where the loss exploded.",
    "finished": "It came to the last rate.",
    "stopped": "",
}


def word(status: Status) -> Word:
    """A status as a badge shows it."""
    return SWEEPING if status == "running" else WORDS[status]


def line(status: Status, progress: SweepProgress) -> Line:
    """How the sweep stands, for the top of its page."""
    if status == "stopping":
        return Line("Stopping. What has been measured is kept and used.", fraction=fraction(progress))
    if status in ("queued", "running", "pausing"):
        return _working(progress)
    return _ended(status, progress)


def fraction(progress: SweepProgress) -> float:
    """How far it is, from 0 to 1: a step is a step, whether of a seed or of a short training."""
    settings = progress.settings
    steps = sum(
        progress.ends[seed].steps if seed in progress.ends else settings.steps for seed in range(settings.seeds)
    )
    tried = settings.probes * settings.probe_steps
    made = progress.made + len(progress.probes) * settings.probe_steps
    return min(1.0, made / (steps + tried))


def _working(progress: SweepProgress) -> Line:
    step, settings, doing = progress.step, progress.settings, progress.last
    if isinstance(doing, Preparing) and doing.what != "Starting up":
        amount = f", {doing.done:,} of {doing.total:,}" if doing.total else ""
        unit = f" {doing.unit}" if doing.unit and doing.total else ""
        return Line(f"{doing.what}{amount}{unit}.", fraction=fraction(progress))
    if progress.started is None:
        return Line("Waking up: the training engine needs a moment to load.")
    if step is None:
        return Line("Everything is ready: the first photos are going through the network.")
    if len(progress.ends) >= settings.seeds:
        done = len(progress.probes)
        told = f", {done} of {settings.probes} done" if settings.probes else ""
        return Line(f"The curve is there. Now its suggestions are tried out{told}.", fraction=fraction(progress))
    again = f" of sweep {step.seed + 1} of {settings.seeds}" if settings.seeds > 1 else ""
    return Line(
        f"Step {step.step + 1:,} of {settings.steps:,}{again}, at a rate of {rate(step.lr)}.",
        fraction=fraction(progress),
    )


def _ended(status: Status, progress: SweepProgress) -> Line:
    ended = progress.ended
    if isinstance(ended, SweepCompleted):
        reasons = [RAISED[end.reason] for end in progress.ends.values()]
        return Line(f"Done in {duration(ended.seconds)}. {reasons[0] if reasons else ''}".strip(), fraction=1.0)
    if isinstance(ended, Stopped):
        hint = "What it had measured by then is below." if progress.made else "It had not measured anything yet."
        return Line("Stopped, as you asked.", hint, fraction(progress))
    if isinstance(ended, Failed):
        return Line(ended.what, ended.hint, fraction(progress))
    if status in ("paused", "stopped"):
        return Line("It was taken out of the queue before its turn came.", "“Try again” puts it back in line.")
    hint = "What it had measured is below." if progress.made else ""
    return Line(
        "It was interrupted: perhaps the computer was switched off, or had no memory left.",
        f"{hint} “Try again” sweeps anew with the same settings.".strip(),
        fraction(progress),
    )
