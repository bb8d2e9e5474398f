import json
import math

import pytest

from catfish_core.config import SweepConfig
from catfish_core.events import SweepPoint
from catfish_ui import sweep_charts
from catfish_ui.sweep_progress import SweepProgress


def read(events, settings=None):
    progress = SweepProgress(settings or SweepConfig())
    for event in events:
        progress.take(event)
    return progress.findings


def traces(figure):
    return {trace.get("name"): trace for trace in figure["data"]}


@pytest.mark.parametrize(
    "settings",
    [
        SweepConfig(),
        SweepConfig(scale="linear", init=1e-3, final=0.2),
        SweepConfig(seeds=3, val_every=10),
        SweepConfig(smoothing="rolling", divergence=None),
    ],
)
@pytest.mark.parametrize("made", [0, 1, 40, None])
def test_figures_are_plain_json_without_nan(sweeping, settings, made):
    found = read(sweeping(settings, made), settings)
    figure = sweep_charts.curve(found, settings, {"<b>earlier</b>": found.curve})
    json.dumps(figure, allow_nan=False)
    assert "&lt;b&gt;earlier" in figure["data"][0]["name"]


def test_a_loss_that_is_no_number_leaves_a_gap_and_the_axis_as_it_was():
    points = [SweepPoint(seed=0, step=n, lr=10 ** (n - 6), loss=None if n == 3 else 1.0) for n in range(4)]
    figure = sweep_charts.curve(read(points), SweepConfig())
    assert traces(figure)["each step"]["y"] == [1, 1, 1, None]
    assert figure["layout"]["yaxis"]["range"][0] < 1 < figure["layout"]["yaxis"]["range"][1] < 3


def test_the_three_phases_follow_one_another(sweeping):
    found = read(sweeping())
    layout = sweep_charts.curve(found, SweepConfig())["layout"]
    grounds = [shape for shape in layout["shapes"] if shape["type"] == "rect"]
    borders = [found.phases.too_small_until, found.phases.diverges_from]
    assert [(s["x0"], s["x1"]) for s in grounds] == [(1e-6, borders[0]), tuple(borders), (borders[1], 1.0)]
    names = [note["text"] for note in layout["annotations"][:3]]
    assert names == ["too small", "learning", "diverging"]


def test_every_suggestion_is_a_marker_on_the_curve_with_its_name(sweeping):
    found = read(sweeping())
    figure = sweep_charts.curve(found, SweepConfig())
    there = {name: at for name, at in found.advice.suggestions.items() if at is not None}
    marks = traces(figure)["suggestions"]
    assert sorted(marks["x"]) == pytest.approx(sorted(there.values()), rel=1e-5)
    assert marks["y"] == pytest.approx([found.at(at) for at in sorted(there.values())], rel=1e-5)
    labels = figure["layout"]["annotations"][3:]
    assert {note["text"].replace("<b>", "").replace("</b>", "") for note in labels} == {n.capitalize() for n in there}
    assert [note["text"] for note in labels if "<b>" in note["text"]] == [
        f"<b>{found.advice.recommended.capitalize()}</b>"
    ]
    assert len({note["y"] for note in labels}) == len(there)  # each has a row


def test_labels_stand_where_the_axis_counts_in_decades_or_not(sweeping):
    found = read(sweeping())
    (note, *_) = sweep_charts.curve(found, SweepConfig())["layout"]["annotations"][3:]
    assert note["x"] == pytest.approx(math.log10(min(at for at in found.advice.suggestions.values() if at)))
    linear = SweepConfig(scale="linear", init=1e-3, final=0.2)
    layout = sweep_charts.curve(read(sweeping(linear), linear), linear)["layout"]
    assert layout["xaxis"]["range"][1] == pytest.approx(0.2, rel=0.05) and "type" not in layout["xaxis"]


def test_seeds_are_a_filled_band_and_validation_a_line(sweeping):
    settings = SweepConfig(seeds=2, val_every=5)
    shown = traces(sweep_charts.curve(read(sweeping(settings), settings), settings))
    assert shown["seeds"]["fill"] == "tonexty" and shown["validation"]["y"]
    assert "seeds" not in traces(sweep_charts.curve(read(sweeping()), SweepConfig()))


def test_the_ball_overshoots_to_the_same_height_where_the_loss_begins_to_explode():
    assert [abs(x) for x in sweep_charts.path(1.0, adaptive=False)] == pytest.approx([1.0] * 41)
    assert [abs(x) for x in sweep_charts.path(1.0, adaptive=True)] == pytest.approx([1.0] * 41)


@pytest.mark.parametrize(
    ("ratio", "adaptive", "said"),
    [
        (1e-4, False, "hardly moved"),
        (1e-4, True, "hardly moved"),
        (0.02, False, "at the bottom"),
        (0.01, False, "on its way"),
        (0.03, True, "at the bottom"),
        (1.0, True, "from side to side"),
        (1.3, False, "Thrown out of the valley"),
        (20.0, True, "Thrown out of the valley at step 1"),
    ],
)
def test_where_the_ball_lands(ratio, adaptive, said):
    assert said in sweep_charts.landed(ratio, adaptive)


def test_the_valley_is_plain_json_however_far_the_ball_flies():
    json.dumps(sweep_charts.valley(1e6, 1e-6, adaptive=False), allow_nan=False)
