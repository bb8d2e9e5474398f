"""What a sweep and a rate on its curve mean, in plain sentences.  [no streamlit]"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from catfish_core.config import OptimizerConfig
from catfish_core.events import ProbeEnd, SweepStarted
from catfish_ui.sweep_progress import Findings
from catfish_ui.text import count, listed, percent

NEAR = 5  # a rate closer to the explosion than this factor is warned of
ROUNDED = 0.06  # rates this close are the same to two digits
Zone = Literal["unknown", "too small", "learning", "edge", "diverging"]

ABOUT = {
    "valley": "The middle of the longest stretch in which the loss falls.",
    "steepest": "Where the loss falls fastest, measured per tenfold step of the rate.",
    "minimum": "A tenth of the rate at which the loss is lowest: there it is about to explode, a tenth is safe.",
    "course": "A tenth of the last rate before the sharp rise, as it is taught in the course.",
    "slide": "Coming down from the explosion, the first rate at which the curve has become even.",
}


@dataclass(frozen=True)
class Meaning:
    """What a rate would mean: the phase of the curve it lies in, a headline, and why, in a few sentences."""

    zone: Zone
    title: str
    text: str


def zones(found: Findings) -> list[tuple[Zone, float]]:
    """The phases of the curve from left to right, each with the last rate that lies in it; none where it never fell.

    The edge is what lies beyond the lowest loss and before the explosion.
    """
    phases, low = found.phases, found.lowest
    if phases.too_small_until is None or low is None:
        return []
    parts: list[tuple[Zone, float]] = [("too small", phases.too_small_until), ("learning", low[0])]
    if phases.diverges_from is None:
        return [*parts, ("edge", found.curve.lrs[-1])]
    return [*parts, ("edge", math.nextafter(phases.diverges_from, 0)), ("diverging", math.inf)]


def zone(at: float, found: Findings) -> Zone:
    """The phase of the curve in which the rate `at` lies."""
    return next((name for name, until in zones(found) if at <= until), "unknown")


def meaning(at: float, found: Findings, optimizer: OptimizerConfig, active: bool = False) -> Meaning:
    """What training with the rate `at` would mean, as far as the sweep has seen."""
    where, best = zone(at, found), found.advice.rate
    if best is not None and where in ("too small", "edge") and math.isclose(at, best, rel_tol=ROUNDED):
        return Meaning(where, "Recommended, though near a border", _bordering(found))
    if where == "too small":
        return Meaning(where, "Too small: it would crawl", _crawls(at, found))
    if where == "learning":
        return Meaning(where, "In the learning phase", _learns(at, found))
    if where == "edge":
        return Meaning(where, "At the edge", _edge(found))
    if where == "diverging":
        return Meaning(where, "Too big: the loss explodes", _explodes(at, found, optimizer))
    return Meaning(where, "Not known yet" if active else "Not known", _unknown(at, found, active))


def _crawls(at: float, found: Findings) -> str:
    text = f"{_moved(at, found)} A rate this small hardly changes the network from step to step."
    best = found.advice.rate
    if best is None or best < 2 * at:
        return text
    return f"{text} To get as far as with {rate(best)}, it would need {times(best / at)} as many steps."


def _moved(at: float, found: Findings) -> str:
    """“The loss has gone from 0.71 to 0.69 by here.”"""
    here = found.at(at)
    return "" if here is None else f"The loss has gone from {found.start:.3g} to {here:.3g} by here."


def _learns(at: float, found: Findings) -> str:
    edge = found.phases.diverges_from
    text = f"The loss falls here. {_moved(at, found)}"
    if edge is None:
        return f"{text} The sweep never got to where it explodes."
    if edge / at < NEAR:
        return f"{text} But it explodes at {rate(edge)} already: a whole training may stumble this close to it."
    return f"{text} It explodes only at {rate(edge)}, {times(edge / at)} this rate: far enough away."


def _bordering(found: Findings) -> str:
    reason = found.advice.reason
    return f"Here the curve alone says little: the borders of the phases are as rough as the curve. {upper(reason)}"


def upper(sentence: str) -> str:
    """`sentence` with a capital at its beginning."""
    return sentence[:1].upper() + sentence[1:]


def _edge(found: Findings) -> str:
    low, edge = found.lowest, found.phases.diverges_from
    assert low is not None
    ahead = f" and from {rate(edge)} on it explodes" if edge is not None else ""
    return (
        f"The loss was lowest at {rate(low[0])}. Here it has stopped falling{ahead}. A sweep passes by quickly; "
        "a whole training at this rate would jump about and settle badly, if it learned at all."
    )


def _explodes(at: float, found: Findings, optimizer: OptimizerConfig) -> str:
    edge, low = found.phases.diverges_from, found.lowest
    assert edge is not None and low is not None
    return f"{why(optimizer)} {_measured(at, found, low)}"


def why(optimizer: OptimizerConfig) -> str:
    """Why too big a rate explodes with this optimizer."""
    if optimizer.name == "sgd":
        return (
            "Think of the loss as a valley and of the network as a ball that should roll to its bottom. A step "
            "is the slope times the rate. This big, it carries the ball past the bottom and up the other side, "
            "higher than it came from. It is steeper there, so the next step is longer still."
        )
    return (
        "Think of the loss as a valley and of the network as a ball that should roll to its bottom. This optimizer "
        "moves every weight by about the rate, however gentle the slope. This big, each step throws the ball "
        "across the whole valley and up the other side: what was learned is overwritten faster than it is learned."
    )


def _measured(at: float, found: Findings, low: tuple[float, float]) -> str:
    here, last = found.at(at), found.curve.lrs[-1]
    if here is not None:
        return f"Measured: {here:.3g} here, {times(here / low[1])} the lowest, {low[1]:.3g}."
    if at <= last:
        return f"Measured: the loss was no longer a number here; its lowest was {low[1]:.3g}."
    final = found.at(last)
    grown = f"where the loss was {final:.3g}" if final is not None else "where the loss was no longer a number"
    return f"The sweep pulled the brake at {rate(last)}, {grown}, after {low[1]:.3g} at its lowest."


def _unknown(at: float, found: Findings, active: bool) -> str:
    if active:
        return "The sweep has not come this far. The curve grows from left to right, with ever bigger steps."
    if found.curve.lrs and at > found.curve.lrs[-1] * 1.001:
        return f"The sweep ended at {rate(found.curve.lrs[-1])}, before this rate."
    return "The curve does not tell: the loss never fell."


def rate(value: float) -> str:
    """A rate with the two digits that can be read off a curve: 0.00081, 1e-05."""
    return f"{float(f'{value:.2g}'):g}"


def times(factor: float) -> str:
    """A factor as a person says it: “1.5 times”, “about 7 times”, “about 1,200 times”."""
    if factor < 3:
        return f"{factor:.2g} times"
    return f"about {round(factor) if factor < 20 else float(f'{factor:.2g}'):,.0f} times"


def noted(started: SweepStarted | None) -> str:
    """What is unusual about a sweep: whose rate the axis shows where parts learn at different ones, and its note."""
    if started is None:
        return ""
    others = [f"{name} at {_share(share)}" for name, share in started.rates.items() if share != 1]
    if not others:
        return started.note
    axis = f"The axis shows the rate of the head; the other parts were swept in proportion: {listed(others)} of it."
    return f"{axis} {started.note}".strip()


def _share(share: float) -> str:
    whole = round(1 / share) if share > 0 else 0
    return f"1/{whole}" if whole > 1 and math.isclose(share * whole, 1, rel_tol=1e-3) else f"{share:.3g}"


def best_probe(probes: Sequence[ProbeEnd]) -> ProbeEnd | None:
    """The probe with the lowest validation loss, or training loss where none was measured; None of none."""
    told = [(probe, loss) for probe in probes if (loss := judged(probe)) is not None]
    return min(told, key=lambda item: item[1])[0] if told else None


def judged(probe: ProbeEnd) -> float | None:
    """The loss a probe is judged by."""
    return probe.val_loss if probe.val_loss is not None else probe.loss


def probed(probes: Sequence[ProbeEnd]) -> str:
    """What the probes say together, in a sentence."""
    best = best_probe(probes)
    if best is None:
        return "None of the short trainings kept a loss that is a number: all of these rates are too big."
    made = count(max(probe.steps for probe in probes), "step")
    how = f"{percent(best.val_accuracy)} right" if best.val_accuracy is not None else f"a loss of {judged(best):.3g}"
    others = "" if len(probes) == 1 else f", the lowest of the {len(probes)}"
    return (
        f"From the same start, {made} each: {rate(best.lr)} came to {how} on photos kept aside, "
        f"with a loss of {judged(best):.3g}{others}."
    )
