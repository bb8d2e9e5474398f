"""Reading a learning-rate sweep: plain functions of rates and losses.  [no torch]

The range test is Smith's (Cyclical Learning Rates for Training Neural Networks, 2015, section 3.3): train with a
rate that grows from step to step and look at the loss. All functions take rates in ascending order with the loss
at each; a loss that is no number ends the curve there. Give them the smoothed loss: single batches are too noisy.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from catfish_core.config import SweepConfig
from catfish_core.events import ProbeEnd, SweepPoint

Floats = Sequence[float]
STEP = 15  # points between the two slopes that `slide` compares
LEFT = 0.1  # part of the whole fall after which the loss counts as falling
FEWEST = 5  # points from which a rate can be read
CHANCE = 8  # times the noise that a fall must exceed
APART = 1.5  # factor between two rates that are worth trying both
RISEN = 0.25  # part of the whole fall that the loss must give back to count as diverging


def ladder(settings: SweepConfig) -> list[float]:
    """The rate of every step, from the first to the final one.

    exponential: r_k = init (final / init)^(k / (steps - 1)); linear: r_k = init + (final - init) k / (steps - 1).
    """
    init, final = settings.init, settings.final
    ways = (k / (settings.steps - 1) for k in range(settings.steps))
    if settings.scale == "linear":
        return [init + (final - init) * way for way in ways]
    return [init * (final / init) ** way for way in ways]


Smooth = Callable[[float], float]


def smoother(settings: SweepConfig) -> Smooth:
    """Takes one loss after the other and gives each back smoothed, as `settings` say."""
    return _fading(settings.beta) if settings.smoothing == "ewm" else _recent(settings.window)


def exponential(losses: Floats, beta: float = 0.9) -> list[float]:
    """Exponentially weighted mean, bias corrected: s_i = Σ_k β^(i-k) x_k / Σ_k β^(i-k), k ≤ i.

    What fastai's recorder shows, and Adam's correction (Kingma and Ba, 2014, section 3): without it the first
    values lean towards zero.
    """
    return list(map(_fading(beta), losses))


def rolling(losses: Floats, window: int = 5) -> list[float]:
    """The mean of each loss and the `window` - 1 before it; of as many as there are at the start."""
    return list(map(_recent(window), losses))


def _fading(beta: float) -> Smooth:
    total = weight = 0.0

    def smooth(loss: float) -> float:
        nonlocal total, weight
        total, weight = beta * total + loss, beta * weight + 1
        return total / weight

    return smooth


def _recent(window: int) -> Smooth:
    seen: deque[float] = deque(maxlen=window)

    def smooth(loss: float) -> float:
        seen.append(loss)
        return math.fsum(seen) / len(seen)

    return smooth


def valley(lrs: Floats, losses: Floats) -> float | None:
    """The middle of the longest decreasing stretch; None where the loss never falls.

    fastai's `valley`: of the longest strictly decreasing subsequence, whose L losses end at index e (the first such
    end), the rate at e - L + ⌊L/3⌋ + ⌊L/6⌋. L counts the subsequence's members, so the stretch is taken as if they
    were neighbours. Where that is one before the first rate (e = 1, L = 2) it is the first.
    """
    lrs, losses = finite(lrs, losses)
    ends: list[float] = []  # ends[k]: the highest last loss of a decreasing subsequence of k + 1, negated
    end = 0
    for i, loss in enumerate(losses):
        k = bisect_left(ends, -loss)
        if k == len(ends):
            ends.append(-loss)
            end = i
        ends[k] = -loss
    length = len(ends)
    return lrs[max(0, end - length + length // 3 + length // 6)] if length > 1 else None


def steepest(lrs: Floats, losses: Floats) -> float | None:
    """The rate from which the loss falls fastest per decade of rate; None where it never falls.

    argmin over i of (l_{i+1} - l_i) / (log10 r_{i+1} - log10 r_i); the first of equals. fastai's `steep` with its
    natural logarithm finds the same one.
    """
    lrs, losses = finite(lrs, losses)
    slopes = [
        (losses[i + 1] - losses[i]) / (math.log10(lrs[i + 1]) - math.log10(lrs[i])) for i in range(len(lrs) - 1)
    ]
    best = _lowest(slopes)
    return lrs[best] if best is not None and slopes[best] < 0 else None


def minimum(lrs: Floats, losses: Floats) -> float | None:
    """A tenth of the rate with the lowest loss, the first of equals; None where no loss is below the first.

    fastai's `minimum`: the lowest loss lies at the edge of divergence, an order of magnitude below it is safe.
    """
    lrs, losses = finite(lrs, losses)
    best = _lowest(losses)
    return lrs[best] / 10 if best else None


def slide(lrs: Floats, losses: Floats) -> float | None:
    """The rate reached by an interval that slides down from the high end until the slopes at its ends agree.

    fastai's `slide`: with g the gradient of the losses by index (central differences, one-sided at the ends) and
    an interval of 15 points that starts at the last two ends, go down while |g_right - g_left| > 0.005; the rate
    at the left end of the last interval that differed, or of the first one. None under 16 points, or where the
    loss never falls.
    """
    lrs, losses = finite(lrs, losses)
    n = len(losses)
    if n < STEP + 1 or min(losses) >= losses[0]:
        return None
    slopes = _gradient(losses)
    left = n - 1 - STEP
    found = lrs[left]
    while left >= 0 and abs(slopes[left + STEP] - slopes[left]) > 0.005:
        found = lrs[left]
        left -= 1
    return found


def course(lrs: Floats, losses: Floats) -> float | None:
    """The reading taught in courses: just before the sharp rise, an order of magnitude below; None without a rise.

    A tenth of the last rate before `phases` sees divergence.
    """
    lrs, losses = finite(lrs, losses)
    edge = phases(lrs, losses).diverges_from
    return None if edge is None else lrs[lrs.index(edge) - 1] / 10


# In the order in which they are trusted.
SUGGESTIONS: Mapping[str, Callable[[Floats, Floats], float | None]] = {
    "valley": valley,
    "steepest": steepest,
    "minimum": minimum,
    "course": course,
    "slide": slide,
}
_WHY = {
    "valley": "it lies in the middle of the longest stretch in which the loss falls",
    "steepest": "there the loss falls fastest",
    "minimum": "it is a tenth of the rate with the lowest loss, which is safely before the divergence",
    "course": "it is a tenth of the last rate before the loss rises sharply",
    "slide": "from there on the slope of the loss hardly changes up to the divergence",
}


@dataclass(frozen=True)
class Phases:
    """Where the three phases meet: the rates are too small below the first, the training diverges from the second on.

    Learning lies between. None: that border was not found.
    """

    too_small_until: float | None
    diverges_from: float | None


def phases(lrs: Floats, losses: Floats) -> Phases:
    """The borders of too small, learning and diverging, read from a smoothed curve.

    With the whole fall F from the first loss to the lowest: rates are too small until the loss has fallen by F/10
    for good before its lowest; it diverges from the first rate after the lowest where it has risen by F/4 for good.
    """
    lrs, losses = finite(lrs, losses)
    low = _lowest(losses)
    if not low:
        return Phases(None, None)
    fall = losses[0] - losses[low]
    left = max((i for i in range(low) if losses[i] > losses[0] - LEFT * fall), default=0)
    risen = losses[low] + RISEN * fall
    below = max(i for i in range(low, len(losses)) if losses[i] <= risen)
    return Phases(lrs[left], lrs[below + 1] if below + 1 < len(lrs) else None)


@dataclass(frozen=True)
class Advice:
    """What a curve says: every suggestion by name, the one recommended, and the reason in a sentence."""

    suggestions: Mapping[str, float | None]
    recommended: str | None
    rate: float | None
    reason: str


def advise(lrs: Floats, losses: Floats) -> Advice:
    """All suggestions on a smoothed curve and the one to take; where there is none, why and what to try.

    They are read from the part that says something: without the first tenth, in which the mean is of few losses,
    and up to where the loss diverges. No suggestion is made where the fall does not stand out of the noise.
    """
    measured = len(losses)
    lrs, losses = finite(lrs, losses)
    telling = settled(lrs, losses)
    if len(losses) < FEWEST or not fell(telling[1]):
        return Advice(dict.fromkeys(SUGGESTIONS), None, None, _why_none(losses, measured))
    lrs, losses = telling
    edge = phases(lrs, losses).diverges_from
    end = len(lrs) if edge is None else lrs.index(edge)
    found = {name: suggest(lrs[:end], losses[:end]) for name, suggest in SUGGESTIONS.items()}
    found["course"] = course(lrs, losses)  # the one that reads the rise itself
    recommended = next(name for name, rate in found.items() if rate is not None)
    reason = f"{recommended} is recommended: {_WHY[recommended]}."
    if edge is None:
        reason += " The loss never rose, so a higher final rate may show more."
    advice = Advice(found, recommended, found[recommended], reason)
    if len(_distinct(advice)) < 2:
        advice = replace(advice, reason=f"{reason} The other suggestions lie close to it.")
    return advice


def settled(lrs: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """The part of a smoothed curve that can be read: without the first tenth, which is the mean of few losses."""
    lrs, losses = finite(lrs, losses)
    start = len(lrs) // 10
    return lrs[start:], losses[start:]


def fell(losses: Floats) -> bool:
    """Whether a smoothed loss falls by more than chance would have it.

    From the first loss to the lowest it must fall by over 8 times the noise, which is the median absolute second
    difference up to the lowest / 0.6745 (as the spread of a normal distribution is estimated from its median).
    Of curves that are nothing but noise, 100 losses smoothed with β = 0.9, 1 in 60 falls so far.
    """
    low = _lowest(losses)
    if not low:
        return False
    bends = [abs(a - 2 * b + c) for a, b, c in zip(losses[:low], losses[1:], losses[2:], strict=False)]
    return losses[0] - losses[low] > CHANCE * median(bends or [0.0]) / 0.6745


def _why_none(losses: Floats, measured: int) -> str:
    if measured and not losses:
        return "The loss was not a number from the first step on: try a lower first rate, or look at the photos."
    if len(losses) < FEWEST:
        stopped = len(losses) < measured
        return (
            "The loss soon stopped being a number: try a lower first rate."
            if stopped
            else "There are too few points to read a rate from: let the sweep make more steps."
        )
    if fell(losses[::-1]):
        return "The loss only rose: try a lower first rate."
    return "The loss never fell: try a higher final rate."


def candidates(advice: Advice, number: int) -> dict[str, float]:
    """The `number` most trusted suggestions to try out, the recommended one first; none where they all agree."""
    distinct = list(_distinct(advice).items())[:number]
    return dict(distinct) if len(distinct) > 1 else {}


def _distinct(advice: Advice) -> dict[str, float]:
    """The suggestions of which no two lie within a factor of 1.5, the recommended one first."""
    chosen: dict[str, float] = {}
    for name, rate in sorted(advice.suggestions.items(), key=lambda item: item[0] != advice.recommended):
        if rate is not None and all(abs(math.log(rate / other)) > math.log(APART) for other in chosen.values()):
            chosen[name] = rate
    return chosen


def judged(advice: Advice, probes: Sequence[ProbeEnd]) -> Advice:
    """`advice` after trying out: the rate with the lowest validation loss; as it was after fewer than two trials."""
    tried = [probe for probe in probes if probe.val_loss is not None]
    if len(probes) < 2:
        return advice
    if not tried:
        reason = f"All {len(probes)} rates tried out ended in a loss that is no number: try a lower first rate."
        return replace(advice, recommended=None, rate=None, reason=reason)
    best, *others = sorted(tried, key=lambda probe: probe.val_loss or 0.0)
    losses = " and ".join(f"{probe.val_loss:.3f} with {probe.lr:.2g} ({probe.name})" for probe in others)
    compared = f", against {losses}" if others else ""
    failed = len(probes) - len(tried)
    gone = f"; {failed} of the rates tried ended in a loss that is no number" if failed else ""
    reason = (
        f"{best.name} is recommended: after {best.steps} steps with {best.lr:.2g} its validation loss is the lowest, "
        f"{best.val_loss:.3f}{compared}{gone}."
    )
    return replace(advice, recommended=best.name, rate=best.lr, reason=reason)


@dataclass(frozen=True)
class Curve:
    """The points of a sweep as curves over its rates: means over the seeds, and the band they lie in.

    `losses` are as measured, `smoothed`, `low` and `high` are smoothed. The curve ends with the seed that ended
    first; a loss that is no number is nan.
    """

    lrs: list[float]
    losses: list[float]
    smoothed: list[float]
    low: list[float]
    high: list[float]


def curve(points: Iterable[SweepPoint], settings: SweepConfig) -> Curve:
    """The curves that `points`, in the order told, make up."""
    seeds: dict[int, list[SweepPoint]] = {}
    for point in points:
        seeds.setdefault(point.seed, []).append(point)
    raw = [[math.nan if p.loss is None else p.loss for p in told] for told in seeds.values()]
    steps = min(map(len, raw), default=0)
    smooth = [list(map(smoother(settings), losses[:steps])) for losses in raw]
    return Curve(
        lrs=[point.lr for point in next(iter(seeds.values()), [])[:steps]],
        losses=[math.fsum(column) / len(column) for column in zip(*(losses[:steps] for losses in raw), strict=True)],
        smoothed=[math.fsum(column) / len(column) for column in zip(*smooth, strict=True)],
        low=[min(column) for column in zip(*smooth, strict=True)],
        high=[max(column) for column in zip(*smooth, strict=True)],
    )


def finite(lrs: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """The curve up to its first loss that is no number; raises ValueError where the lengths differ."""
    if len(lrs) != len(losses):
        raise ValueError(f"{len(lrs)} rates and {len(losses)} losses are no curve")
    end = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    return lrs[:end], losses[:end]


def _lowest(values: Floats) -> int | None:
    """The index of the lowest value, the first of equals; None of none."""
    return min(range(len(values)), key=values.__getitem__, default=None)


def _gradient(values: Floats) -> list[float]:
    """Central differences by index, one-sided at the two ends; at least two values."""
    inner = [(after - before) / 2 for before, after in zip(values, values[2:], strict=False)]
    return [values[1] - values[0], *inner, values[-1] - values[-2]]
