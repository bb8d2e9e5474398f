"""The features of a frozen backbone: the ordinary path's losses and network, computed once and by one."""

import json
import os

import pytest
import torch
from filelock import FileLock

from catfish_core import catalog, runs
from catfish_core.augment import RandomHorizontalFlip
from catfish_core.config import AugmentConfig, ComputeConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.errors import RunError
from catfish_core.events import BatchEnd, Completed, EpochEnd, Preparing, Started, drain
from catfish_core.jobs import worker
from catfish_core.models import build, saved
from catfish_core.parts import PartsConfig, shares
from catfish_core.training import checkpoint, features, session
from catfish_core.training.compute import Compute
from catfish_core.training.features import Backbone

CPU = torch.device("cpu")
LITE = ModelConfig(arch="efficientnet_lite0", pretrained=True)
HEAD = PartsConfig(preset="head_only")


def configured(epochs=2, cache=True, views=0, steps=(), seed=0, precision="fp32", **training):
    return RunConfig(
        data=DataConfig(dataset="tiny", image_size=32),
        model=LITE,
        parts=HEAD,
        augment=AugmentConfig(steps=steps),
        training=TrainingConfig(epochs=epochs, batch_size=8, device="cpu", seed=seed, **training),
        compute=ComputeConfig(precision=precision, feature_cache=cache, feature_views=views),
    )


def frozen(id, classes):
    """An untrained network for photos of 64 px of which only the head would be trained."""
    model, row = build.build_empty(ModelConfig(arch=id, pretrained=True), classes, 64), catalog.arch(id)
    build.freeze(model, row, shares(HEAD, row, 0))
    return model


def trained(workspace, config):
    run = runs.create(workspace, config)
    ended = worker.work(run)
    assert isinstance(ended, Completed), ended
    return run, run.events()[0]


def losses(events):
    return [e.loss for e in events if isinstance(e, BatchEnd)] + [
        e.val_loss for e in events if isinstance(e, EpochEnd)
    ]


def started(events):
    return next(e for e in events if isinstance(e, Started))


def computing(events):
    return [e for e in events if isinstance(e, Preparing) and "frozen backbone" in e.what]


def files(workspace):
    return sorted(workspace.features.glob("*.safetensors"))


def test_losses_and_predictions_are_those_of_the_ordinary_path(workspace, tiny_dataset):
    (ordinary, slowly), (kept, quickly) = (trained(workspace, configured(cache=c)) for c in (False, True))
    assert losses(quickly) == pytest.approx(losses(slowly), abs=1e-5)
    assert not computing(slowly) and started(slowly).note == ""
    assert computing(quickly)[-1].done == computing(quickly)[-1].total == 8
    assert "sees every photo once" in started(quickly).note
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        one, two = (saved.load(run.path).model(images).softmax(1) for run in (ordinary, kept))
    assert torch.allclose(one, two, atol=1e-4)
    said = [json.loads(run.report_path.read_text()) for run in (ordinary, kept)]
    assert said[1]["loss"] == pytest.approx(said[0]["loss"], abs=1e-4)
    for theirs, ours in zip(said[0]["predictions"], said[1]["predictions"], strict=True):
        assert ours["name"] == theirs["name"] and ours["label"] == theirs["label"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-4)


def test_another_rate_seed_or_length_computes_nothing_again(workspace, tiny_dataset):
    trained(workspace, configured())
    before = [(path.name, path.stat().st_ino) for path in files(workspace)]
    assert len(before) == 3  # training, validation, test
    config = configured(seed=3, epochs=3)
    events = trained(workspace, config.model_copy(update={"name": "again"}))[1]
    assert not computing(events)
    assert [(path.name, path.stat().st_ino) for path in files(workspace)] == before


def test_another_size_or_precision_is_another_file(workspace, tiny_dataset):
    trained(workspace, configured(epochs=1))
    trained(workspace, configured(epochs=1, precision="bf16"))
    assert len(files(workspace)) == 5  # the test is made in full precision, whatever the training


@pytest.mark.parametrize("how", ["cut", "flipped", "empty"])
def test_a_torn_file_is_noticed_and_built_again(workspace, tiny_dataset, how):
    first = trained(workspace, configured())[1]
    for path in files(workspace):
        content = bytearray(path.read_bytes())
        content[-3] ^= 0xFF
        path.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[how])
    events = trained(workspace, configured())[1]
    assert computing(events) and losses(events) == losses(first)


def test_with_augmentation_the_ordinary_path_is_taken_and_said(workspace, tiny_dataset):
    events = trained(workspace, configured(epochs=1, steps=(RandomHorizontalFlip(),)))[1]
    assert not files(workspace) and "every time" in started(events).note


def test_as_many_views_as_epochs_are_the_ordinary_path_with_augmentation(workspace, tiny_dataset):
    flips = (RandomHorizontalFlip(),)
    slowly = trained(workspace, configured(steps=flips))[1]
    quickly = trained(workspace, configured(steps=flips, views=2))[1]
    assert losses(quickly) == pytest.approx(losses(slowly), abs=1e-5)
    assert "2 augmented views" in started(quickly).note and len(files(workspace)) == 4
    more = trained(workspace, configured(steps=flips, views=3, epochs=4))[1]
    assert len(files(workspace)) == 5 and {e.what[-11:] for e in computing(more)} == {"view 3 of 3"}


def test_a_wish_to_stop_is_heard_while_features_are_computed(workspace, tiny_dataset, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 8)
    told = []
    for event in session.train(runs.create(workspace, configured()), lambda: bool(computing(told))):
        told.append(event)
    assert [(e.done, e.total) for e in computing(told)] == [(8, 24)] and told[-1] is computing(told)[0]
    assert not files(workspace)
    assert computing(trained(workspace, configured())[1])[-1].done == 8


def test_a_resumed_head_equals_the_uninterrupted_one(workspace, tiny_dataset):
    whole = losses(trained(workspace, configured(epochs=3))[1])
    run, told = runs.create(workspace, configured(epochs=3)), []
    for event in session.train(run, lambda: any(isinstance(e, EpochEnd) for e in told)):
        told.append(event)
    assert len(losses(told)) == 4  # three batches and the validation
    told += session.train(run, lambda: False)
    assert isinstance(told[-1], Completed) and losses(told) == whole


def test_a_checkpoint_leaves_out_what_is_frozen_and_knows_a_strange_network(workspace, tiny_dataset):
    run, _ = trained(workspace, configured(epochs=1))
    path = run.checkpoints / "last.pt"
    assert path.stat().st_size < 4 * 2**20 < run.model_path.stat().st_size
    assert all(name.startswith("classifier.") for name in torch.load(path, weights_only=True)["model"])
    content = torch.load(path, weights_only=True)
    content["model"].pop("classifier.0.weight")
    torch.save(content, path)
    made = drain(session._prepared(run.config(), workspace))
    with pytest.raises(RunError, match="damaged"):
        checkpoint.load(path, session.first_state(made, workspace))


def test_while_another_process_computes_this_one_waits_and_then_reads(workspace, tiny_dataset, monkeypatch):
    trained(workspace, configured())
    first = files(workspace)[0]
    content = first.read_bytes()
    first.unlink()
    lock = FileLock(first.with_suffix(".lock"), thread_local=False)
    lock.acquire()

    sleep = features.time.sleep

    def other_ends(seconds):
        if seconds != features.WAIT:  # somebody else's nap
            return sleep(seconds)
        first.write_bytes(content)
        lock.release()

    monkeypatch.setattr(features.time, "sleep", other_ends)
    events = trained(workspace, configured())[1]
    (waited,) = computing(events)
    assert waited.what.startswith("Waiting for another run: computing")


def test_features_not_used_for_longest_go_first(tmp_path):
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        features.write(path, torch.full((10, 100), float(number)))
        os.utime(path, (number, number))
    assert features.read(tmp_path / "0.safetensors", 10) is not None  # used now
    assert features.read(tmp_path / "3.safetensors", 11) is None  # not as many as there are photos
    features.tidy(tmp_path, budget=2 * (tmp_path / "0.safetensors").stat().st_size)
    assert sorted(path.name[0] for path in tmp_path.glob("*.safetensors")) == ["0", "3"]


def test_features_too_large_to_keep_are_not_kept(workspace, tiny_dataset, monkeypatch):
    monkeypatch.setattr(features, "LARGEST", 1000)
    events = trained(workspace, configured(epochs=1))[1]
    assert not files(workspace) and "too large" in started(events).note


def test_features_are_computed_in_halves_when_memory_runs_out(workspace):
    model = build.build_empty(LITE, 2, 32)
    backbone = Backbone(model, model.classifier, Compute(), CPU)
    images = torch.randn(5, 3, 32, 32)
    whole = backbone(images)
    forward = model.conv_stem.forward

    def greedy(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return forward(x)

    model.conv_stem.forward = greedy
    assert torch.allclose(backbone(images), whole, atol=1e-5)


def test_the_identity_is_the_backbone_s_alone_and_its_own():
    model = build.build_empty(LITE, 2, 32)
    backbone = Backbone(model, model.classifier, Compute(), CPU)
    identity = backbone.identity()
    with torch.no_grad():
        model.classifier[0].weight.add_(1)
    assert backbone.identity() == identity
    last = model.to(memory_format=torch.channels_last)
    assert Backbone(last, last.classifier, Compute(), CPU).identity() == identity
    model.bn1.running_mean.add_(1)
    assert backbone.identity() != identity


SMALL = [
    a.id for a in catalog.ARCHITECTURES
    if a.weights and a.id not in ("resnet50", "resnet152", "vgg16", "nasnetalarge", "inception_v3", "googlenet")
]  # fmt: skip


@pytest.mark.parametrize("arch", SMALL)
def test_the_head_on_features_is_the_network_on_photos(arch):
    torch.manual_seed(0)
    model = frozen(arch, 3)
    head = model.get_submodule(catalog.arch(arch).head)
    backbone = Backbone(model, head, Compute(), CPU)
    images = torch.randn(2, 3, 64, 64)
    assert not backbone.draws
    seen = backbone(images)
    with torch.inference_mode():
        assert torch.allclose(head(seen).flatten(1), model(images), atol=1e-6)


def test_a_network_that_draws_before_its_head_is_known():
    model = frozen("googlenet", 2)
    assert Backbone(model, model.fc, Compute(), CPU).draws


def test_batches_of_features_come_in_the_order_of_the_photos(workspace, tiny_dataset):
    made = drain(session._prepared(configured(), workspace))
    batches = made.batches("train")
    ours = features.FeatureBatches(batches, [torch.arange(batches.samples).view(-1, 1)])
    assert len(ours) == len(batches)
    for epoch in (0, 5):
        for (seen, labels), (_, expected) in zip(ours.epoch(epoch), batches.epoch(epoch), strict=True):
            assert torch.equal(labels, expected) and torch.equal(batches.labels[seen[:, 0]], labels)
