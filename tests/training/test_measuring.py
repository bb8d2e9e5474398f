"""What a run takes, tried out: the line through two tries by hand, real configurations, and what cannot be told."""

import json
import time

import pytest
import torch

from catfish_core import estimate, runs
from catfish_core.augment import RandomHorizontalFlip
from catfish_core.config import AugmentConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.parts import PartsConfig
from catfish_core.training import measuring, session
from catfish_core.training.measuring import grown, line, measure

LITE = ModelConfig(arch="efficientnet_lite0", pretrained=True)
HEAD = PartsConfig(preset="head_only")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Every try once: what is measured is looked at, not how exactly."""
    for name in ("DECODING", "ROUNDS", "SHORT"):
        monkeypatch.setattr(measuring, name, 0.0)


def configured(**sections):
    return RunConfig(**({"data": DataConfig(dataset="tiny", image_size=32)} | sections))


def test_a_line_through_two_tries():
    assert line([(2, 0.5)], 8) == 2.0
    assert line([(2, 0.5), (8, 1.1)], 64) == pytest.approx(1.1 + 0.1 * 56)
    assert line([(2, 0.5), (8, 0.4)], 64) == 0.4  # more photos are not quicker


def tried(seconds, full, repeats=4):
    """The photos of each try of something that takes `seconds(n)` with all threads, and twice that with one."""
    counts, number = [], torch.get_num_threads()

    def take(count):
        counts.append(count)
        return seconds(count) * (number if torch.get_num_threads() == 1 else 1)

    return grown(take, full, repeats), counts


def test_what_is_quick_is_tried_as_it_is():
    assert tried(lambda n: 0.001 * n, 64) == (pytest.approx(0.064), [2, 64])
    assert tried(lambda n: 0.001, 1) == (0.001, [1, 1])


def test_what_is_slow_is_on_the_line_through_two_smaller_tries():
    seconds, counts = tried(lambda n: 0.3 + 0.1 * n, 64)
    assert seconds == pytest.approx(0.3 + 6.4) and counts[0] == 2 and max(counts) < 64 and len(counts) == 3


def test_what_is_very_slow_is_tried_once_with_two_photos():
    seconds, counts = tried(lambda n: 5.0 * n, 64)
    assert seconds == pytest.approx(320) and counts == [2]


@pytest.mark.parametrize(
    "wanted",
    [
        configured(),
        configured(augment=AugmentConfig(steps=(RandomHorizontalFlip(),)), training=TrainingConfig(mix="either")),
        configured(model=LITE, parts=HEAD, augment=AugmentConfig(steps=(RandomHorizontalFlip(),))),
        configured(training=TrainingConfig(batch_size=5, ema_decay=0.9, loss="mse", patience=1)),
    ],
    ids=["plain", "augmented and mixed", "frozen and augmented", "averaged"],
)
def test_the_ordinary_path_has_its_figures(workspace, tiny_dataset, wanted):
    torch.manual_seed(1)
    found = measure(workspace, wanted, time.time() - 5)
    assert found.ready > 4.5 and found.features == 0 and not found.seen
    assert min(found.photo, found.step, found.checked, found.epoch) > 0
    assert not list(workspace.runs.glob("*")) and not list(workspace.features.glob("*"))  # it leaves nothing


def test_features_are_tried_and_known_when_they_are_there(workspace, tiny_dataset):
    wanted = configured(model=LITE, parts=HEAD, training=TrainingConfig(epochs=1, batch_size=8))
    before = measure(workspace, wanted, time.time())
    assert before.features > 0 and not before.seen
    list(session.train(runs.create(workspace, wanted), lambda: False))
    files = sorted(path.name for path in workspace.features.iterdir())
    assert measure(workspace, wanted, time.time()).seen
    assert sorted(path.name for path in workspace.features.iterdir()) == files


def test_the_book_is_measured_before_it_is_drawn(workspace):
    found = measure(workspace, RunConfig(data=DataConfig(image_size=16)), time.time())
    assert found.photo > 0.0005 and found.step > 0


@pytest.fixture
def wish(workspace, monkeypatch):
    """Write down a wish as a page does; and let the measuring process stay in this one."""
    monkeypatch.setattr(measuring, "_watch", lambda *_: None)
    monkeypatch.setattr(estimate, "spawn", lambda *arguments, log: None)

    def asked(wanted):
        estimate.ask(workspace, wanted)
        (path,) = workspace.estimates.glob("*.wish")
        return path.stem

    return asked


def test_a_wish_becomes_an_answer(workspace, tiny_dataset, wish):
    wanted = configured(training=TrainingConfig(epochs=7, batch_size=8))
    assert estimate.find(workspace, wanted) is None
    assert measuring.main([str(workspace.root), wish(wanted), str(time.time())]) == 0
    found = estimate.find(workspace, wanted)
    assert found.total > found.ready + 6.9 * found.epoch > 0 and not found.why
    assert not list(workspace.estimates.glob("*.wish"))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (configured(data=DataConfig(dataset="elsewhere")), "photos are not here"),
        (configured(model=ModelConfig(arch="resnet18", pretrained=True)), "weights are here"),
    ],
)
def test_what_cannot_be_told_is_a_sentence(workspace, tiny_dataset, wish, wanted, words):
    key = wish(wanted)
    assert measuring.main([str(workspace.root), key, str(time.time())]) == 1
    assert words in json.loads((workspace.estimates / f"{key}.json").read_text())["why"]


def test_a_fault_nobody_foresaw_is_an_answer_too(workspace, tiny_dataset, wish, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "measure", lambda *_: 1 / 0)
    assert measuring.main([str(workspace.root), wish(configured()), "0"]) == 1
    assert estimate.find(workspace, configured()).why == "How long it takes could not be measured."
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_wish_that_was_answered_meanwhile_is_not_answered_again(workspace, tiny_dataset, wish):
    key = wish(configured())
    estimate.answer(workspace, key, {"why": "Because."})
    assert measuring.main([str(workspace.root), key, "0"]) == 0
    assert estimate.find(workspace, configured()).why == "Because."
