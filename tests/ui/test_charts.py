import json
import math

import pytest

from catfish_core.events import EpochEnd
from catfish_ui import charts
from catfish_ui.progress import Break, Thinned


def epochs(count):
    return [
        EpochEnd(
            epoch=i,
            train_loss=1 / (i + 1),
            train_accuracy=0.5,
            val_loss=math.nan if i == 1 else 0.5,
            val_accuracy=0.6,
            lr=0.1,
            seconds=1,
            images_per_second=1,
            improved=True,
            best_epoch=i,
            best_val_accuracy=0.6,
        )
        for i in range(count)
    ]


def curve(count):
    made = Thinned()
    for x in range(count):
        made.add(x, math.inf if x == 3 else 1 / (x + 1))
    return made


@pytest.mark.parametrize(
    "figure",
    [
        charts.batch_loss(curve(10), 5),
        charts.learning_rate(curve(10), 5),
        charts.losses(epochs(3), 5, overfitting=2),
        charts.accuracies(epochs(3), 5),
        charts.accuracies([], 5),
        charts.confusion([[3, 1], [0, 0]], ["a", "b"]),
    ],
)
def test_figures_are_plain_json_without_nan(figure):
    assert set(figure) == {"data", "layout"}
    json.dumps(figure, allow_nan=False)


def test_what_is_no_number_leaves_a_gap():
    assert charts.batch_loss(curve(5), 5)["data"][0]["y"][3] is None
    assert charts.losses(epochs(3), 5)["data"][1]["y"][1] is None


def test_epochs_count_from_one_and_the_axis_is_as_long_as_the_run():
    figure = charts.losses(epochs(3), 10)
    assert figure["data"][0]["x"] == [1, 2, 3] and figure["layout"]["xaxis"]["range"][1] >= 10


def test_many_points_are_thinned_but_the_last_is_shown():
    shown = charts.thin(list(range(9_999)))
    assert len(shown) <= 2001 and shown[0] == 0 and shown[-1] == 9_998
    assert charts.thin([]) == [] and charts.thin([1, 2]) == [1, 2]
    assert len(charts.thin([1, math.nan])) == 2  # a last value that is no number equals nothing, not even itself


def test_overfitting_is_marked():
    assert charts.losses(epochs(3), 3, overfitting=2)["layout"]["shapes"][0]["x0"] == 2
    assert "shapes" not in charts.losses(epochs(3), 3)["layout"]


def test_interruptions_are_marked_and_their_words_never_overlap():
    breaks = [Break(1.0, "paused"), Break(1.5, "interrupted"), Break(4.0, "stopped")]
    layout = charts.batch_loss(curve(5), 5, breaks)["layout"]
    assert [line["x0"] for line in layout["shapes"]] == [1.0, 1.5, 4.0]
    assert [(word["x"], word["text"].strip()) for word in layout["annotations"]] == [
        (1.0, "paused"),
        (4.0, "stopped"),
    ]
    assert "shapes" not in charts.batch_loss(curve(5), 5)["layout"]


def test_names_cannot_be_markup():
    figure = charts.confusion([[1, 0], [0, 1]], ["<b>x</b>", "a & b"])
    assert figure["layout"]["xaxis"]["ticktext"] == ["&lt;b&gt;x&lt;/b&gt;", "a &amp; b"]


def test_shades_are_parts_of_a_row():
    heat = charts.confusion([[3, 1], [0, 0]], ["a", "b"])["data"][0]
    assert heat["z"] == [[0.75, 0.25], [0.0, 0.0]] and heat["customdata"] == [[3, 1], [0, 0]]


def test_the_axis_grows_in_few_steps_and_never_beyond_the_run():
    assert [charts.horizon(done, 30) for done in (0, 9.5, 10, 19, 20, 30)] == [10, 10, 20, 20, 30, 30]
    assert charts.horizon(0, 8) == 8 and charts.horizon(0, 1) == 1 and charts.horizon(600, 10_000) == 1000
