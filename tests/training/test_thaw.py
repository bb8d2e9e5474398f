"""Transfer by parts: the rates, what stays as it was, and gradual unfreezing that survives a stop."""

import copy

import pytest
import torch

from catfish_core import runs
from catfish_core.analysis.gradcam import grad_cam
from catfish_core.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, ScheduleConfig, TrainingConfig
from catfish_core.events import BatchEnd, Completed, EpochEnd, Started, Unfrozen
from catfish_core.models import build
from catfish_core.models.build import train_mode
from catfish_core.parts import PartsConfig
from catfish_core.training import loop, optim, session
from catfish_core.training.loop import TrainState, fit

CPU = torch.device("cpu")
FROZEN = ("conv1", "bn1", "layer1", "layer2")  # by the course's recipe on a ResNet


def configured(preset, epochs=2, optimizer="adam", schedule="constant", arch="resnet18", **more):
    return RunConfig(
        model=ModelConfig(arch=arch, pretrained=True),
        parts=PartsConfig(preset=preset, **more),
        optimizer=OptimizerConfig(name=optimizer, lr=0.009),
        schedule=ScheduleConfig(kind=schedule),
        training=TrainingConfig(epochs=epochs, device="cpu"),
    )


class Photos:
    """Two batches of noise and labels, the same in every epoch."""

    def __init__(self):
        random = torch.Generator().manual_seed(3)
        self.batches = [(torch.randn(4, 3, 32, 32, generator=random), torch.tensor([0, 1, 0, 1])) for _ in range(2)]

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def epoch(self, n, first=0):
        return iter(self.batches[first:])


def start(config):
    torch.manual_seed(0)
    model = build.build_empty(config.model, 2, 32)
    optimizer = optim.optimizer(model, config.optimizer, optim.groups(model, config))
    return TrainState(model, optimizer, optim.Schedule(optimizer, config, 2), CPU)


def names_of(model, group):
    by_id = {id(p): name for name, p in model.named_parameters()}
    return {by_id[id(p)].split(".")[0] for p in group["params"]}


def test_the_course_recipe_on_a_resnet_18():
    config = configured("course")
    state = start(config)
    assert [names_of(state.model, group) for group in state.optimizer.param_groups] == [
        {"layer3"},
        {"layer4"},
        {"fc"},
    ]
    assert [group["lr"] for group in state.optimizer.param_groups] == pytest.approx([0.001, 0.003, 0.009])
    assert all(group["fused"] for group in state.optimizer.param_groups)
    trained = {name.split(".")[0] for name, p in state.model.named_parameters() if p.requires_grad}
    assert trained == {"layer3", "layer4", "fc"}
    before = copy.deepcopy(state.model.state_dict())
    list(fit(state, Photos(), Photos(), config))
    for name, tensor in state.model.state_dict().items():
        frozen = name.startswith(FROZEN)  # running statistics and the count of batches among them
        assert torch.equal(tensor, before[name]) is frozen, name
    assert all(name.startswith(FROZEN) or "layer" in name or "fc" in name for name in before)
    assert {name for name in build.fixed(state.model)} == {name for name in before if name.startswith(FROZEN)}


def test_gradients_stop_where_the_frozen_parts_begin():
    state = start(configured("course"))
    train_mode(state.model)
    reached = {}
    for name in ("layer2", "layer3"):
        layer = state.model.get_submodule(name)
        layer.register_forward_hook(lambda _, __, output, name=name: reached.update({name: output.requires_grad}))
    state.model(torch.randn(2, 3, 32, 32)).sum().backward()
    assert reached == {"layer2": False, "layer3": True}
    assert all((p.grad is None) is not p.requires_grad for p in state.model.parameters())


@pytest.mark.parametrize("layer", ["layer2", "layer3", "layer4"])
def test_grad_cam_sees_into_frozen_and_trained_parts_alike(layer):
    state = start(configured("course"))
    whole = copy.deepcopy(state.model).requires_grad_(True)
    images, targets = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    ours, theirs = (grad_cam(m, m.get_submodule(layer), images, targets).maps for m in (state.model, whole))
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert [p.requires_grad for p in state.model.layer2.parameters()].count(True) == 0


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "step"])
def test_a_schedule_keeps_the_ratios(schedule):
    state = start(configured("course", epochs=5, schedule=schedule))
    for step in range(10):
        head = state.schedule.apply(step)
        assert [group["lr"] for group in state.optimizer.param_groups] == pytest.approx([head / 9, head / 3, head])


def test_everything_is_one_group_at_one_rate():
    (group,) = start(configured("everything")).optimizer.param_groups
    assert group["lr"] == 0.009 and len(group["params"]) == 62 + 2  # the head has two layers instead of one


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_gradual_unfreezing_halves_the_rates_and_forgets_nothing(optimizer):
    config = configured("gradual", epochs=4, optimizer=optimizer, every=2)
    state, told, remembered = start(config), [], {}
    for event in fit(state, Photos(), Photos(), config):
        told.append(event)
        head = state.model.fc[0].weight
        if isinstance(event, EpochEnd):
            remembered = {key: torch.as_tensor(value).clone() for key, value in state.optimizer.state[head].items()}
        if isinstance(event, Unfrozen):
            now = state.optimizer.state[head]
            assert now.keys() == remembered.keys() and all(
                torch.equal(torch.as_tensor(now[k]), remembered[k]) for k in now
            )
            assert names_of(state.model, state.optimizer.param_groups[0]) == {"layer4"}
    assert [e.lr for e in told if isinstance(e, BatchEnd)] == pytest.approx([0.009] * 4 + [0.0045] * 4)
    (thawed,) = [event for event in told if isinstance(event, Unfrozen)]
    assert thawed.epoch == 2 and thawed.trained == build.count(state.model)[1]
    assert {name: rate for name, rate in thawed.parts.items() if rate} == {"layer4": 0.0045, "fc": 0.0045}


def test_a_thawed_stage_learns_and_one_still_frozen_does_not():
    config = configured("gradual", epochs=2, every=1)
    state = start(config)
    before, after_one = copy.deepcopy(state.model.state_dict()), {}
    for event in fit(state, Photos(), Photos(), config):
        if isinstance(event, EpochEnd) and event.epoch == 0:
            after_one = copy.deepcopy(state.model.state_dict())
    now = state.model.state_dict()
    assert torch.equal(after_one["layer4.1.bn2.running_mean"], before["layer4.1.bn2.running_mean"])
    assert not torch.equal(now["layer4.1.bn2.running_mean"], before["layer4.1.bn2.running_mean"])
    assert not torch.equal(now["layer4.1.conv2.weight"], before["layer4.1.conv2.weight"])
    assert torch.equal(now["layer3.1.bn2.running_mean"], before["layer3.1.bn2.running_mean"])


def on_photos(preset, optimizer="adam", ema_decay=0.0, **more):
    config = configured(preset, 4, optimizer, "cosine", "efficientnet_lite0", **more)
    data = DataConfig(dataset="tiny", image_size=32)
    training = TrainingConfig(epochs=4, batch_size=8, device="cpu", ema_decay=ema_decay)
    return config.model_copy(update={"data": data, "training": training})


def facts(events):
    steps = [(e.step, e.loss, e.lr) for e in events if isinstance(e, BatchEnd)]
    return steps + [(e.epoch, e.val_loss) for e in events if isinstance(e, EpochEnd)]


@pytest.mark.parametrize(("stop_after", "every", "optimizer"), [(1, 2, "adam"), (2, 2, "sgd"), (3, 1, "adagrad")])
def test_a_run_resumed_anywhere_equals_the_uninterrupted_one(workspace, tiny_dataset, stop_after, every, optimizer):
    """Stopped before the epoch that thaws, just where it begins, and between two that do, with averaged weights."""
    config = on_photos("gradual", optimizer, 0.9 if every == 1 else 0.0, every=every)
    whole = list(session.train(runs.create(workspace, config), lambda: False))
    run, told = runs.create(workspace, config), []
    for event in session.train(run, lambda: sum(isinstance(e, EpochEnd) for e in told) == stop_after):
        told.append(event)
    told += session.train(run, lambda: False)
    assert isinstance(told[-1], Completed) and sorted(facts(told)) == sorted(facts(whole))


def test_a_run_says_what_it_trains(workspace, tiny_dataset):
    told = list(session.train(runs.create(workspace, on_photos("course")), lambda: False))
    (started,) = [event for event in told if isinstance(event, Started)]
    rates = {name: rate for name, rate in started.parts.items() if rate}
    assert rates == pytest.approx({"blocks.6": 0.001, "conv_head": 0.003, "classifier": 0.009})
    assert len(started.parts) == 10 and started.trained == 605_440 + 412_160 + 164_226
    assert not [event for event in told if isinstance(event, Unfrozen)]


def test_own_rates_and_a_frozen_part_in_between():
    config = configured("own", rates={"conv1": 0.5, "layer4": 0.5, "fc": 1})
    state = start(config)
    assert [names_of(state.model, group) for group in state.optimizer.param_groups] == [
        {"conv1", "bn1", "layer4"},
        {"fc"},
    ]
    before = copy.deepcopy(state.model.state_dict())
    list(loop.fit(state, Photos(), Photos(), config))
    now = state.model.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(now[name], before[name])}
    assert changed == {"conv1", "bn1", "layer4", "fc"}
