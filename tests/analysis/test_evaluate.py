"""The test report: means over photos, every answer, JSON."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from catfish_core.analysis import evaluate as evaluation
from catfish_core.analysis.evaluate import evaluate
from catfish_core.errors import DatasetError

CPU = torch.device("cpu")


@pytest.fixture
def photos():
    torch.manual_seed(2)
    return torch.randn(7, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2, 0])


@pytest.fixture
def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 3))


def measured(model, images, labels, sizes, **options):
    batches = list(zip(images.split(sizes), labels.split(sizes), strict=True))
    names = [f"{k}.jpg" for k in range(len(labels))]
    return evaluate(model, batches, ("a", "b", "c"), names, F.cross_entropy, CPU, **options)


def test_means_are_over_photos_whatever_the_batches(model, photos):
    """The last batch of one must not weigh as much as the first of six."""
    report = measured(model, *photos, [6, 1])
    logits = model.eval()(photos[0])
    assert report.loss == pytest.approx(F.cross_entropy(logits, photos[1]).item(), rel=1e-5)
    assert report.accuracy == pytest.approx((logits.argmax(1) == photos[1]).float().mean().item())
    assert report.low <= report.accuracy <= report.high and report.samples == 7
    assert measured(model, *photos, [2, 2, 3]).loss == pytest.approx(report.loss, rel=1e-5)


def test_the_json_has_what_was_agreed(model, photos):
    read = json.loads(measured(model, *photos, [7]).to_json())
    assert set(read) == {
        "loss", "accuracy", "low", "high", "samples", "classes", "confusion", "per_class", "predictions",
    }  # fmt: skip
    assert [p["name"] for p in read["predictions"]] == [f"{k}.jpg" for k in range(7)]
    for p, label in zip(read["predictions"], photos[1].tolist(), strict=True):
        assert p["label"] == label and sum(p["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert p["predicted"] == max(range(3), key=p["probabilities"].__getitem__)
    assert sum(map(sum, read["confusion"])) == 7
    assert [set(c) for c in read["per_class"]] == [{"name", "precision", "recall", "support"}] * 3


def test_it_stops_when_asked_and_wants_photos(model, photos):
    assert measured(model, *photos, [7], should_stop=lambda: True) is None
    with pytest.raises(DatasetError):
        evaluate(model, [], ("a", "b"), [], F.cross_entropy, CPU)


def test_outputs_that_are_no_numbers_are_null(model, photos):
    """A network whose weights overflowed says nan; the report is JSON all the same."""
    images, labels = photos
    images[2] = float("inf")
    text = measured(model, images, labels, [7]).to_json()
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["loss"] is None and read["predictions"][2]["probabilities"] == [None] * 3
    assert sum(read["predictions"][0]["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_of_many_classes_only_the_highest_probability_is_told(model, photos, monkeypatch):
    every = measured(model, *photos, [7])
    monkeypatch.setattr(evaluation, "MANY", 2)
    report = measured(model, *photos, [7])
    assert [a.probabilities for a in report.predictions] == [(max(a.probabilities),) for a in every.predictions]
    assert report.per_class == every.per_class
