"""A saved model predicts as the one that was saved, and a damaged one is refused in a sentence."""

import json
import shutil

import pytest
import torch

from catfish_core.config import DataConfig, ModelConfig, RunConfig
from catfish_core.errors import ModelError, StorageError
from catfish_core.models import saved
from catfish_core.models.build import build_empty

HALF = (0.5, 0.5, 0.5)


def keep(folder, arch="simple_cnn", classes=("cat", "fish"), pretrained=False):
    config = RunConfig(
        data=DataConfig(image_size=32, resize="crop"), model=ModelConfig(arch=arch, pretrained=pretrained)
    )
    torch.manual_seed(3)
    model = build_empty(config.model, len(classes), 32)
    folder.mkdir(exist_ok=True)
    saved.save(folder, model, config, classes, HALF, HALF)
    return model


@pytest.mark.parametrize(
    ("arch", "pretrained"),
    [("simple_net", False), ("simple_cnn", False), ("resnet18", True), ("googlenet", False), ("googlenet", True)],
)
def test_what_is_saved_comes_back(tmp_path, arch, pretrained):
    model = keep(tmp_path / "run", arch, ("<b>cat</b>", "fi/sh 🐟", "dog"), pretrained)
    found = saved.load(tmp_path / "run")
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(found.model(images), model.eval()(images))
    assert (found.classes, found.image_size, found.resize) == (("<b>cat</b>", "fi/sh 🐟", "dog"), 32, "crop")
    assert (found.mean, found.std, found.run_id, found.arch.id) == (HALF, HALF, "run", arch)


def test_a_folder_without_a_model_says_to_wait(tmp_path):
    with pytest.raises(ModelError, match="has no model yet"):
        saved.load(tmp_path)
    keep(tmp_path / "run")
    (tmp_path / "run" / saved.WEIGHTS).unlink()
    with pytest.raises(ModelError, match="has no model yet"):
        saved.load(tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 8 + b"{}", b"\x80\x04\x95 a pickle"])
def test_damaged_weights_are_refused(tmp_path, content):
    keep(tmp_path / "run")
    (tmp_path / "run" / saved.WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        saved.load(tmp_path / "run")


def test_weights_of_another_network_are_refused(tmp_path):
    keep(tmp_path / "a", "simple_cnn")
    keep(tmp_path / "b", "simple_net")
    shutil.copy(tmp_path / "a" / saved.WEIGHTS, tmp_path / "b" / saved.WEIGHTS)
    with pytest.raises(ModelError, match="damaged"):
        saved.load(tmp_path / "b")


@pytest.mark.parametrize("change", [{"classes": []}, {"model": {"arch": "nothing"}}, {"image_size": "large"}, None])
def test_a_damaged_description_is_refused(tmp_path, change):
    keep(tmp_path / "run")
    path = tmp_path / "run" / saved.DESCRIPTION
    text = "{" if change is None else json.dumps(json.loads(path.read_text()) | change)
    path.write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        saved.load(tmp_path / "run")


def test_a_full_disk_leaves_the_model_that_was_there(tmp_path, monkeypatch):
    model = keep(tmp_path / "run")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved, "save_file", full)
    with pytest.raises(StorageError, match="disk is full"):
        keep(tmp_path / "run")
    monkeypatch.undo()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(saved.load(tmp_path / "run").model(images), model.eval()(images))


def test_a_model_from_before_there_were_parts_is_read(tmp_path):
    keep(tmp_path / "run")
    path = tmp_path / "run" / saved.DESCRIPTION
    content = json.loads(path.read_text())
    content["model"]["frozen"] = True
    path.write_text(json.dumps(content))
    assert saved.load(tmp_path / "run").arch.id == "simple_cnn"
