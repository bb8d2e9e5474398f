import math

import pytest

from catfish_core.config import SweepConfig
from catfish_core.events import Advised, Preparing, ProbeEnd, SweepEnded, SweepPoint
from catfish_core.training import lr_finder
from catfish_ui.sweep_progress import SweepProgress


def told(events, settings=None):
    progress = SweepProgress(settings or SweepConfig())
    for event in events:
        progress.take(event)
    return progress


def point(step, loss, seed=0, val=None):
    return SweepPoint(seed=seed, step=step, lr=10.0 ** (step - 6), loss=loss, val_loss=val)


def test_nothing_is_found_before_anything_is_measured():
    found = told([Preparing(what="Starting up")]).findings
    assert found.curve.lrs == [] and found.lowest is None and found.at(0.1) is None
    assert found.advice.suggestions == {} and found.phases.too_small_until is None


def test_the_curve_is_the_engines(sweeping):
    events = list(sweeping())
    points = [event for event in events if isinstance(event, SweepPoint)]
    found = told(events).findings
    assert found.curve == lr_finder.curve(points, SweepConfig())
    assert found.phases == lr_finder.phases(*lr_finder.settled(found.curve.lrs, found.curve.smoothed))
    assert found.advice == lr_finder.advise(found.curve.lrs, found.curve.smoothed)
    assert found.phases.too_small_until < found.advice.rate < found.phases.diverges_from


def test_a_curve_that_has_only_begun_says_nothing_yet(sweeping):
    found = told(sweeping(made=20)).findings
    assert len(found.curve.lrs) == 20
    assert found.advice.suggestions == {} and found.phases.diverges_from is None


def test_what_the_sweep_itself_advised_counts(sweeping):
    advice = Advised(recommended="slide", rate=0.5, reason="so it is.", suggestions={"slide": 0.5})
    found = told([*sweeping(), advice]).findings
    assert (found.advice.recommended, found.advice.rate, found.advice.reason) == ("slide", 0.5, "so it is.")


def test_findings_are_worked_out_once_for_the_same_measurements(sweeping):
    progress = told(sweeping(made=30))
    first = progress.findings
    progress.take(Preparing(what="Trying the rate 0.001", done=3, total=50, unit="steps"))
    assert progress.findings is first
    progress.take(point(30, 0.5))
    assert progress.findings is not first


def test_seeds_give_a_band_and_the_one_on_its_way_a_line_of_its_own(sweeping):
    settings = SweepConfig(seeds=3)
    events = list(sweeping(settings))
    end = max(n for n, event in enumerate(events) if isinstance(event, SweepEnded))
    third = [n for n, event in enumerate(events) if isinstance(event, SweepPoint) and event.seed == 2]
    on_its_way = told(events[: third[9] + 1], settings).findings
    assert len(on_its_way.running[0]) == 10 and len(on_its_way.curve.lrs) > 50
    whole = told(events[: end + 1], settings).findings
    assert whole.running == ([], [])
    assert all(low <= mean <= high for low, mean, high in zip(whole.curve.low, whole.curve.smoothed, whole.curve.high,
                                                              strict=True))  # fmt: skip


def test_a_seed_stopped_on_its_way_does_not_shorten_the_curve(sweeping):
    settings = SweepConfig(seeds=2)
    events = [event for event in sweeping(settings) if getattr(event, "seed", 0) == 0]
    events += [point(0, 0.7, seed=1), SweepEnded(seed=1, reason="stopped", steps=1)]
    assert len(told(events, settings).findings.curve.lrs) > 50


def test_a_first_sweep_that_was_stopped_is_used():
    events = [point(step, 1.0) for step in range(4)] + [SweepEnded(seed=0, reason="stopped", steps=4)]
    assert len(told(events).findings.curve.lrs) == 4


def test_another_attempt_begins_from_the_beginning(sweeping):
    probe = ProbeEnd(name="valley", lr=0.1, loss=1, val_loss=1, val_accuracy=0.5, steps=50)
    progress = told([*sweeping(), probe, Preparing(what="Starting up"), point(0, 0.7)])
    assert progress.made == 1 and progress.probes == [] and progress.ends == {}


def test_losses_that_are_no_numbers_end_what_is_known():
    found = told([point(0, 1.0), point(1, 0.5), point(2, None)], SweepConfig(beta=0)).findings
    assert found.at(1e-5) == pytest.approx(0.5) and found.at(1e-4) is None
    assert math.isnan(found.curve.smoothed[2]) and found.lowest == (1e-5, pytest.approx(0.5))


def test_validation_is_the_mean_over_the_seeds():
    events = [point(0, 1.0, 0, 2.0), point(1, 1.0), point(0, 1.0, 1, 4.0), point(1, 1.0, 1)]
    ends = [SweepEnded(seed=seed, reason="finished", steps=2) for seed in (0, 1)]
    assert told([*events, *ends]).findings.val == ([1e-6], [3.0])
