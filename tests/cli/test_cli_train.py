"""`train`: how options become a configuration, and a run from its start to its result."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catfish_core import runs
from catfish_core.cli.parser import parser
from catfish_core.cli.train import configuration
from catfish_core.config import RunConfig
from catfish_core.data import library

ROOT = Path(__file__).resolve().parents[2]


def of(*arguments):
    return configuration(parser().parse_args(["train", *arguments]))


def test_without_options_is_the_default():
    assert of() == RunConfig()


def test_options_reach_their_fields():
    model = "--dataset d --arch efficientnet_lite0 --pretrained --frozen --image-size 96"
    training = "--epochs 3 --batch-size 8 --lr 0.01 --seed 0 --device cpu"
    made = of(*model.split(), *training.split(), "--name", "My “run”")
    assert made.data.model_dump(include={"dataset", "image_size"}) == {"dataset": "d", "image_size": 96}
    assert made.model.model_dump() == {"arch": "efficientnet_lite0", "pretrained": True}
    assert made.parts.preset == "head_only"
    assert (made.training.epochs, made.training.batch_size, made.training.seed) == (3, 8, 0)
    assert (made.optimizer.lr, made.training.device, made.name) == (0.01, "cpu", "My “run”")


def test_what_is_trained_is_a_preset_and_the_last_word_counts():
    lite0 = ["--arch", "efficientnet_lite0", "--pretrained"]
    assert of(*lite0, "--parts", "course").parts.preset == "course"
    assert of(*lite0, "--frozen", "--parts", "gradual", "--set", "parts.every=5").parts.every == 5
    own = of(*lite0, "--parts", "own", "--set", 'parts.rates={"classifier": 1, "conv_head": 0.1}')
    assert own.parts.rates == {"classifier": 1, "conv_head": 0.1}


def test_people_read_which_parts_are_trained_and_when_it_becomes_more(run, tiny_folder):
    lite0 = ["--arch", "efficientnet_lite0", "--pretrained", "--image-size", "32"]
    options = [*lite0, "--parts", "gradual", "--epochs", "2"]
    code, out, err = run("train", "--dataset", tiny_folder, *options, "--set", "parts.every=1")
    assert (code, err) == (0, "")
    assert "Trained: classifier at 0.001; the rest is frozen." in out
    assert "From epoch 2 on it trains 576,386 weights: classifier at 0.0005, conv_head at 0.0005." in out


@pytest.mark.parametrize(
    ("arch", "size"), [("simple_net", 64), ("simple_cnn", 64), ("resnet18", 128), ("inception_v3", 128)]
)
def test_photos_have_a_size_that_suits_the_network(arch, size):
    assert of("--arch", arch).data.image_size == size


def test_options_go_on_top_of_the_file_and_settings_on_top_of_both(tmp_path):
    path = tmp_path / "config.json"
    base = {"training": {"epochs": 7, "batch_size": 16, "seed": 5}, "data": {"image_size": 80}}
    path.write_text(json.dumps(base))
    made = of(str(path), "--arch", "resnet18", "--epochs", "8", "--set", "training.epochs=9")
    assert (made.training.epochs, made.training.batch_size, made.training.seed) == (9, 16, 5)
    assert (made.data.image_size, made.model.arch) == (80, "resnet18")


def test_the_courses_recipe():
    from catfish_core import augment

    assert of("--augment").augment.steps == augment.recommended()


@pytest.fixture
def quick(run, tiny_folder):
    """quick("--json"): train a small network on the tiny dataset for two epochs."""
    options = ["--dataset", tiny_folder, "--arch", "simple_cnn", "--image-size", 16, "--epochs", 2, "--batch-size", 8]
    return lambda *more: run("train", *options, *more)


def test_the_last_line_is_the_result(quick, workspace):
    code, out, err = quick("--json", "--seed", "3")
    assert (code, err) == (0, "")
    result = json.loads(out.splitlines()[-1])
    assert set(result) == {"run", "status", "best_val_accuracy", "test", "seconds"}
    assert result["status"] == "completed"
    assert 0 <= result["best_val_accuracy"] <= 1
    assert set(result["test"]) == {"loss", "accuracy"}
    made = runs.find(workspace, result["run"])
    assert made.model_path.exists() and runs.status(made) == "completed"
    assert made.config().training.seed == 3


def test_people_read_a_line_an_epoch_and_what_to_do_next(quick):
    code, out, err = quick()
    assert (code, err) == (0, "")
    assert sum(line.startswith("Epoch ") for line in out.splitlines()) == 2
    assert "Test: " in out and "predict latest" in out


def test_a_path_is_imported_once_and_again_when_its_photos_change(quick, workspace, tiny_folder, photo):
    quick()
    code, _, err = quick()
    assert code == 0 and "imported before" in err
    assert [info.id for info in library.listing(workspace)] == ["tiny"]
    (tiny_folder / "train" / "red" / "new.jpg").write_bytes(photo)
    quick()
    assert {info.id for info in library.listing(workspace)} == {"tiny", "tiny-2"}


def test_a_run_that_fails_is_a_sentence_and_a_result(run, tiny_dataset, workspace):
    code, out, err = run("train", "--dataset", tiny_dataset, "--set", "data.version=other", "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 1
    assert (result["status"], result["test"], result["best_val_accuracy"]) == ("failed", None, None)
    assert err.startswith("catfish: ") and err.count("\n") == 1 and "log.txt" in err
    assert "Traceback" in (runs.find(workspace, result["run"]).attempt / "log.txt").read_text()


def test_ctrl_c_stops_cleanly_and_keeps_the_best_weights(workspace, tiny_dataset):
    line = f"train --dataset {tiny_dataset} --arch simple_net --image-size 8 --epochs 10000 --json".split()
    with subprocess.Popen(
        [sys.executable, "-m", "catfish_core", *line], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until = time.monotonic() + 120
        while (started := runs.latest(workspace)) is None or not started.model_path.exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert (process.returncode, err) == (0, b"")
    result = json.loads(out.splitlines()[-1])
    assert result["status"] == "stopped"
    assert result["best_val_accuracy"] is not None and result["test"] is None
    assert started.model_path.exists()
