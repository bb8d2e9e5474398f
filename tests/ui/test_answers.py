"""Predictions in words: sure, unsure, and where nothing was seen."""

import pytest

from catfish_core.serving.client import Answer
from catfish_ui import answers


def answered(p=0.9, **changes):
    known = {"name": "a.jpg", "label": "fish", "probabilities": {"fish": p, "cat": 1 - p}, "photo_jpeg": b"jpeg"}
    return Answer(
        **{**known, "heatmap_png": b"png", "layer": "conv3", "target": "fish", "method": "grad-cam", **changes}
    )


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0.996, "99.6 %, quite sure"),
        (0.62, "62 %, not very sure"),
        (0.4, "40 %, guessing"),
        (1.0, "100 %, quite sure"),
    ],
)
def test_certainty_in_words(p, words):
    assert answers.certainty(p) == words


def test_the_card_says_which_layer_and_class_the_heatmap_is_of():
    card = answers.card(answered())
    assert "“fish”" in card["note"] and "conv3" in card["note"] and card["heatmap"]


def test_an_empty_heatmap_is_a_sentence_not_a_dark_picture():
    card = answers.card(answered(heatmap_png=None))
    assert card["heatmap"] is None and "nothing on this photo speaks for “fish”" in card["note"]


def test_no_heatmap_asked_for_no_note():
    assert answers.card(answered(heatmap_png=None, method=None))["note"] == ""


def test_many_classes_are_summed_up():
    even = {f"class {n}": 1 / 8 for n in range(8)}
    card = answers.card(answered(probabilities=even, label="class 0"))
    assert len(card["bars"]) == answers.BARS and card["rest"] == "and 3 other classes: 37.5 %"
