"""Every page through the router, on every kind of workspace: empty, with finished, broken and nastily named runs."""

import json

import pytest

from catfish_core import runs
from catfish_core.data import library
from catfish_core.events import BatchEnd, Failed, Preparing, Stopped

PAGES = ("home", "data", "augment", "train", "learning_rate", "runs", "run", "predict", "lab")


def shown(app) -> str:
    """All the text of a page, and the data its components were given."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "text", "info", "warning", "error", "success")
    texts = [str(element.value) for kind in kinds for element in getattr(app, kind)]
    told = "\n".join([*texts, *(json.dumps(data, ensure_ascii=False) for data in components(app))])
    return told.replace("\u00a0", " ")


def components(app) -> list:
    """What the browser components of a page were given."""
    found = []
    for element in app.main:
        proto = getattr(element, "proto", None)
        if type(proto).__name__ == "BidiComponent":
            found.append(json.loads(proto.json or proto.mixed.json or "null"))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_opens_on_an_empty_workspace(open_page, page):
    app = open_page(page)
    assert len(app.title) == 1
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_opens_with_a_finished_a_broken_and_a_damaged_run(open_page, make, page, events):
    make.finished()
    make.damaged()
    make.run([*events(2, planned=9), Stopped(epoch=2, kept_epoch=1, seconds=3)])
    make.run(events(2, planned=9))
    assert len(open_page(page).title) == 1


@pytest.mark.parametrize("page", ["home", "run", "runs", "predict", "train"])
def test_names_are_shown_as_they_are(open_page, make, page, nasty):
    name = "<script>alert(1)</script> **b** :smile:"
    run = make.finished(nasty, name=name)
    app = open_page(page, run=run.id)
    for element in app.markdown:
        assert "<script>" not in element.value and "<img" not in element.value
        assert not element.allow_html or "script" not in element.value


def test_home_trains_with_one_click(open_page, workspace, no_processes):
    app = open_page()
    app.button(key="home_train").click().run()
    assert not app.exception
    (run,) = no_processes
    config = run.config()
    assert (config.data.dataset, config.model.arch, config.data.image_size) == ("sketchbook", "simple_cnn", 64)
    assert config.optimizer.name == "adam" and config.optimizer.lr == 1e-3 and config.training.seed == 0
    assert app.query_params["run"] == run.id and "My first model" in shown(app)


def test_a_run_that_is_starting_says_so(open_page, make):
    run = make.run([Preparing(what="Starting up")])
    (run.attempt / "started.json").unlink()
    app = open_page("run", run=run.id)
    assert "Next in line" in shown(app).replace("\\", "")
    assert not app.button(key="run_stop").disabled


def test_stop_is_acknowledged_at_once(open_page, make):
    run = make.run([Preparing(what="Starting up")])
    (run.attempt / "started.json").unlink()
    app = open_page("run", run=run.id)
    app.button(key="run_stop").click().run()
    assert run.wished("stop")
    assert app.button(key="run_stop").disabled and app.button(key="run_stop").label == "Stopping…"


def test_a_finished_run_tells_its_result_in_words(open_page, make):
    app = open_page("run", run=make.finished().id)
    text = shown(app)
    assert "16 of 20 unseen photos right" in text and "between 71 % and 87 %" in text
    assert "Overfitting began with epoch 6" in text
    assert app.button(key="run_predict")


def test_a_finished_run_leads_to_predict(open_page, make):
    run = make.finished()
    app = open_page("run", run=run.id)
    app.button(key="run_predict").click().run()
    assert not app.exception and app.title[0].value == "What does it see?"
    assert app.query_params["run"] == run.id


def test_a_failed_run_says_what_and_how_on(open_page, make, events, no_processes):
    run = make.run([*events(2, planned=9), Failed(what="There was not enough memory.", hint="Halve the batch size.")])
    app = open_page("run", run=run.id)
    assert "There was not enough memory" in shown(app) and "Halve the batch size" in shown(app)
    app.button(key="run_resume").click().run()
    assert no_processes == [run]


def test_an_interrupted_run_can_go_on(open_page, make, events, no_processes):
    run = make.run(events(3, planned=9))
    app = open_page("run", run=run.id)
    assert "interrupted" in shown(app) and "3 epochs are safe" in shown(app)
    app.button(key="run_resume").click().run()
    assert no_processes == [run]


def test_a_run_that_failed_before_the_first_step_shows_no_empty_charts(open_page, make):
    app = open_page("run", run=make.run([Failed(what="No weights.", hint="")]).id)
    assert not [data for data in components(app) if data and "figure" in data]


def test_a_finished_run_draws_four_curves(open_page, make):
    app = open_page("run", run=make.finished().id)
    figures = [json.loads(data["figure"]) for data in components(app) if data and isinstance(data.get("figure"), str)]
    assert len(figures) == 4 and all(figure["data"][0]["x"] and figure["layout"] for figure in figures)


def test_settings_of_a_run_fill_the_form(open_page, make):
    run = make.finished(training={"epochs": 33, "patience": 5}, optimizer={"name": "sgd", "lr": 0.25})
    app = open_page("run", run=run.id)
    app.button(key="run_again").click().run()
    assert not app.exception and app.title[0].value == "Train a network"
    assert app.number_input(key="train_training.epochs").value == 33
    assert app.number_input(key="train_training.patience").value == 5
    assert app.number_input(key="train_optimizer.lr").value == 0.25


@pytest.mark.parametrize("id", ["../../etc", "20260101-000000-x-<b>", "nothing"])
def test_a_link_to_no_run_gets_a_sentence(open_page, id):
    app = open_page("run", run=id)
    assert "There is no run called" in app.error[0].value


def test_a_damaged_run_says_what_is_wrong(open_page, make):
    app = open_page("run", run=make.damaged().id)
    assert "cannot be read" in app.error[0].value


def test_training_with_the_values_shown(open_page, no_processes):
    app = open_page("train")
    app.selectbox(key="train_model.arch").set_value("efficientnet_lite0").run()
    assert app.segmented_control(key="train_parts.preset").value == "head_only"
    assert app.number_input(key="train_data.image_size").value == 128
    app.button(key="train_submit").click().run()
    assert not app.exception
    config = no_processes[0].config()
    assert (
        config.model.arch == "efficientnet_lite0"
        and config.parts.preset == "head_only"
        and config.training.epochs == 10
    )


def chosen(app):
    return app.segmented_control(key="train_parts.preset")


def test_the_parts_follow_the_preset_and_touching_one_makes_it_one_s_own(open_page, no_processes):
    app = open_page("train")
    app.selectbox(key="train_model.arch").set_value("resnet18").run()
    assert "**65,922** of 11,242,434 parameters" in shown(app)
    chosen(app).set_value("course").run()
    assert "**10,559,362** of 11,242,434 parameters" in shown(app)
    assert not app.toggle(key="train_part_layer2").value and app.toggle(key="train_part_layer3").value
    assert app.number_input(key="train_share_layer4").value == pytest.approx(1 / 3)
    app.toggle(key="train_part_layer3").set_value(False).run()
    app.number_input(key="train_share_layer4").set_value(0.5).run()
    assert chosen(app).value == "own" and "**8,459,650** of" in shown(app)
    app.button(key="train_submit").click().run()
    assert not app.exception
    parts = no_processes[0].config().parts
    assert (parts.preset, dict(parts.rates)) == ("own", {"layer4": 0.5, "fc": 1.0})


def test_the_parts_of_a_run_fill_the_form(open_page, make):
    parts = {"preset": "own", "rates": {"layer4": 0.2, "fc": 1.0}}
    run = make.finished(model={"arch": "resnet18", "pretrained": True}, parts=parts)
    app = open_page("run", run=run.id)
    app.button(key="run_again").click().run()
    assert not app.exception and chosen(app).value == "own"
    assert app.number_input(key="train_share_layer4").value == 0.2
    assert not app.toggle(key="train_part_conv1").value


def test_gradual_unfreezing_asks_how_often_and_shows_when(open_page):
    app = open_page("train")
    app.selectbox(key="train_model.arch").set_value("inception_v3").run()
    chosen(app).set_value("gradual").run()
    app.number_input(key="train_parts.every").set_value(4).run()
    assert not app.exception and "at first" in shown(app)
    assert "6,076,800 parameters, trained at 0.0005 from epoch 5 on" in shown(app)


def test_from_scratch_everything_learns_and_only_rates_are_asked(open_page):
    app = open_page("train")
    assert chosen(app).options == ["Everything", "My own"] and app.toggle(key="train_part_conv1").disabled
    app.selectbox(key="train_model.arch").set_value("resnet18").run()
    app.toggle(key="train_model.pretrained").set_value(False).run()
    assert chosen(app).value == "everything" and "All **11,177,538** parameters are trained" in shown(app)
    app.toggle(key="train_model.pretrained").set_value(True).run()
    assert chosen(app).value == "head_only" and not app.exception


def test_what_cannot_be_meant_is_said_before_training(open_page):
    app = open_page("train")
    app.selectbox(key="train_model.arch").set_value("inception_v3").run()
    app.number_input(key="train_data.image_size").set_value(32).run()
    assert "75 px" in app.error[0].value
    assert app.button(key="train_submit").disabled


def test_schedules_ask_what_matters_to_them(open_page):
    app = open_page("train")
    keys = {element.key for element in app.number_input}
    assert "train_schedule.step_size" not in keys and "train_optimizer.momentum" not in keys
    app.selectbox(key="train_schedule.kind").set_value("step").run()
    assert app.number_input(key="train_schedule.step_size").value == 10


def test_augmentations_go_along_to_training(open_page, monkeypatch, no_processes):
    from catfish_core.serving import client

    monkeypatch.setattr(client, "augmented", lambda *args, **kwargs: [])
    app = open_page("augment")
    app.button(key="augment_recommended").click().run()
    assert not app.exception
    app.button(key="augment_down_0").click().run()
    app.button(key="augment_remove_4").click().run()
    app.button(key="augment_train").click().run()
    assert "4 steps from the Augment page" in shown(app)
    app.switch_page("../pages/train.py").run()  # the test runner forgets where a page has sent it
    app.button(key="train_submit").click().run()
    steps = no_processes[0].config().augment.steps
    assert [step.kind for step in steps] == [
        "RandomHorizontalFlip",
        "RandomResizedCrop",
        "RandomRotation",
        "ColorJitter",
    ]


def test_a_changed_parameter_is_kept(open_page, monkeypatch):
    from catfish_core.serving import client

    seen = []
    monkeypatch.setattr(client, "augmented", lambda ws, photo, steps, *rest: seen.append(steps) or [])
    app = open_page("augment")
    app.button(key="augment_recommended").click().run()
    slider = next(s for s in app.slider if s.key.endswith("_degrees"))
    slider.set_value((-40.0, 10.0)).run()
    assert next(s for s in seen[-1] if s["kind"] == "RandomRotation")["degrees"] == [-40.0, 10.0]


def test_a_dataset_is_prepared_on_request(open_page, no_processes):
    app = open_page("data")
    app.button(key="data_prepare_sketchbook").click().run()
    assert no_processes == ["sketchbook"]


def test_a_dataset_shows_its_photos_and_counts(open_page, tiny_dataset):
    app = open_page("data")
    text = shown(app)
    assert "2 classes, 24 to train, 8 to validate, 8 to test" in "\n".join(e.label for e in app.expander)
    assert '"items"' in text and "blue" in text
    app.button(key=f"data_train_{tiny_dataset}").click().run()
    assert app.selectbox(key="train_data.dataset").value == tiny_dataset


def test_a_dataset_with_nasty_class_names(open_page, workspace, tmp_path, picture):
    for n, name in enumerate(["<b>x<b>", "**y** :smile:", "z $1$"]):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(8):
            picture((40 * n, 80, 90), (24, 24), i).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos" / "z $1$" / "broken <i>.png").write_bytes(b"no picture")
    for _ in library.add(workspace, "<u>mine</u> **b**", tmp_path / "photos"):
        pass
    app = open_page("data")
    assert not app.error
    assert "1 file left out" in [e.label for e in app.expander]
    assert not [m for m in app.markdown if "<u>" in m.value]


def test_a_photo_that_cannot_be_read_is_one_sentence_among_answers(open_page, make, monkeypatch, encode, picture):
    from catfish_core.serving import client
    from catfish_core.serving.client import Answer

    jpeg = encode(picture())
    good = Answer("a.jpg", label="cat", probabilities={"cat": 0.9, "fish": 0.1}, photo_jpeg=jpeg, heatmap_png=jpeg)
    bad = Answer("b<b>.jpg", error="“b<b>.jpg” is not a picture.")
    monkeypatch.setattr(client, "predict", lambda *args, **kwargs: [good, bad])
    make.finished()
    app = open_page("predict")
    files = [("a.jpg", jpeg, "image/jpeg"), ("b.jpg", b"x", "image/jpeg")]
    app.file_uploader(key="predict_upload").set_value(files)
    app.run()
    assert not app.exception
    assert "is not a picture" in app.warning[0].value and "<b>" not in app.warning[0].value
    assert [data["label"] for data in components(app) if data and "bars" in data] == ["cat"]


def test_runs_are_listed_with_what_is_wrong_with_them(open_page, make):
    make.finished(name="Fine")
    make.damaged()
    (table,) = [data for data in components(open_page("runs")) if data and "rows" in data]
    told = json.dumps(table["rows"])
    assert len(table["rows"]) == 2 and "damaged" in told and "cannot be read" in told and "Fine" in told


def test_many_runs_are_shown_page_by_page(open_page, make):
    for n in range(27):
        make.run([BatchEnd(epoch=0, batch=0, step=0, loss=1, lr=1, images_per_second=1)], name=f"run {n}")
    assert len(runs.listing(make.workspace)) == 27
    (table,) = [data for data in components(open_page("runs")) if data and "rows" in data]
    assert len(table["rows"]) == 25


def test_the_train_page_says_how_long_it_will_take(open_page, workspace, no_processes, monkeypatch):
    from catfish_core import estimate
    from catfish_core.estimate import Measured

    begun = []
    monkeypatch.setattr(estimate, "spawn", lambda module, *arguments, log: begun.append(arguments[1]))
    app = open_page("train")
    assert "How long will it take here?" in shown(app) and not begun  # the form has yet to stand still
    app.run()
    assert len(begun) == 1
    app.run()
    assert len(begun) == 1  # it is being measured
    estimate.answer(workspace, begun[0], vars(Measured(4.0, 0.01, 0.0, 0.1, 0.002, 0.05)))
    assert "About **20 s** on this computer: 9 s to get ready, then 0.9 s an epoch." in shown(app.run())
    app.number_input(key="train_training.epochs").set_value(100).run()
    assert "About **1 min 40 s**" in shown(app) and len(begun) == 1
