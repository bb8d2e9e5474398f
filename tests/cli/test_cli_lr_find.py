"""`lr-find`: options, the result for a person and for a program, the picture, and what it refuses."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from catfish_core import sweeps
from catfish_core.cli import lr_find, plot
from catfish_core.cli.parser import parser
from catfish_core.config import SweepConfig
from catfish_core.events import Advised
from catfish_core.training.lr_finder import Curve, ladder, phases

TINY = ["--dataset", "tiny", "--arch", "simple_net", "--image-size", "16", "--batch-size", "8", "--device", "cpu"]
QUICK = [*TINY, "--steps", "40", "--final", "10", "--probe-steps", "3"]


def test_without_options_the_settings_are_the_default():
    assert lr_find.sweep_settings(parser().parse_args(["lr-find"])) == SweepConfig()


def test_options_reach_their_fields():
    sweep = "lr-find --init 1e-4 --final 2 --steps 50 --scale linear --smoothing rolling --seeds 3"
    rest = "--divergence 9 --val-every 5 --probes 0 --probe-steps 7"
    made = lr_find.sweep_settings(parser().parse_args(f"{sweep} {rest}".split()))
    assert made == SweepConfig(
        init=1e-4, final=2, steps=50, scale="linear", smoothing="rolling", seeds=3, divergence=9, val_every=5,
        probes=0, probe_steps=7,
    )  # fmt: skip


def test_a_person_is_told_a_rate_and_why(run, workspace, tiny_dataset, tmp_path):
    picture = tmp_path / "curve.png"
    code, out, err = run("lr-find", *QUICK, "--plot", picture)
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert lines[0] == "24 photos in 3 batches, on cpu."
    assert any(line.startswith("  valley ") for line in lines)
    assert sum("is recommended:" in line for line in lines) >= 1
    assert lines[-1].startswith("Learning rate: ")
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG" and drawn.size == (plot.WIDTH, plot.HEIGHT)
    (listed,) = sweeps.listing(workspace)
    assert listed.status == "completed" and f"{listed.advised.rate:.2g}" in lines[-1]


def test_a_program_gets_one_document(run, tiny_dataset, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"data": {"dataset": "tiny", "image_size": 16}, "model": {"arch": "simple_net"}}))
    code, out, err = run("lr-find", path, "--batch-size", 8, "--steps", 40, "--final", 10, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["status"] == "completed"
    assert len(found["lrs"]) == len(found["losses"]) == len(found["smoothed"]) > 20
    assert set(found["suggestions"]) == {"valley", "steepest", "minimum", "course", "slide"}
    assert found["rate"] == found["suggestions"][found["recommended"]]
    assert found["recommended"] in found["reason"]
    assert set(found["phases"]) == {"too_small_until", "diverges_from"}
    for probe in found["probes"]:
        assert set(probe) == {"name", "lr", "loss", "val_loss", "val_accuracy", "steps"}


def test_where_none_is_found_the_exit_code_and_a_sentence_say_so(run, tiny_dataset, one_sentence):
    code, out, err = run("lr-find", *TINY, "--init", "1e-12", "--final", "1e-11", "--steps", "40", "--json")
    assert code == 1 and one_sentence(err) and "higher final rate" in err
    found = json.loads(out)
    assert found["rate"] is None and found["recommended"] is None and len(found["losses"]) == 40


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--init", "1", "--final", "0.1"], "must be lower than the final rate"),
        (["--init", "0"], "init: 0"),
        (["--init", "-1"], "init: -1"),
        (["--steps", "1"], "steps: 1"),
        (["--divergence", "0.5"], "divergence: 0.5"),
        (["--arch", "simple_cnn", "--frozen"], "frozen"),
        (["--arch", "resnet18", "--pretrained", "--set", "parts.preset=own"], "nothing to train"),
        (["--plot", "nowhere/at/all.png"], "There is no folder"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_runs(run, workspace, one_sentence, options, says):
    code, out, err = run("lr-find", *options)
    assert code == 2 and out == "" and one_sentence(err) and says in err
    assert sweeps.listing(workspace) == []


def test_a_missing_dataset_is_one_sentence(run, one_sentence):
    code, out, err = run("lr-find", "--dataset", "nothing-here")
    assert code == 1 and out == "" and one_sentence(err) and "nothing-here" in err


CURVE = [1.0, 0.9, 0.5, 0.2, 0.6, 3.0]


def drawn(losses, advised=None, log=True):
    lrs = ladder(SweepConfig(init=1e-5, final=1.0, steps=len(losses))) if len(losses) > 1 else [1e-5]
    curve = Curve(lrs, losses, losses, losses, losses)
    nothing = Advised(recommended=None, rate=None, reason="", suggestions={})
    return plot.draw(curve, phases(lrs, losses), advised or nothing, log=log)


def amount(picture, color):
    """How many pixels have about that colour, #rrggbb."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    near = [
        np.abs(np.asarray(picture)[..., channel].astype(int) - value) < 12 for channel, value in enumerate(wanted)
    ]
    return int((near[0] & near[1] & near[2]).sum())


def test_the_picture_shows_curve_phases_and_the_recommended_rate():
    advised = Advised(recommended="valley", rate=1e-3, reason="", suggestions={"valley": 1e-3, "course": None})
    picture = drawn(CURVE, advised)
    assert amount(picture, plot.LINE) > 500
    assert all(amount(picture, color) > 5000 for color, _ in plot.PHASES)
    assert amount(picture, plot.MARK) > 400 and amount(drawn(CURVE), plot.MARK) == 0
    middle = plot._Plane(1e-5, 1.0, 0.0, 1.0, log=True).x(1e-3)
    around = picture.crop((int(middle) - 3, plot.TOP, int(middle) + 4, plot.BOTTOM))
    assert amount(around, plot.MARK) > 400


def test_rates_lie_on_the_axis_by_their_logarithm_or_themselves():
    plane = plot._Plane(1e-5, 1.0, 0.0, 2.0, log=True)
    assert [plane.x(lr) for lr in (1e-5, 10**-2.5, 1.0)] == pytest.approx([80, 527.5, 975])
    assert [plane.y(loss) for loss in (0.0, 1.0, 2.0, 99.0)] == [510, 285, 60, 60]
    assert plot._Plane(0.1, 0.5, 0.0, 1.0, log=False).x(0.3) == pytest.approx(527.5)


@pytest.mark.parametrize(
    "losses", [[1.0], [1.0, 1.0], [math.nan], [0.7, math.nan], [0.0, 0.0, 0.0], [1e30, 1e-30, 1e30]]
)
@pytest.mark.parametrize("log", [True, False])
def test_any_curve_can_be_drawn(losses, log):
    assert drawn(losses, log=log).size == (plot.WIDTH, plot.HEIGHT)
