import pytest

from catfish_core.config import OptimizerConfig, SweepConfig
from catfish_core.events import Advised, ProbeEnd, SweepPoint, SweepStarted
from catfish_core.training import lr_finder
from catfish_ui import sweep_reading
from catfish_ui.sweep_progress import SweepProgress
from catfish_ui.sweep_reading import meaning, rate, times, zone

ADAM, SGD = OptimizerConfig(name="adam"), OptimizerConfig(name="sgd")


@pytest.fixture
def found(sweeping):
    return read(sweeping())


def read(events):
    progress = SweepProgress(SweepConfig())
    for event in events:
        progress.take(event)
    return progress.findings


def probe(name, lr, val_loss, loss=0.6, accuracy=0.7):
    return ProbeEnd(name=name, lr=lr, loss=loss, val_loss=val_loss, val_accuracy=accuracy, steps=50)


def started(rates, note=""):
    return SweepStarted(steps=100, seeds=1, rates=rates, device="cpu", samples=400, batches=7, note=note)


def test_every_rate_lies_in_a_phase(found):
    small, edge, low = found.phases.too_small_until, found.phases.diverges_from, found.lowest[0]
    assert zone(1e-6, found) == zone(small, found) == "too small"
    assert zone(small * 1.1, found) == zone(low, found) == "learning"
    assert zone((low * edge) ** 0.5, found) == "edge"
    assert zone(edge, found) == zone(1.0, found) == "diverging"


def test_too_small_is_told_by_what_it_costs(found):
    said = meaning(1e-6, found, ADAM)
    factor = times(found.advice.rate / 1e-6)
    assert said.title.startswith("Too small") and factor in said.text and rate(found.advice.rate) in said.text


def test_learning_is_told_with_how_far_it_is_from_exploding(found):
    edge = found.phases.diverges_from
    assert "far enough away" in meaning(found.advice.rate, found, ADAM).text
    assert "may stumble" in meaning(min(edge / 3, found.lowest[0]), found, ADAM).text


def test_the_edge_is_told(found):
    said = meaning((found.lowest[0] * found.phases.diverges_from) ** 0.5, found, ADAM)
    assert said.title == "At the edge" and rate(found.phases.diverges_from) in said.text


@pytest.mark.parametrize(("optimizer", "why"), [(SGD, "slope times the rate"), (ADAM, "however gentle the slope")])
def test_why_it_explodes_depends_on_the_optimizer(found, optimizer, why):
    said = meaning(found.phases.diverges_from * 1.2, found, optimizer)
    assert said.title == "Too big: the loss explodes" and why in said.text and "Measured:" in said.text


def test_beyond_where_the_sweep_gave_up_its_last_loss_is_told(found):
    last = found.curve.lrs[-1]
    assert last < 1 and f"pulled the brake at {rate(last)}" in meaning(1.0, found, ADAM).text


def test_a_loss_that_left_the_numbers_is_told():
    losses = [1.0] * 40 + [1.0 - 0.02 * n for n in range(30)] + [3.0, 9.0, 30.0, None]
    found = read(SweepPoint(seed=0, step=n, lr=10 ** (-6 + n / 16), loss=loss) for n, loss in enumerate(losses))
    edge, last = found.phases.diverges_from, found.curve.lrs[-1]
    assert edge < last
    assert "no longer a number here" in meaning(last, found, ADAM).text
    assert "no longer a number" in meaning(last * 2, found, ADAM).text


def test_what_is_not_known_yet_is_not_claimed(found, sweeping):
    growing = read(sweeping(made=10))
    assert meaning(0.1, growing, ADAM, active=True).zone == "unknown"
    assert "has not come this far" in meaning(0.1, growing, ADAM, active=True).text
    assert "never fell" in meaning(1e-6, growing, ADAM).text


def test_a_curve_without_an_explosion_says_where_it_ended(sweeping):
    found = read(sweeping(SweepConfig(), made=75))
    assert found.phases.diverges_from is None
    assert "The sweep ended at" in meaning(1.0, found, ADAM).text
    assert "never got to where it explodes" in meaning(found.advice.rate, found, ADAM).text


@pytest.mark.parametrize(
    ("factor", "said"),
    [(1.52, "1.5 times"), (3, "about 3 times"), (12.4, "about 12 times"), (1234.0, "about 1,200 times")],
)
def test_factors_as_a_person_says_them(factor, said):
    assert times(factor) == said


def test_rates_have_two_digits():
    assert [rate(0.0008123), rate(1e-5), rate(0.25)] == ["0.00081", "1e-05", "0.25"]


def test_every_suggestion_is_explained():
    assert set(sweep_reading.ABOUT) == set(lr_finder.SUGGESTIONS)


def test_whose_rate_the_axis_shows_is_told_where_parts_differ():
    assert sweep_reading.noted(None) == sweep_reading.noted(started({"all weights": 1.0})) == ""
    said = sweep_reading.noted(started({"layer3": 1 / 9, "layer4": 1 / 3, "fc": 1.0}, "One batch."))
    assert "layer3 at 1/9 and layer4 at 1/3 of it" in said and said.endswith("One batch.")


def test_the_trial_with_the_lowest_validation_loss_is_the_best():
    trials = [probe("valley", 1e-3, 0.6), probe("steepest", 3e-3, 0.4, accuracy=0.9), probe("minimum", 1e-2, None)]
    assert sweep_reading.best_probe(trials).name == "steepest"
    said = sweep_reading.probed(trials)
    assert "0.003" in said and "90" in said and "lowest of the 3" in said


def test_trials_that_all_exploded_are_told():
    assert sweep_reading.best_probe([]) is None
    assert "all of these rates are too big" in sweep_reading.probed([probe("valley", 1, None, None, None)])


def test_a_recommended_rate_is_never_called_too_small(sweeping):
    advice = Advised(recommended="slide", rate=2e-5, reason="slide did best.", suggestions={"slide": 2e-5})
    said = meaning(2e-5, read([*sweeping(), advice]), ADAM)
    assert said.title.startswith("Recommended") and "Slide did best." in said.text
