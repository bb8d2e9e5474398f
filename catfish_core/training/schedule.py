"""How the learning rate changes over a run, as plain functions of the step.  [no torch]"""

from __future__ import annotations

from math import cos, pi

from catfish_core.config import ScheduleConfig

ONE_CYCLE_START = 25.0  # the cycle begins at lr / 25 …
ONE_CYCLE_END = 1e4  # … and ends at lr / 25 / 10,000: the defaults of Smith & Topin (2018) as torch has them


def multiplier(schedule: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the configured rate is multiplied by at `step` (from 0 over the whole run).

    cosine: (1 + cos(pi * step / total)) / 2, Loshchilov & Hutter (2017) without restarts;
    one_cycle: a cosine up to 1 over the first `warmup` of the run, then a cosine down (Smith & Topin, 2018);
    plateau: always 1 here, it depends on the validation loss and is kept by `optim.Plateau`.
    """
    total = max(1, steps_per_epoch * epochs)
    if schedule.kind == "step":
        return float(schedule.gamma ** (step // max(1, steps_per_epoch) // schedule.step_size))
    if schedule.kind == "cosine":
        return (1 + cos(pi * min(step, total) / total)) / 2
    if schedule.kind == "one_cycle":
        return _one_cycle(step, total, schedule.warmup)
    return 1.0


def _one_cycle(step: int, total: int, warmup: float) -> float:
    start, end = 1 / ONE_CYCLE_START, 1 / ONE_CYCLE_START / ONE_CYCLE_END
    peak = max(warmup * total - 1, 0.0)
    if step <= peak:
        return _cosine(start, 1.0, step / peak if peak else 1.0)
    return _cosine(1.0, end, min(1.0, (step - peak) / max(total - 1 - peak, 1e-9)))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + cos(pi * part)) / 2
