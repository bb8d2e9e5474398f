"""Reading a sweep: suggestions against an independent calculation and cases solved by hand; advice and reasons."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from catfish_core.config import SweepConfig
from catfish_core.events import ProbeEnd, SweepPoint
from catfish_core.training import lr_finder
from catfish_core.training.lr_finder import Advice, advise, course, minimum, phases, slide, steepest, valley

CURVES = json.loads((Path(__file__).parent / "fixtures" / "lr_curves.json").read_text(encoding="utf-8"))
SUGGESTIONS = {"valley": valley, "steepest": steepest, "minimum": minimum, "slide": slide}


def rates(init, final, steps):
    return np.geomspace(init, final, steps).tolist()


# The definitions of fastai's four functions, worked out another way: indices by numpy, no rule of ours in them.


def valley_index(losses):
    """By the quadratic recurrence: the longest decreasing subsequence that ends at each point."""
    x = np.array(losses)
    length = np.ones(len(x), int)
    for i in range(1, len(x)):
        before = length[:i][x[:i] > x[i]]
        length[i] += before.max(initial=0)
    end, longest = int(length.argmax()), int(length.max())
    third = longest / 3
    return end - longest + int(third) + int(third / 2)


def steepest_index(lrs, losses):
    return int(np.argmin(np.diff(losses) / np.diff(np.log(lrs))))


def slide_index(losses):
    gradient = np.gradient(np.array(losses))
    differs = [abs(gradient[i + 15] - gradient[i]) > 0.005 for i in range(len(losses) - 15)]
    below = [i for i, one in enumerate(differs) if not one]
    return min(max(below, default=-1) + 1, len(losses) - 16)


EXPECTED = {
    "valley": lambda lrs, losses: lrs[valley_index(losses)],
    "steepest": lambda lrs, losses: lrs[steepest_index(lrs, losses)],
    "minimum": lambda lrs, losses: lrs[int(np.argmin(losses))] / 10,
    "slide": lambda lrs, losses: lrs[slide_index(losses)],
}


def test_there_are_enough_recorded_curves_of_both_kinds():
    assert len(CURVES) >= 20
    assert sum(name.startswith("recorded") for name in CURVES) >= 8


@pytest.mark.parametrize("suggestion", SUGGESTIONS)
@pytest.mark.parametrize("name", CURVES)
def test_suggestions_on_recorded_curves(name, suggestion):
    """The kept answers are those of the calculation above, and ours are the same."""
    curve = CURVES[name]
    lrs, losses, kept = rates(*curve["rates"], len(curve["losses"])), curve["losses"], curve["answers"][suggestion]
    assert EXPECTED[suggestion](lrs, losses) == pytest.approx(kept, rel=1e-9)
    assert SUGGESTIONS[suggestion](lrs, losses) == pytest.approx(kept, rel=1e-9)


def test_the_longest_fall_is_the_longest_of_all_subsequences():
    """Every subsequence of short curves, tried one by one."""
    random = np.random.default_rng(0)
    for _ in range(50):
        losses = random.integers(0, 9, 9).astype(float).tolist()
        falls = [
            chosen
            for size in range(1, 10)
            for chosen in combinations(range(9), size)
            if all(losses[a] > losses[b] for a, b in zip(chosen, chosen[1:], strict=False))
        ]
        longest = max(map(len, falls))
        end = min(chosen[-1] for chosen in falls if len(chosen) == longest)
        middle = max(0, end - longest + longest // 3 + longest // 6)
        assert valley(rates(1e-5, 1.0, 9), losses) == (None if longest == 1 else rates(1e-5, 1.0, 9)[middle])


LR = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def test_valley_by_hand():
    # All six fall: L = 6, e = 5; 5 - 6 + 2 + 1 = 2.
    assert valley(LR, [6, 5, 4, 3, 2, 1]) == 1e-3
    # 5 4 3 2, then up: L = 4, e = 3; 3 - 4 + 1 + 0 = 0.
    assert valley(LR, [5, 4, 3, 2, 8, 9]) == 1e-5
    # Flat, then 9 8 7: L = 3, e = 5; 5 - 3 + 1 + 0 = 3.
    assert valley(LR, [9, 9, 9, 9, 8, 7]) == 1e-2
    # 4 2 and 4 3 are as long, the first end counts: L = 2, e = 1; 1 - 2 lies before the first rate.
    assert valley(LR, [4, 2, 5, 6, 3.5, 9]) == 1e-5


def test_steepest_by_hand():
    # Per decade -1, -3, -0.5, +2, +5.
    assert steepest(LR, [8, 7, 4, 3.5, 5.5, 10.5]) == 1e-4
    # The fall of 2 happens in half a decade: -4 per decade against -3.
    assert steepest([1e-3, 1e-2, 10**-1.5, 1.0], [9, 6, 4, 4]) == 1e-2


def test_minimum_by_hand():
    assert minimum(LR, [8, 7, 4, 3.5, 5.5, 10.5]) == pytest.approx(1e-3)
    assert minimum(LR, [8, 3, 5, 3, 9, 9]) == pytest.approx(1e-5)  # the first of equals


def test_slide_by_hand():
    lrs = rates(1e-6, 1.0, 30)
    # It starts between the points 14 and 29, whose slopes are both 0: they agree at once.
    assert slide(lrs, [2 - 0.1 * min(i, 9) for i in range(30)]) == lrs[14]
    # Slope -0.1 before the point 17, 0.2 after it, 0.05 in it: the pairs differ from 14 and 29 down to 2 and 17.
    assert slide(lrs, [2 - 0.1 * i if i < 18 else 0.3 + 0.2 * (i - 17) for i in range(30)]) == lrs[2]
    # The same slope everywhere but in the last point, which is 1 higher: 14 and 29 differ, 13 and 28 (+0.5) too,
    # 12 and 27 agree; the last that differed is 13.
    assert slide(lrs, [*[2 - 0.01 * i for i in range(29)], 2 - 0.29 + 1]) == lrs[13]


def test_the_courses_reading_by_hand():
    # Lowest 2 at 1e-3, fall 6: risen for good above 3.5 from 1e-1 on; before it lies 1e-2, a tenth of that is 1e-3.
    assert course(LR, [8, 6, 2, 3, 9, 20]) == pytest.approx(1e-3)
    assert course(LR, [8, 6, 5, 4, 3, 2]) is None  # never rose


@pytest.mark.parametrize("suggest", [*SUGGESTIONS.values(), course])
@pytest.mark.parametrize(
    "losses",
    [[], [1.0], [math.nan] * 40, [math.inf] * 40, [math.nan, *[2.0 - i / 40 for i in range(39)]]],
    ids=["none", "one", "nan", "inf", "nan first"],
)
def test_too_few_points_suggest_nothing(suggest, losses):
    assert suggest(rates(1e-6, 1.0, 40)[: len(losses)], losses) is None


@pytest.mark.parametrize("suggest", [*SUGGESTIONS.values(), course])
@pytest.mark.parametrize("losses", [[1.0] * 40, [1.0 + i / 40 for i in range(40)]], ids=["flat", "rising"])
def test_a_loss_that_never_falls_suggests_nothing(suggest, losses):
    assert suggest(rates(1e-6, 1.0, 40), losses) is None


@pytest.mark.parametrize("suggest", [*SUGGESTIONS.values(), course])
def test_a_curve_ends_where_it_stops_being_a_number(suggest):
    lrs, losses = rates(1e-6, 1.0, 60), [abs(i - 30) / 30 + 0.5 for i in range(50)]
    assert suggest(lrs, [*losses, math.nan, *[0.0] * 9]) == suggest(lrs[:50], losses)


def test_rates_and_losses_belong_together():
    with pytest.raises(ValueError, match="3 rates and 2 losses"):
        valley([1, 2, 3], [1, 2])


def test_a_long_curve_is_read_in_no_time():
    """Quadratic time would take minutes here."""
    losses = np.random.default_rng(0).normal(size=100_000).cumsum().tolist()
    assert valley(rates(1e-6, 1.0, 100_000), losses) is not None


def test_smoothing_by_hand():
    # 1; (0.5·1 + 3) / 1.5; (0.25·1 + 0.5·3 + 5) / 1.75
    assert lr_finder.exponential([1, 3, 5], 0.5) == pytest.approx([1, 3.5 / 1.5, 6.75 / 1.75])
    assert lr_finder.exponential([2.0] * 9) == pytest.approx([2.0] * 9)  # nothing leans towards zero
    assert lr_finder.rolling([1, 3, 5, 7], 3) == pytest.approx([1, 2, 3, 5])


def test_smoothing_is_that_of_an_independent_library():
    """pandas' ewm with its default, adjusted weights."""
    import pandas as pd

    losses = np.random.default_rng(1).normal(size=50)
    assert lr_finder.exponential(losses.tolist(), 0.9) == pytest.approx(pd.Series(losses).ewm(alpha=0.1).mean())
    assert lr_finder.rolling(losses.tolist(), 5) == pytest.approx(pd.Series(losses).rolling(5, min_periods=1).mean())


def test_the_ladder_of_rates():
    made = lr_finder.ladder(SweepConfig(init=1e-6, final=1.0, steps=7))
    assert made == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    made = lr_finder.ladder(SweepConfig(init=0.1, final=0.5, steps=5, scale="linear"))
    assert made == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_phases_by_hand():
    # Fall 10: left the plateau for good after 9.5 (> 10 - 1); risen for good above 2.5 from 1.0 on.
    assert phases(LR, [10, 9.5, 4, 0, 2, 30]) == lr_finder.Phases(1e-4, 1.0)
    assert phases(LR, [10, 9.5, 4, 3, 2, 0]) == lr_finder.Phases(1e-4, None)
    assert phases(LR, [1, 2, 3, 4, 5, 6]) == lr_finder.Phases(None, None)


def swept(steps=100, noise=0.0, seed=0):
    """Flat, falling from 1e-4 to 1e-2, rising from there: the three phases of a sweep from 1e-6 to 1."""
    lrs = rates(1e-6, 1.0, steps)
    random = np.random.default_rng(seed).normal(scale=noise, size=steps)
    decade = np.log10(lrs)
    losses = 2 - 0.75 * np.clip(decade + 4, 0, 2) + 4 * np.clip(decade + 2, 0, 2)
    return lrs, (losses + random).tolist()


def test_advice_on_a_clear_curve():
    advice = advise(*swept())
    assert advice.recommended == "valley"
    assert advice.rate == advice.suggestions["valley"] and 1e-4 < advice.rate < 1e-2
    assert advice.reason.startswith("valley is recommended: ")
    assert set(advice.suggestions) == {"valley", "steepest", "minimum", "slide", "course"}
    assert all(rate < 1e-2 for rate in advice.suggestions.values())


def test_advice_does_not_read_the_divergence():
    """Past the edge the loss jumps about: the steepest fall of the whole curve is there."""
    lrs, losses = swept()
    losses[-5:] = [30, 2, 25, 3, 40]
    assert steepest(lrs, losses) > 0.1
    assert advise(lrs, losses).suggestions["steepest"] < 1e-2


def test_advice_on_every_recorded_curve_lies_before_its_divergence():
    for name, curve in CURVES.items():
        if name.startswith("recorded"):
            lrs = rates(*curve["rates"], len(curve["losses"]))
            advice, edge = advise(lrs, curve["losses"]), phases(lrs, curve["losses"]).diverges_from
            assert advice.rate is not None and lrs[0] < advice.rate < (edge or 1), name


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([math.nan] * 30, "not a number from the first step on: try a lower first rate"),
        ([], "too few points"),
        ([0.7, 0.6], "too few points"),
        ([0.7, 9.0, *[math.nan] * 28], "soon stopped being a number: try a lower first rate"),
        ([0.7] * 30, "never fell: try a higher final rate"),
        ([0.7 + i / 30 for i in range(30)], "only rose: try a lower first rate"),
    ],
)
def test_where_nothing_is_recommended_the_reason_says_what_to_try(losses, says):
    advice = advise(rates(1e-6, 1.0, 30)[: len(losses)], losses)
    if losses and math.isnan(losses[0]):
        assert advice.suggestions["valley"] is None
    assert advice.recommended is None and advice.rate is None
    assert says in advice.reason


def test_noise_alone_is_no_fall():
    random = np.random.default_rng(3)
    curves = [lr_finder.exponential(random.normal(0.69, 0.05, size=100).tolist()) for _ in range(200)]
    believed = sum(advise(rates(1e-9, 1e-8, 100), losses).rate is not None for losses in curves)
    assert believed <= 8
    for seed in range(20):
        lrs, losses = swept(noise=0.1, seed=seed)
        assert advise(lrs, lr_finder.exponential(losses)).rate is not None


def test_a_curve_still_falling_at_its_end_says_so():
    lrs, losses = swept()
    assert "higher final rate" in advise(lrs[:60], losses[:60]).reason


def advice(**suggestions):
    return Advice({"valley": 1e-3, "steepest": 3e-3, "minimum": 1e-3, **suggestions}, "valley", 1e-3, "So it is.")


def probed(name, lr, val_loss):
    return ProbeEnd(name=name, lr=lr, loss=0.5, val_loss=val_loss, val_accuracy=0.5, steps=50)


def test_candidates_are_the_distinct_suggestions_the_recommended_one_first():
    made = lr_finder.candidates(advice(course=1e-4, slide=None), 3)
    assert list(made.items()) == [("valley", 1e-3), ("steepest", 3e-3), ("course", 1e-4)]
    assert list(lr_finder.candidates(advice(course=1e-4), 2)) == ["valley", "steepest"]
    assert lr_finder.candidates(advice(steepest=1.1e-3), 3) == {}  # they agree: nothing to compare
    assert lr_finder.candidates(advise([], []), 3) == {}


def test_the_evidence_decides():
    probes = [probed("valley", 1e-3, 0.6), probed("steepest", 3e-3, 0.4), probed("minimum", 1e-4, 0.5)]
    found = lr_finder.judged(advice(), probes)
    assert (found.recommended, found.rate) == ("steepest", 3e-3)
    assert found.suggestions == advice().suggestions
    assert "after 50 steps with 0.003 its validation loss is the lowest, 0.400" in found.reason
    assert "0.500 with 0.0001 (minimum) and 0.600 with 0.001 (valley)" in found.reason


def test_a_trial_without_a_loss_is_no_winner():
    found = lr_finder.judged(advice(), [probed("valley", 1e-3, 0.6), probed("steepest", 3e-3, None)])
    assert found.recommended == "valley" and "no number" in found.reason
    none = lr_finder.judged(advice(), [probed("valley", 1e-3, None), probed("steepest", 3e-3, None)])
    assert none.recommended is None and none.rate is None and "lower first rate" in none.reason


def test_one_trial_is_no_evidence():
    assert lr_finder.judged(advice(), [probed("steepest", 3e-3, 0.1)]) == advice()
    assert lr_finder.judged(advice(), []) == advice()


def points(*losses_of_seeds):
    return [
        SweepPoint(seed=seed, step=step, lr=LR[step], loss=loss)
        for seed, losses in enumerate(losses_of_seeds)
        for step, loss in enumerate(losses)
    ]


def test_several_seeds_make_a_band_up_to_the_first_end():
    settings = SweepConfig(smoothing="rolling", window=2)
    made = lr_finder.curve(points([4.0, 2.0, 2.0, 9.0], [2.0, 4.0, None]), settings)
    assert made.lrs == LR[:3]
    assert made.losses[:2] == [3.0, 3.0] and math.isnan(made.losses[2])
    assert (made.low[:2], made.smoothed[:2], made.high[:2]) == ([2.0, 3.0], [3.0, 3.0], [4.0, 3.0])
    assert lr_finder.curve([], settings) == lr_finder.Curve([], [], [], [], [])
