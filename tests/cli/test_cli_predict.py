"""`predict` and `evaluate` with a network trained for two epochs."""

import json
import shutil

import pytest
from PIL import Image

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.jobs.worker import work
from catfish_core.workspace import Workspace


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_files):
    """A workspace with a trained run, to be copied."""
    from catfish_core.data import library

    folder = tmp_path_factory.mktemp("trained")
    for name, content in tiny_files.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    home = Workspace(folder / "home")
    for _ in library.add(home, "tiny", folder / "photos"):
        pass
    wish = {"data": {"dataset": "tiny", "image_size": 16}, "training": {"epochs": 2, "batch_size": 8}}
    work(runs.create(home, RunConfig.model_validate(wish)))
    return home.root


@pytest.fixture
def model(trained, workspace):
    """The id of a trained run in the test's own workspace."""
    shutil.copytree(trained, workspace.root)
    return runs.latest(workspace).id


@pytest.fixture
def photos(tmp_path, tiny_files):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (name, content) in enumerate(sorted(tiny_files.items())[:3]):
        (folder / f"{number} {name.rsplit('/')[-1]}").write_bytes(content)
    return sorted(folder.iterdir())


def test_json_says_label_and_probabilities(run, model, photos):
    code, out, err = run("predict", model, *photos, "--json")
    assert (code, err) == (0, "")
    answers = json.loads(out)
    assert [answer["path"] for answer in answers] == [str(path) for path in photos]
    for answer in answers:
        assert set(answer) == {"path", "label", "probabilities"}
        assert set(answer["probabilities"]) == {"blue", "red"}
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_people_read_a_line_a_photo(run, model, photos):
    code, out, _ = run("predict", "latest", *photos)
    assert code == 0
    assert [line.split(": ")[0] for line in out.splitlines()] == [str(path) for path in photos]
    assert " %" in out


def test_a_folder_means_its_photos(run, model, photos):
    (photos[0].parent / "notes.txt").write_text("no photo")
    assert len(json.loads(run("predict", "latest", photos[0].parent, "--json")[1])) == 3


def test_the_rest_is_answered_when_one_cannot_be_read(run, one_sentence, model, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a photo")
    code, out, err = run("predict", model, photos[0], bad, photos[1], "--json")
    assert code == 1
    assert one_sentence(err) and "bad.jpg" in err
    first, second, third = json.loads(out)
    assert first["label"] and third["label"]
    assert (second["label"], second["probabilities"]) == (None, {}) and "bad.jpg" in second["error"]


def test_a_photo_that_is_not_there_is_one_sentence(run, one_sentence, model):
    code, out, err = run("predict", model, "nowhere.jpg")
    assert (code, out) == (1, "")
    assert one_sentence(err) and "nowhere.jpg" in err


def test_a_folder_without_photos_is_one_sentence(run, one_sentence, model, tmp_path):
    (tmp_path / "void").mkdir()
    code, out, err = run("predict", model, tmp_path / "void")
    assert (code, out) == (1, "") and one_sentence(err)


def test_heatmaps_are_written_under_safe_names(run, model, photos, tmp_path):
    odd = tmp_path / "..\x1b[31m ünïcode 'quote' 🐟.jpg"
    odd.write_bytes(photos[0].read_bytes())
    code, out, _ = run("predict", model, odd, *photos, "--cam", tmp_path / "cams" / "new", "--json")
    assert code == 0
    written = sorted((tmp_path / "cams" / "new").iterdir())
    assert [str(path) for path in written] == [answer["cam"] for answer in json.loads(out)]
    for path in written:
        assert all(c.isascii() and (c.isalnum() or c in "-.") for c in path.name)
    original, overlay = Image.open(photos[0]).convert("RGB"), Image.open(written[1])
    assert overlay.size == original.size
    assert overlay.tobytes() != original.tobytes()


def test_layer_and_class_can_be_chosen(run, one_sentence, model, photos, tmp_path):
    for target in ("red", "blue"):
        wish = ["--cam", tmp_path / target, "--layer", "conv2", "--explain", target]
        assert run("predict", model, photos[0], *wish)[0] == 0
    code, _, err = run("predict", model, photos[0], "--explain", "green")
    assert code == 1 and one_sentence(err) and "blue, red" in err
    code, _, err = run("predict", model, photos[0], "--layer", "conv9", "--cam", tmp_path / "cam")
    assert code == 1 and one_sentence(err)


def test_latest_is_the_newest_with_a_model(run, model, photos, workspace):
    runs.create(workspace, RunConfig())
    assert run("predict", "latest", photos[0])[0] == 0


def test_a_run_without_a_model_is_one_sentence(run, one_sentence, workspace, photos):
    made = runs.create(workspace, RunConfig())
    code, out, err = run("predict", made.id, photos[0])
    assert (code, out) == (1, "") and one_sentence(err)


def test_a_model_that_is_a_pickle_is_refused(run, one_sentence, model, photos, workspace):
    import pickle

    runs.find(workspace, model).model_path.write_bytes(pickle.dumps(print))
    code, out, err = run("predict", model, photos[0])
    assert (code, out) == (1, "") and one_sentence(err)


def test_evaluate_measures_again_what_training_measured(run, model, workspace):
    before = json.loads(runs.find(workspace, model).report_path.read_text())
    code, out, err = run("evaluate", "latest", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["run"] == model
    assert report["accuracy"] == before["accuracy"] and report["confusion"] == before["confusion"]
    assert report["loss"] == pytest.approx(before["loss"], abs=1e-6)
    text = run("evaluate", model)[1]
    assert "Test: " in text and "PRECISION" in text and "TRUE" in text


def test_evaluate_of_a_run_whose_photos_are_gone_is_one_sentence(run, one_sentence, model, workspace):
    from catfish_core.data import library

    library.delete(workspace, "tiny")
    code, out, err = run("evaluate", model)
    assert (code, out) == (1, "") and one_sentence(err)
