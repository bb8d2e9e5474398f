from pathlib import Path

from catfish_core.data.library import Split
from catfish_core.serving.client import Answer
from catfish_ui import answers, results, samples


def split(labels):
    return Split(tuple(Path(str(i)) for i in range(len(labels))), tuple(labels), tuple(map(str, range(len(labels)))))


def test_classes_take_turns():
    chosen = samples.spread(split([0] * 50 + [1] * 50), 2, 6)
    assert [place >= 50 for place in chosen] == [False, True] * 3 and len(set(chosen)) == 6


def test_another_turn_shows_others():
    photos = split([0] * 50 + [1] * 50)
    assert not set(samples.spread(photos, 2, 6, 0)) & set(samples.spread(photos, 2, 6, 1))


def test_few_photos_and_many_classes():
    assert samples.spread(split([]), 2, 6) == []
    assert len(samples.spread(split([0, 1]), 2, 6)) == 2
    assert len(samples.spread(split(list(range(1000))), 1000, 6)) == 6


def test_mistakes_are_the_surest_wrong_answers():
    report = {
        "classes": ["cat", "fish"],
        "predictions": [
            {"name": "a", "label": 0, "predicted": 1, "probabilities": [0.4, 0.6]},
            {"name": "b", "label": 0, "predicted": 0, "probabilities": [0.9, 0.1]},
            {"name": "c", "label": 1, "predicted": 0, "probabilities": [0.8, 0.2]},
            {"name": "d", "label": 1, "predicted": 0, "probabilities": [None, None]},
        ],
    }
    found = results.mistakes(report)
    assert [(m.index, m.name, m.label, m.predicted, m.sure) for m in found] == [
        (2, "c", "fish", "cat", 0.8),
        (0, "a", "cat", "fish", 0.6),
        (3, "d", "fish", "cat", 0.0),
    ]


def test_mix_ups_are_the_most_frequent():
    assert results.mix_ups([[5, 1, 0], [3, 5, 0], [0, 0, 5]]) == [(1, 0, 3), (0, 1, 1)]


def test_an_answer_in_words():
    said = Answer(
        "x.jpg", label="cat", probabilities={f"c{i}": 0.01 for i in range(8)} | {"cat": 0.92}, photo_jpeg=b"j"
    )
    card = answers.card(said, truth="fish")
    assert card["label"] == "cat" and card["sure"] == "92 %, quite sure" and card["truth"] == "really fish"
    assert card["bars"][0] == {"name": "cat", "value": 0.92, "text": "92.0 %"} and len(card["bars"]) == 5
    assert card["rest"] == "and 4 other classes: 4.0 %" and card["heatmap"] is None and card["note"] == ""


def test_a_network_without_convolutions_says_what_its_heatmap_is():
    said = Answer(
        "x", label="cat", probabilities={"cat": 1.0}, heatmap_png=b"p", method="input-gradients", target="fish"
    )
    assert "pixels" in answers.card(said)["note"] and "“fish”" in answers.card(said)["note"]
