"""The learning-rate page in every state a sweep can be in."""

import json

import pytest

from catfish_core import sweeps
from catfish_core.config import SweepConfig
from catfish_core.events import Advised, Failed, Preparing, Stopped, SweepCompleted, SweepEnded
from catfish_core.serving import client

PAGE = "learning_rate"


def components(app) -> list:
    """What the browser components of a page were given."""
    protos = [getattr(element, "proto", None) for element in app.main]
    return [
        json.loads(proto.json or proto.mixed.json or "null")
        for proto in protos
        if type(proto).__name__ == "BidiComponent"
    ]


def line(app) -> dict:
    """What the curve with the line to drag was given."""
    return next(data for data in components(app) if data and "chips" in data)


def said(app) -> str:
    """All the text of a page, without the escapes of Markdown."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error")
    return "\n".join(str(each.value) for kind in kinds for each in getattr(app, kind)).replace("\\", "")


def test_an_empty_workspace_explains_and_offers_a_sweep(open_page):
    app = open_page(PAGE)
    assert "how big the steps are" in said(app) and not app.error
    assert not app.button(key="sweep_start").disabled and not components(app)


def test_sweep_takes_the_train_form_and_the_settings_as_they_are(open_page, no_processes):
    app = open_page("train")
    app.number_input(key="train_training.batch_size").set_value(16).run()
    app.selectbox(key="train_optimizer.name").set_value("sgd").run()
    app.switch_page("../pages/learning_rate.py").run()
    app.number_input(key="sweep_form_steps").set_value(40).run()
    app.selectbox(key="sweep_form_smoothing").set_value("rolling").run()
    app.number_input(key="sweep_form_window").set_value(7).run()
    app.button(key="sweep_start").click().run()
    assert not app.exception
    (sweep,) = no_processes
    config, settings = sweep.config(), sweep.settings()
    assert (config.training.batch_size, config.optimizer.name) == (16, "sgd")
    assert (settings.steps, settings.smoothing, settings.window) == (40, "rolling", 7)
    assert app.query_params["sweep"] == sweep.id and "Next in line" in said(app).replace("\\", "")


def test_augmentations_are_swept_only_where_they_are_used(open_page, monkeypatch, no_processes):
    monkeypatch.setattr(client, "augmented", lambda *args, **kwargs: [])
    app = open_page("augment")
    app.button(key="augment_recommended").click().run()
    app.switch_page("../pages/learning_rate.py").run()
    app.button(key="sweep_start").click().run()
    app.switch_page("../pages/train.py").run()
    app.toggle(key="train_augment").set_value(False).run()
    app.switch_page("../pages/learning_rate.py").run()
    app.button(key="sweep_start").click().run()
    assert not app.exception
    assert [bool(sweep.config().augment.steps) for sweep in no_processes] == [True, False]


def test_rates_that_do_not_rise_are_said_before_anything_runs(open_page, no_processes):
    app = open_page(PAGE)
    app.number_input(key="sweep_form_init").set_value(2.0).run()
    assert "must be lower than the final rate" in app.error[0].value
    assert app.button(key="sweep_start").disabled and not no_processes


def test_settings_that_cannot_be_trained_are_said_before_anything_runs(open_page):
    app = open_page("train")
    app.selectbox(key="train_model.arch").set_value("inception_v3").run()
    app.number_input(key="train_data.image_size").set_value(32).run()
    app.switch_page("../pages/learning_rate.py").run()
    assert "75 px" in app.error[0].value and app.button(key="sweep_start").disabled


def test_a_sweep_on_its_way_up_can_be_stopped(open_page, make):
    sweep = make.sweep([Preparing(what="Starting up")])
    (sweep.attempt / "started.json").unlink()
    app = open_page(PAGE, sweep=sweep.id)
    assert "Next in line" in said(app).replace("\\", "")
    app.button(key="sweep_stop").click().run()
    assert sweep.wished("stop") and app.button(key="sweep_stop").disabled


def test_a_running_sweep_draws_what_it_has(open_page, make, sweeping, monkeypatch):
    sweep = make.sweep(sweeping(made=30))
    monkeypatch.setattr(sweeps.Sweep, "alive", lambda self: True)
    app = open_page(PAGE, sweep=sweep.id)
    assert "Step 30 of 100" in said(app) and not app.button(key="sweep_stop").disabled
    smooth = next(trace for trace in line(app)["figure"]["data"] if trace["name"] == "smoothed")
    assert len(smooth["x"]) == 30 and "has not come this far" in said(app)
    sweep.stop()
    app.run()
    assert "Stopping. What has been measured is kept" in said(app)


def test_a_finished_sweep_recommends_with_its_reason(open_page, make):
    sweep = make.finished_sweep()
    app = open_page(PAGE, sweep=sweep.id)
    advice = sweeps.summary(sweep).advised
    assert f"Take {advice.rate:.2g}" in said(app) and "validation loss is the lowest" in said(app)
    given = line(app)
    assert given["rate"] == float(f"{advice.rate:.2g}") and (given["low"], given["high"]) == (1e-6, 1.0)
    assert [zone["name"] for zone in given["zones"]] == ["too small", "learning", "edge", "diverging"]
    assert [chip["best"] for chip in given["chips"]].count(True) == 1
    assert "In the learning phase" in said(app) and "Tried out" in said(app)


def test_the_rate_is_carried_into_the_train_form(open_page, make):
    sweep = make.finished_sweep()
    app = open_page("train")
    app.number_input(key="train_training.epochs").set_value(33).run()
    app.query_params["sweep"] = sweep.id
    app.switch_page("../pages/learning_rate.py").run()
    app.button(key="sweep_use").click().run()
    assert not app.exception and app.title[0].value == "Train a network"
    best = sweeps.summary(sweep).advised.rate
    assert app.number_input(key="train_optimizer.lr").value == float(f"{best:.2g}")
    assert app.number_input(key="train_training.epochs").value == 33


def test_a_rate_of_other_settings_brings_them_along(open_page, make):
    sweep = make.finished_sweep({"optimizer": {"name": "sgd"}, "training": {"batch_size": 16}})
    app = open_page(PAGE, sweep=sweep.id)
    assert "The Train form has other settings" in said(app)
    app.button(key="sweep_use").click().run()
    assert app.selectbox(key="train_optimizer.name").value == "sgd"
    assert app.number_input(key="train_training.batch_size").value == 16
    assert app.number_input(key="train_optimizer.lr").value == float(f"{sweeps.summary(sweep).advised.rate:.2g}")


def test_none_is_explained(open_page, make, sweeping):
    reason = "The loss never fell: try a higher final rate."
    none = Advised(recommended=None, rate=None, reason=reason, suggestions={"valley": None})
    ended = SweepEnded(seed=0, reason="finished", steps=20)
    app = open_page(PAGE, sweep=make.sweep([*sweeping(made=20), ended, none, SweepCompleted(seconds=3)]).id)
    assert "No rate to recommend" in said(app) and "never fell: try a higher final rate" in said(app)
    assert not app.error and line(app)["chips"] == []


def test_a_stopped_sweep_uses_what_it_has(open_page, make, sweeping):
    stopped = Stopped(epoch=0, kept_epoch=None, seconds=2)
    app = open_page(PAGE, sweep=make.sweep([*sweeping(made=70), stopped]).id)
    assert "Stopped, as you asked" in said(app) and line(app)["chips"]
    app = open_page(PAGE, sweep=make.sweep([stopped]).id)
    assert "not measured anything yet" in said(app) and not [data for data in components(app) if "chips" in data]


@pytest.mark.parametrize("made", [0, 30])
def test_a_failed_sweep_says_what_and_how_on(open_page, make, sweeping, no_processes, made):
    failed = Failed(what="There was not enough memory.", hint="Halve the batch size.")
    sweep = make.sweep([*sweeping(made=made), failed])
    app = open_page(PAGE, sweep=sweep.id)
    assert "There was not enough memory" in said(app) and "Halve the batch size" in said(app)
    app.button(key="sweep_resume").click().run()
    assert no_processes == [sweep]


def test_an_interrupted_sweep_can_be_made_again(open_page, make, sweeping, no_processes):
    sweep = make.sweep(sweeping(made=30))
    app = open_page(PAGE, sweep=sweep.id)
    assert "interrupted" in said(app)
    app.button(key="sweep_resume").click().run()
    assert no_processes == [sweep]


def test_the_newest_sweep_of_the_same_settings_is_shown_without_a_link(open_page, make):
    make.finished_sweep()
    make.finished_sweep({"data": {"image_size": 32}})
    app = open_page(PAGE)
    assert "The sweep" in [each.value for each in app.header]
    assert [each.value for each in app.caption if "px" in each.value][0].endswith("64 px, Adam, 64 photos a step")


def test_earlier_sweeps_of_the_same_settings_are_laid_under_the_curve(open_page, make):
    other = make.finished_sweep({"training": {"seed": 7}})
    make.finished_sweep({"data": {"image_size": 32}})
    sweep = make.finished_sweep()
    app = open_page(PAGE, sweep=sweep.id)
    names = [trace["name"] for trace in line(app)["figure"]["data"]]
    assert sum("seed 7" in name for name in names) == 1 and len(names) == 4
    tables = [data for data in components(app) if "rows" in data and data["remove"]]
    assert [len(table["rows"]) for table in tables] == [2, 1]
    assert {row["id"] for row in tables[0]["rows"]} == {sweep.id, other.id}


def test_parts_with_rates_of_their_own_are_told(open_page, make, sweeping):
    sweep = make.sweep(sweeping(made=40, rates={"layer4": 1 / 3, "fc": 1.0}))
    assert "rate of the head" in said(open_page(PAGE, sweep=sweep.id))


@pytest.mark.parametrize("id", ["../../etc", "20260101-000000-x-<b>", "nothing"])
def test_a_link_to_no_sweep_gets_a_sentence(open_page, id):
    app = open_page(PAGE, sweep=id)
    assert "There is no sweep called" in app.error[0].value and len(app.error) == 1


@pytest.mark.parametrize("file", ["config.json", "sweep.json"])
def test_a_damaged_sweep_is_a_sentence(open_page, make, file):
    sweep = make.finished_sweep()
    (sweep.path / file).write_text("{ not json")
    app = open_page(PAGE, sweep=sweep.id)
    assert "cannot be read" in app.error[0].value and not app.exception
    (table,) = [data for data in components(app) if "rows" in data and data["remove"]]
    assert "damaged" in json.dumps(table["rows"])


def test_many_sweeps_are_listed_page_by_page(open_page, make):
    for _ in range(12):
        make.sweep([SweepCompleted(seconds=1)], SweepConfig())
    app = open_page(PAGE)
    (table,) = [data for data in components(app) if "rows" in data]
    assert len(table["rows"]) == 10


def test_the_train_form_leads_here(open_page):
    app = open_page("train")
    links = [element for element in app.main if type(getattr(element, "proto", None)).__name__ == "PageLink"]
    assert "Find a good one" in [link.proto.label for link in links]
