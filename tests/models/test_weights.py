"""Pretrained weights: bundled, by hand, fetched; damaged, missing, dangerous."""

import hashlib
import io

import pytest
import torch
from PIL import Image

from catfish_core import catalog
from catfish_core.config import ModelConfig
from catfish_core.errors import WeightsError
from catfish_core.models import build, weights

SQUEEZENET = catalog.arch("squeezenet1_1")


def weights_file(id="squeezenet1_1", seed=0):
    """A file as the publisher's: the state of the whole ImageNet network, and the name its content gives it."""
    torch.manual_seed(seed)
    network = build._bare(catalog.arch(id), 1000, 224, pretrained=True)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return network, buffer.getvalue()


@pytest.fixture
def published(monkeypatch):
    """Weights whose published name carries their real hash."""
    network, content = weights_file()
    name = f"squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setattr(weights, "address", lambda arch: f"https://weights.invalid/{name}")
    return network, name, content


def ensure(workspace):
    return list(weights.ensure(SQUEEZENET, workspace))


def built(workspace):
    return build.build(ModelConfig(arch="squeezenet1_1", pretrained=True), 2, 64, workspace)


def test_a_mirror_serves_them_with_progress(workspace, loopback, published, monkeypatch):
    network, name, content = published
    loopback.serve(f"mirror/{name}", content)
    monkeypatch.setenv("CATFISH_WEIGHTS_URL", loopback.url("mirror/"))
    said = ensure(workspace)
    assert "SqueezeNet" in said[-1].what and said[-1].done == said[-1].total > 0
    assert ensure(workspace) == []  # here now
    assert torch.equal(built(workspace).features[0].weight, network.features[0].weight)


def test_a_broken_download_goes_on_where_it_stopped(workspace, loopback, published, monkeypatch):
    _, name, content = published
    loopback.serve(name, content)
    loopback.break_after = 100_000
    monkeypatch.setenv("CATFISH_WEIGHTS_URL", loopback.url(""))
    ensure(workspace)
    assert weights.file(SQUEEZENET, workspace).read_bytes() == content
    assert any("range" in request for request in loopback.requests)


def test_a_damaged_download_is_not_kept(workspace, loopback, published, monkeypatch):
    _, name, content = published
    loopback.serve(name, content[:-1] + b"!")
    monkeypatch.setenv("CATFISH_WEIGHTS_URL", loopback.url(""))
    with pytest.raises(WeightsError, match="damaged"):
        ensure(workspace)
    assert not weights.file(SQUEEZENET, workspace).exists()


def test_without_a_network_the_file_its_address_and_its_folder_are_named(workspace, monkeypatch):
    monkeypatch.setenv("CATFISH_WEIGHTS_URL", "http://127.0.0.1:9")
    with pytest.raises(WeightsError) as refusal:
        ensure(workspace)
    for word in ("squeezenet1_1-b8a52dc0.pth", "https://download.pytorch.org/models/", str(workspace.weights)):
        assert word in str(refusal.value)


def test_a_file_put_there_by_hand_is_taken(workspace):
    network, content = weights_file(seed=5)
    workspace.weights.mkdir(parents=True)
    (workspace.weights / "squeezenet1_1-b8a52dc0.pth").write_bytes(content)
    assert ensure(workspace) == []
    assert torch.equal(built(workspace).features[0].weight, network.features[0].weight)


def test_missing_weights_are_said_before_anything_is_built(workspace):
    with pytest.raises(WeightsError, match="not here"):
        built(workspace)


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_file_of_something_else_is_refused_and_not_executed(workspace, tmp_path, content):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    if content is None:
        buffer = io.BytesIO()
        torch.save({"features.0.weight": Bomb()}, buffer)
        content = buffer.getvalue()
    workspace.weights.mkdir(parents=True)
    (workspace.weights / "squeezenet1_1-b8a52dc0.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="nothing in it was executed"):
        built(workspace)
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_network_are_refused(workspace):
    _, content = weights_file("mobilenet_v3_small")
    workspace.weights.mkdir(parents=True)
    (workspace.weights / "squeezenet1_1-b8a52dc0.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold the weights"):
        built(workspace)


@pytest.mark.parametrize("id", [arch.id for arch in catalog.ARCHITECTURES if arch.weights])
def test_every_published_address_ends_in_a_hash(id):
    assert weights.address(catalog.arch(id)).startswith("https://")
    assert weights.address(catalog.arch(id)).endswith(".pth")


def test_the_bundled_weights_know_a_cat(workspace, photos_zip):
    """EfficientNet-Lite0 with its ImageNet head on real photos: cats are among its first five guesses.

    ImageNet's classes 281 to 285 are domestic cats, 286 to 293 the wild ones.
    """
    import zipfile

    arch = catalog.arch("efficientnet_lite0")
    assert list(weights.ensure(arch, workspace)) == []
    network = build._bare(arch, 1000, 224, pretrained=True)
    weights.load(network, arch, workspace)
    with zipfile.ZipFile(photos_zip) as archive:
        names = [n for n in archive.namelist() if "/test/cat/" in n and n.endswith(".jpg")][:20]
        photos = [Image.open(archive.open(name)).convert("RGB").resize((224, 224)) for name in names]
    pixels = torch.stack([torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8) for p in photos])
    images = pixels.view(-1, 224, 224, 3).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        guesses = network.eval()(images).topk(5).indices
    right = ((guesses >= 281) & (guesses <= 293)).any(1).sum()
    assert right >= 15
