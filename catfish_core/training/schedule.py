"""How the learning rate changes over a run, as plain functions of the step.  [no torch]"""

from __future__ import annotations

from math import cos, pi

from catfish_core.config import ScheduleConfig

ONE_CYCLE_START = 25.0  # the cycle begins at lr / 25 …
ONE_CYCLE_END = 1e4  # … and ends at lr / 25 / 10,000: the defaults of Smith & Topin (2018) as torch has them


def multiplier(schedule: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the configured rate is multiplied by at `step` (from 0 over the whole run), warm-up included.

    step: falls at the same epochs with a warm-up and without;
    cosine: (1 + cos(pi * step / total)) / 2, Loshchilov & Hutter (2017) without restarts, counted from the end of
    the warm-up, so that the whole of it is gone through;
    one_cycle: a cosine up to 1 over the first `warmup` of the run, then a cosine down (Smith & Topin, 2018);
    plateau: always 1 here, it depends on the validation loss and is kept by `optim.Plateau`.
    """
    total = max(1, steps_per_epoch * epochs)
    if schedule.kind == "one_cycle":
        return _one_cycle(step, total, schedule.warmup)
    warm_steps = warmup_steps(schedule, steps_per_epoch)
    warm = warmup(step, warm_steps)
    if schedule.kind == "step":
        return warm * float(schedule.gamma ** (step // max(1, steps_per_epoch) // schedule.step_size))
    if schedule.kind == "cosine":
        gone, rest = max(0, step - warm_steps), max(1, total - warm_steps)
        return warm * (1 + cos(pi * min(gone, rest) / rest)) / 2
    return warm


def warmup(step: int, steps: int) -> float:
    """The part of the rate that `step` (from 0) gets in a linear warm-up over `steps`: (step + 1) / steps, at most 1.

    Goyal et al. (2017): large steps harm a network whose weights are still random. It is never 0, and 1 at the
    last of the `steps`.
    """
    return min(1.0, (step + 1) / steps) if steps > 0 else 1.0


def warmup_steps(schedule: ScheduleConfig, steps_per_epoch: int) -> int:
    """How many steps the warm-up of `schedule` takes; none for one_cycle, which has a rise of its own."""
    return 0 if schedule.kind == "one_cycle" else round(schedule.warmup_epochs * steps_per_epoch)


def _one_cycle(step: int, total: int, warmup: float) -> float:
    start, end = 1 / ONE_CYCLE_START, 1 / ONE_CYCLE_START / ONE_CYCLE_END
    peak = max(warmup * total - 1, 0.0)
    if step <= peak:
        return _cosine(start, 1.0, step / peak if peak else 1.0)
    return _cosine(1.0, end, min(1.0, (step - peak) / max(total - 1 - peak, 1e-9)))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + cos(pi * part)) / 2
