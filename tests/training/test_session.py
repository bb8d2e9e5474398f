"""A whole run with warm-up, averaged weights and mixed photos: what it says, keeps and reports; and resuming it."""

import json

import pytest
import torch

from catfish_core import runs
from catfish_core.config import ComputeConfig, DataConfig, ModelConfig, RunConfig, ScheduleConfig, TrainingConfig
from catfish_core.data import pixels
from catfish_core.events import Completed, EpochEnd, Preparing, Started, Tested, drain
from catfish_core.models import saved
from catfish_core.parts import PartsConfig
from catfish_core.training import checkpoint, loop, optim, session

LITE = ModelConfig(arch="efficientnet_lite0", pretrained=True)


def configured(model=ModelConfig(), epochs=3, **training):  # noqa: B008 - frozen
    return RunConfig(
        data=DataConfig(dataset="tiny", image_size=32),
        model=model,
        parts=PartsConfig(preset="head_only" if model.pretrained else "everything"),
        schedule=ScheduleConfig(kind="cosine", warmup_epochs=0.5),
        compute=ComputeConfig(precision="fp32"),  # which the losses are computed again in
        training=TrainingConfig(epochs=epochs, batch_size=8, device="cpu", **training),
    )


ALL = {"ema_decay": 0.9, "mix": "either"}


def trained(workspace, config):
    run = runs.create(workspace, config)
    events = list(session.train(run, lambda: False))
    assert isinstance(events[-1], Completed)
    return run, events


def of(kind, events):
    return [e for e in events if isinstance(e, kind)]


@pytest.mark.parametrize("model", [ModelConfig(), LITE], ids=["from scratch", "frozen, features kept"])
def test_what_is_kept_and_tested_is_the_average(workspace, tiny_dataset, model):
    config = configured(model, ema_decay=0.9)
    run, events = trained(workspace, config)
    assert "averaged weights" in of(Started, events)[0].note
    best = of(EpochEnd, events)[-1].best_epoch
    made = drain(session._prepared(config, workspace))
    kept = saved.load(run.path).model
    loss = optim.loss_function(config.training)
    again = loop.validate(kept, made.batches("val"), loss, torch.device("cpu"))
    assert again.loss == pytest.approx(of(EpochEnd, events)[best].val_loss, abs=1e-4)
    report = session.reevaluate(run)
    assert report.loss == pytest.approx(of(Tested, events)[0].loss)
    state = session.first_state(made, workspace)
    checkpoint.load(run.checkpoints / "last.pt", state)
    own = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    trained_names = set(state.average.state_dict()["mean"])
    with state.kept():
        averaged = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    moved = {name for name in own if not torch.equal(own[name], averaged[name])}
    assert moved and moved <= trained_names
    if config.parts.preset == "head_only":
        assert all(name.startswith("classifier.") for name in trained_names)
    if best == config.training.epochs - 1:
        assert all(torch.equal(kept.state_dict()[name], averaged[name]) for name in averaged)


@pytest.mark.parametrize("model", [ModelConfig(), LITE], ids=["from scratch", "frozen, features kept"])
def test_the_photos_of_the_test_are_decoded_when_it_is_their_turn(workspace, tiny_dataset, monkeypatch, model):
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 1)  # 24 photos to train on, 8 to validate, in two blocks
    _, events = trained(workspace, configured(model, epochs=1))
    decoding = [e for e in events if isinstance(e, Preparing) and e.what == "Preparing the photos"]
    before = [e for e in decoding if events.index(e) < events.index(of(Started, events)[0])]
    after = [e for e in decoding if events.index(e) > events.index(of(EpochEnd, events)[0])]
    assert (
        {e.total for e in before} == {32} and {e.total for e in after} == {8} and len(before + after) == len(decoding)
    )
    assert of(Started, events)[0].test_seconds > 0


@pytest.mark.parametrize("model", [ModelConfig(), LITE], ids=["from scratch", "frozen, features kept"])
def test_a_stop_while_the_photos_of_the_test_are_decoded_is_heard(workspace, tiny_dataset, monkeypatch, model):
    monkeypatch.setattr(pixels, "_BLOCK_BYTES", 1)
    told, run = [], runs.create(workspace, configured(model, epochs=1))

    def stop():
        last = told[-1] if of(EpochEnd, told) else None
        return isinstance(last, Preparing) and last.what == "Preparing the photos"

    for event in session.train(run, stop):
        told.append(event)
    assert (told[-1].done, told[-1].total) == (0, 8) and not run.report_path.exists()
    assert isinstance([*session.train(run, lambda: False)][-1], Completed) and run.report_path.exists()


@pytest.mark.parametrize("model", [ModelConfig(), LITE], ids=["from scratch", "frozen"])
def test_a_resumed_run_equals_the_uninterrupted_one(workspace, tiny_dataset, model):
    whole, told = trained(workspace, configured(model, **ALL))[1], []
    run = runs.create(workspace, configured(model, **ALL))
    for event in session.train(run, lambda: bool(of(EpochEnd, told))):
        told.append(event)
    assert len(of(EpochEnd, told)) == 1
    told += session.train(run, lambda: False)
    results = [
        [(e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.lr) for e in of(EpochEnd, events)]
        for events in (whole, told)
    ]
    assert results[0] == results[1] and len(results[0]) == 3
    assert of(Tested, whole)[0].loss == of(Tested, told)[0].loss


def test_with_mixed_photos_a_frozen_backbone_computes_all_of_them_and_says_so(workspace, tiny_dataset):
    _, events = trained(workspace, configured(LITE, epochs=1, mix="mixup"))
    note = of(Started, events)[0].note
    assert "mixed anew" in note and "right answer" in note
    assert not list(workspace.features.glob("*.safetensors"))


def test_mixing_changes_the_training_and_leaves_validation_hard(workspace, tiny_dataset):
    plain, mixed = (
        of(EpochEnd, trained(workspace, configured(epochs=1, mix=mix))[1])[0] for mix in ("off", "cutmix")
    )
    assert plain.train_loss != mixed.train_loss
    assert mixed.val_accuracy * 6 == pytest.approx(round(mixed.val_accuracy * 6))  # whole photos of the six


def test_the_configuration_is_written_whole(workspace, tiny_dataset):
    run, _ = trained(workspace, configured(epochs=1, **ALL))
    written = json.loads((run.path / "config.json").read_text())
    assert (written["training"]["mix"], written["training"]["ema_decay"]) == ("either", 0.9)
    assert run.config() == configured(epochs=1, **ALL).model_copy(update={"data": run.config().data})
