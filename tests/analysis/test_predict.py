"""Probabilities and heatmaps of photos: placement, colours, refusals."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from catfish_core.analysis.predict import Heatmap, explain, heatmap_png, overlay, predict
from catfish_core.config import DataConfig, ModelConfig, RunConfig
from catfish_core.errors import ModelError
from catfish_core.models import saved
from catfish_core.models.build import build_empty

PLAIN = ((0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def kept(tmp_path):
    def make(arch="simple_cnn", resize="squash"):
        config = RunConfig(data=DataConfig(image_size=32, resize=resize), model=ModelConfig(arch=arch))
        torch.manual_seed(3)
        (tmp_path / arch).mkdir(exist_ok=True)
        saved.save(tmp_path / arch, build_empty(config.model, 3, 32), config, ("a", "b", "c"), *PLAIN)
        return saved.load(tmp_path / arch)

    return make


@pytest.fixture
def photos(picture):
    return [picture(size=size, seed=k) for k, size in enumerate([(48, 32), (32, 48), (300, 40)])]


def test_probabilities_add_up_and_company_changes_nothing(kept, photos):
    model = kept()
    together = predict(model, photos)
    assert [sum(row) for row in together] == pytest.approx([1, 1, 1])
    for photo, row in zip(photos, together, strict=True):
        assert predict(model, [photo])[0] == pytest.approx(row, abs=1e-6)
    assert predict(model, []) == [] == explain(model, [])


def test_without_a_wish_the_likeliest_class_is_explained(kept, photos):
    model = kept()
    likeliest = [max(range(3), key=row.__getitem__) for row in predict(model, photos)]
    found = explain(model, photos)
    assert [h.target for h in found] == likeliest
    assert {(h.layer, h.method, h.values.shape) for h in found} == {("conv3", "grad-cam", (8, 8))}
    for h in explain(model, photos, "conv1", 1):
        assert (h.layer, h.target) == ("conv1", 1) and h.values.shape == (32, 32)
        assert h.values.min() >= 0 and h.values.max() in (0, 1) and h.values.dtype == np.float32


def test_a_network_without_convolutions_gets_input_gradients(kept, photos):
    (found,) = explain(kept("simple_net"), photos[:1])
    assert (found.layer, found.method, found.values.shape) == (None, "input-gradients", (32, 32))


@pytest.mark.parametrize("wish", [{"layer": "conv9"}, {"layer": "classifier"}, {"target": 3}, {"target": -1}])
def test_what_the_model_has_not_got_is_a_sentence(kept, photos, wish):
    with pytest.raises(ModelError):
        explain(kept(), photos, **wish)


def heat(resize, size=(4, 4)):
    values = np.zeros(size, np.float32)
    values[0, 0] = 1  # top left of what the network saw
    return Heatmap(values, "conv3", 0, "grad-cam", resize)


def coloured(heatmap, size):
    return np.asarray(Image.open(io.BytesIO(heatmap_png(heatmap, size))).convert("RGBA")).astype(int)


def test_a_squashed_heatmap_covers_the_whole_photo():
    seen = coloured(heat("squash"), (300, 100))
    assert seen.shape == (100, 300, 4) and seen[..., 3].min() == 255
    assert np.abs(seen[2, 2, :3] - seen[90, 290, :3]).sum() > 100
    assert np.array_equal(seen[50, 290], seen[90, 290])


@pytest.mark.parametrize(("size", "corner"), [((300, 100), (2, 102)), ((100, 300), (102, 2))])
def test_a_cropped_heatmap_lies_on_the_middle_square(size, corner):
    """The network saw nothing else, so nothing is painted there: its top left corner is the square's."""
    seen = coloured(heat("crop"), size)
    alpha = seen[..., 3] if size[0] > size[1] else seen[..., 3].T
    assert alpha[:, 100:200].min() == 255 and alpha[:, :100].max() == 0 == alpha[:, 200:].max()
    middle = seen[size[1] // 2 + 30, size[0] // 2 + 30, :3]
    assert np.abs(seen[corner][:3] - middle).sum() > 100


def test_an_overlay_goes_from_the_photo_to_the_heatmap(picture):
    photo = picture(size=(300, 100))
    assert overlay(photo, heat("crop"), 0).tobytes() == photo.tobytes()
    full = np.asarray(overlay(photo, heat("crop"), 1)).astype(int)
    assert np.array_equal(full[:, :100], np.asarray(photo)[:, :100])  # unseen, unpainted
    assert np.abs(full[:, 100:200] - coloured(heat("crop"), (300, 100))[:, 100:200, :3]).max() <= 1
