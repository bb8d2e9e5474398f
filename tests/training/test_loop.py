"""The loop: it learns, it counts right, it stops when asked, it goes on where it was."""

import copy
import math

import pytest
import torch
from torch import nn

from catfish_core.config import OptimizerConfig, RunConfig, ScheduleConfig, TrainingConfig
from catfish_core.data.mixing import Mixed
from catfish_core.errors import RunError, TrainingError
from catfish_core.events import BatchEnd, EarlyStop, EpochEnd
from catfish_core.models.build import AUX_WEIGHT
from catfish_core.training import checkpoint, loop, optim
from catfish_core.training.average import Average
from catfish_core.training.loop import TrainState, fit

CPU = torch.device("cpu")


class Tensors:
    """Batches that lie in memory: what `fit` needs of a loader, shuffled from (seed, epoch)."""

    def __init__(self, images, labels, batch_size, shuffle=True):
        self.images, self.labels, self.batch_size, self.shuffle = images, labels, batch_size, shuffle

    def __len__(self):
        return math.ceil(len(self.labels) / self.batch_size)

    def epoch(self, number, first=0):
        order = torch.arange(len(self.labels))
        if self.shuffle:
            order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(number))
        for chosen in order.split(self.batch_size)[first:]:
            yield self.images[chosen], self.labels[chosen]

    def __iter__(self):
        return self.epoch(0)


def photos(count=20, seed=0):
    """Two classes told apart by their brightness, with noise."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    images = torch.randn(count, 3, 8, 8, generator=random) * 0.5 + labels.view(-1, 1, 1, 1)
    return images, labels


def network(dropout=0.2):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(144, 2)
    )


def start(config, steps, model=None):
    torch.manual_seed(config.training.seed)
    model = model or network()
    optimizer = optim.optimizer(model, config.optimizer)
    return TrainState(model, optimizer, optim.Schedule(optimizer, config, steps), CPU)


def configured(epochs=3, lr=0.01, patience=None, kind="constant", name="adam"):
    return RunConfig(
        optimizer=OptimizerConfig(lr=lr, name=name),
        schedule=ScheduleConfig(kind=kind, patience=0),
        training=TrainingConfig(epochs=epochs, patience=patience),
    )


def run(config, model=None, should_stop=lambda: False, size=7):
    train, val = Tensors(*photos(), size), Tensors(*photos(12, seed=9), 5, shuffle=False)
    state = start(config, len(train), model)
    return state, list(fit(state, train, val, config, should_stop))


def curve(events):
    return [(e.loss, e.lr) for e in events if isinstance(e, BatchEnd)] + [
        (e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in events if isinstance(e, EpochEnd)
    ]


def test_it_overfits_one_batch():
    config = configured(epochs=60)
    train = Tensors(*photos(8), 8)
    state = start(config, 1, network(dropout=0.0))
    ends = [e for e in fit(state, train, train, config) if isinstance(e, EpochEnd)]
    assert ends[-1].train_accuracy == 1.0 and ends[-1].train_loss < 0.02 < ends[0].train_loss


def test_events_count_epochs_batches_and_steps():
    _, events = run(configured(epochs=2))
    batches = [(e.epoch, e.batch, e.step) for e in events if isinstance(e, BatchEnd)]
    assert batches == [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4), (1, 2, 5)]
    assert [type(e) for e in events] == [BatchEnd, BatchEnd, BatchEnd, EpochEnd] * 2


def test_means_weigh_photos_not_batches():
    """With a rate of almost nothing every photo has the loss of the first model; 20 photos in batches of 7, 7, 6."""
    config = configured(epochs=1, lr=1e-30)
    images, labels = photos()
    state = start(config, 3, network(dropout=0.0))
    state.model[1] = nn.Identity()
    with torch.no_grad():
        expected = nn.functional.cross_entropy(state.model(images), labels).item()
    train = Tensors(images, labels, 7)
    (end,) = [e for e in fit(state, train, train, config) if isinstance(e, EpochEnd)]
    assert end.train_loss == pytest.approx(expected, rel=1e-5)
    assert end.val_loss == pytest.approx(expected, rel=1e-5)


def test_one_seed_gives_one_run_to_the_last_digit():
    (first, one), (second, two) = run(configured()), run(configured())
    assert curve(one) == curve(two)
    for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_stop_is_heard_inside_an_epoch():
    answers = iter([False, False, True])
    state, events = run(configured(), should_stop=lambda: next(answers, True))
    assert [type(e) for e in events] == [BatchEnd, BatchEnd]
    assert not state.finished and state.epoch == 0


def test_early_stopping_waits_for_its_patience():
    config = configured(epochs=50, lr=1e-30, patience=2)
    state, events = run(config, model=nn.Sequential(nn.Flatten(), nn.Linear(192, 2)))
    assert isinstance(events[-1], EarlyStop)
    assert events[-1].epoch == 2 and events[-1].patience == 2  # epoch 0 is the best, 1 and 2 are no better
    assert state.finished


def test_the_best_epoch_is_the_one_with_the_highest_accuracy_then_the_lowest_loss():
    state = start(configured(), 1)
    seen = []
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.75, 0.9), (0.75, 0.8), (0.7, 0.1), (0.75, 0.8)]):
        loop._remember(state, epoch, loop.Means(loss_sum=loss * 100, correct=int(accuracy * 100), samples=100))
        seen.append((state.best_epoch, state.epochs_without_progress))
    assert seen == [(0, 0), (1, 0), (2, 0), (2, 0), (2, 1)]


def test_an_exploding_loss_ends_with_advice():
    config = configured(lr=100.0, name="sgd", epochs=50)
    train = Tensors(photos()[0] * 1e18, photos()[1], 7)
    state = start(config, 3, nn.Sequential(nn.Flatten(), nn.Linear(192, 2)))
    events = []
    with pytest.raises(TrainingError, match="ten times smaller"):
        for event in fit(state, train, train, config):
            events.append(event)
    assert not math.isfinite(events[-1].loss)


def test_gradients_are_on_wherever_the_caller_gets_control():
    config = configured(epochs=1)
    train = Tensors(*photos(), 7)
    for _ in fit(start(config, 3), train, train, config):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_auxiliary_outputs_are_learned_from_with_their_weight():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.extra = nn.Linear(192, 2), nn.Linear(192, 2)

        def forward(self, x):
            flat = x.flatten(1)
            return (self.main(flat), self.extra(flat)) if self.training else self.main(flat)

    config = configured(epochs=1, lr=0.1, name="sgd")
    images, labels = photos(6)
    state = start(config, 1, TwoHeads())
    extra = copy.deepcopy(state.model.extra)
    (nn.functional.cross_entropy(extra(images.flatten(1)), labels) * AUX_WEIGHT).backward()
    expected = extra.weight.detach() - 0.1 * extra.weight.grad
    list(fit(state, Tensors(images, labels, 6, shuffle=False), Tensors(images, labels, 6), config))
    assert torch.allclose(state.model.extra.weight, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["cosine", "plateau"])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, kind, name):
    config = configured(epochs=5, kind=kind, name=name)
    whole_state, whole = run(config)
    train, val = Tensors(*photos(), 7), Tensors(*photos(12, seed=9), 5, shuffle=False)
    first = start(config, len(train))
    begun = []
    for event in fit(first, train, val, config):
        begun.append(event)
        if isinstance(event, EpochEnd) and event.epoch == 1:
            checkpoint.save(tmp_path / "last.pt", first)
            break
    torch.manual_seed(99)
    second = start(config, len(train), network())
    checkpoint.load(tmp_path / "last.pt", second)
    resumed = list(fit(second, train, val, config))
    assert curve(begun)[:6] + [c for c in curve(resumed) if len(c) == 2] == [c for c in curve(whole) if len(c) == 2]
    for a, b in zip(whole_state.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert second.best_epoch == whole_state.best_epoch


def test_a_checkpoint_with_code_in_it_is_refused_and_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"model": Bomb()}, tmp_path / "last.pt")
    with pytest.raises(RunError, match="nothing in it was executed"):
        checkpoint.load(tmp_path / "last.pt", start(configured(), 1))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x02."])
def test_a_torn_checkpoint_is_said_so(tmp_path, content):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        checkpoint.load(tmp_path / "last.pt", start(configured(), 1))


def test_the_loop_is_the_plain_one_to_the_last_bit():
    """Nothing that is off leaves a trace: the same as forward, backward and step written by hand."""
    config = configured(epochs=2)
    state, events = run(config)
    torch.manual_seed(config.training.seed)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, fused=True)
    losses = []
    for epoch in range(2):
        model.train()
        for images, labels in Tensors(*photos(), 7).epoch(epoch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert [e.loss for e in events if isinstance(e, BatchEnd)] == losses
    for a, b in zip(state.model.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def averaged(config, steps, decay=0.9):
    state = start(config, steps)
    state.average = Average(state.model, decay)
    return state


def test_training_is_the_same_with_an_average_and_validation_is_that_of_the_average():
    plain, events = run(configured())
    train, val = Tensors(*photos(), 7), Tensors(*photos(12, seed=9), 5, shuffle=False)
    state = averaged(configured(), len(train))
    told, measured = [], []
    for event in fit(state, train, val, configured()):
        told.append(event)
        if isinstance(event, EpochEnd):
            with state.kept():
                measured.append(loop.validate(state.model, val, optim.loss_function(TrainingConfig()), CPU))
    assert [e.loss for e in told if isinstance(e, BatchEnd)] == [e.loss for e in events if isinstance(e, BatchEnd)]
    for a, b in zip(plain.model.state_dict().values(), state.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    ends, plain_ends = ([e for e in some if isinstance(e, EpochEnd)] for some in (told, events))
    assert [e.val_loss for e in ends] == [m.loss for m in measured] != [e.val_loss for e in plain_ends]


def test_micro_batches_step_the_average_once_a_batch():
    train = Tensors(*photos(), 10)
    state = averaged(configured(epochs=2), len(train))
    state.micro_batch = 3
    list(fit(state, train, train, configured(epochs=2)))
    assert state.average.updates == 4 == state.step


def test_accuracy_of_mixed_photos_counts_the_class_that_has_most():
    shares = torch.tensor([[0.4, 0.6], [0.9, 0.1]])
    assert loop.dominant(shares).tolist() == [1, 0]
    assert loop.dominant(torch.tensor([1, 0])).tolist() == [1, 0]
    images = torch.zeros(2, 3, 8, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([0.0, 1.0]))  # it always says 1
    config = configured(epochs=1, lr=1e-30)
    hard = Tensors(images, torch.tensor([1, 0]), 2)
    (end,) = [e for e in fit(start(config, 1, model), Tensors(images, shares, 2), hard, config)
              if isinstance(e, EpochEnd)]  # fmt: skip
    assert end.train_accuracy == 0.5


def test_resumed_equals_uninterrupted_with_warm_up_average_and_mixing(tmp_path):
    config = RunConfig(
        optimizer=OptimizerConfig(lr=0.01),
        schedule=ScheduleConfig(kind="plateau", patience=0, warmup_epochs=1.5),
        training=TrainingConfig(epochs=5, mix="either", ema_decay=0.8, label_smoothing=0.1),
    )
    train = Mixed(Tensors(*photos(), 7), "either", 0.4, 2, seed=0)
    val = Tensors(*photos(12, seed=9), 5, shuffle=False)
    whole_state = averaged(config, len(train), 0.8)
    whole = list(fit(whole_state, train, val, config))
    first, begun = averaged(config, len(train), 0.8), []
    for event in fit(first, train, val, config):
        begun.append(event)
        if isinstance(event, EpochEnd) and event.epoch == 1:
            checkpoint.save(tmp_path / "last.pt", first)
            break
    torch.manual_seed(99)
    second = averaged(config, len(train), 0.8)
    checkpoint.load(tmp_path / "last.pt", second)
    resumed = list(fit(second, train, val, config))
    ends = [[c for c in curve(some) if len(c) == 4] for some in (begun, resumed, whole)]
    assert ends[0] + ends[1] == ends[2] and len(ends[2]) == 5
    with whole_state.kept(), second.kept():
        for a, b in zip(whole_state.model.state_dict().values(), second.model.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    assert second.best_epoch == whole_state.best_epoch
