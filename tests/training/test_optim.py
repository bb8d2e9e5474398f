"""Optimizers, losses and devices from their configuration."""

import math

import pytest
import torch
from torch import nn

from catfish_core.config import OptimizerConfig, TrainingConfig
from catfish_core.errors import ConfigError
from catfish_core.training import optim


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_every_optimizer_lowers_a_simple_loss(name):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = optim.optimizer(model, OptimizerConfig(name=name, lr=0.01, weight_decay=1e-4))
    images, labels = torch.randn(16, 3), torch.randint(0, 2, (16,))
    loss = optim.loss_function(TrainingConfig())
    first = loss(model(images), labels).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
    assert loss(model(images), labels).item() < first
    assert type(optimizer).__name__.lower() == name
    assert optimizer.param_groups[0]["weight_decay"] == 1e-4


def test_only_trained_parameters_reach_the_optimizer():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    (group,) = optim.optimizer(model, OptimizerConfig()).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in model[1].parameters()]


def test_a_frozen_network_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="nothing to train"):
        optim.optimizer(nn.Linear(2, 2).requires_grad_(False), OptimizerConfig())


def test_cross_entropy_with_smoothing_is_torch_s():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    ours = optim.loss_function(TrainingConfig(label_smoothing=0.1))(logits, labels)
    assert ours == nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels)


def test_mse_is_the_brier_score():
    """Two photos by hand: probabilities (0.8, 0.2) and (0.5, 0.5), both of class 0."""
    logits = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    loss = optim.loss_function(TrainingConfig(loss="mse"))(logits, torch.tensor([0, 0]))
    assert loss.item() == pytest.approx((0.04 + 0.04 + 0.25 + 0.25) / 2)


def test_mse_takes_label_smoothing_too():
    logits = torch.tensor([[0.9, 0.1]]).log()
    loss = optim.loss_function(TrainingConfig(loss="mse", label_smoothing=0.2))(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_a_device_that_is_not_here_is_named_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no cuda device.*cpu"):
        optim.device("cuda")


def test_auto_takes_the_best_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert optim.device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert optim.device("auto").type == "cpu"


@pytest.mark.parametrize("name", ["cross_entropy", "mse"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_certain_shares_are_labels(name, smoothing):
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    loss = optim.loss_function(TrainingConfig(loss=name, label_smoothing=smoothing))
    shares = nn.functional.one_hot(labels, 3).float()
    assert loss(logits, shares).item() == pytest.approx(loss(logits, labels).item(), rel=1e-6)


def test_losses_of_a_mixed_photo_by_hand():
    """Probabilities (0.8, 0.2) for a photo that is 3/4 of class 0."""
    logits, shares = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.75, 0.25]])
    entropy = optim.loss_function(TrainingConfig())(logits, shares)
    assert entropy.item() == pytest.approx(-0.75 * math.log(0.8) - 0.25 * math.log(0.2), rel=1e-5)
    brier = optim.loss_function(TrainingConfig(loss="mse"))(logits, shares)
    assert brier.item() == pytest.approx(0.05**2 + 0.05**2, rel=1e-5)
    smoothed = optim.loss_function(TrainingConfig(loss="mse", label_smoothing=0.2))(logits, shares)
    assert smoothed.item() == pytest.approx(0.1**2 + 0.1**2, rel=1e-5)  # the shares become 0.7 and 0.3
