"""Learning-rate schedules against torch's own."""

import pytest
import torch
from torch.optim import lr_scheduler

from catfish_core.config import OptimizerConfig, RunConfig, ScheduleConfig, TrainingConfig
from catfish_core.training.optim import Plateau, Schedule
from catfish_core.training.schedule import multiplier

STEPS, EPOCHS, LR = 7, 12, 0.3


def rates(kind, **settings):
    schedule = ScheduleConfig(kind=kind, **settings)
    return [LR * multiplier(schedule, step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]


def torch_rates(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    found = []
    for _ in range(STEPS * EPOCHS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (rates("constant"), lambda o: lr_scheduler.ConstantLR(o, factor=1)),
        (rates("step", step_size=3, gamma=0.5), lambda o: lr_scheduler.StepLR(o, 3 * STEPS, 0.5)),
        (rates("cosine"), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS * EPOCHS)),
        (
            rates("one_cycle", warmup=0.3),
            lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=STEPS * EPOCHS, pct_start=0.3, cycle_momentum=False),
        ),
    ],
    ids=["constant", "step", "cosine", "one_cycle"],
)
def test_schedules_equal_torch(ours, theirs):
    expected = torch_rates(theirs)
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_plateau_equals_torch():
    losses = [1.0, 0.9, 0.91, 0.92, 0.93, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.79, 0.9, 0.9, 0.9, 0.9]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    ours = Plateau(gamma=0.1, patience=2)
    for loss in losses:
        theirs.step(loss)
        ours.see(loss)
        assert ours.factor == pytest.approx(optimizer.param_groups[0]["lr"])


def test_groups_keep_their_proportion():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:], "lr": 0.3}], lr=1.0
    )
    config = RunConfig(
        optimizer=OptimizerConfig(lr=0.3),
        schedule=ScheduleConfig(kind="cosine"),
        training=TrainingConfig(epochs=EPOCHS),
    )
    schedule = Schedule(optimizer, config, STEPS)
    for step in (0, 10, 50):
        head = schedule.apply(step)
        low, high = (group["lr"] for group in optimizer.param_groups)
        assert high == head and low == pytest.approx(high / 3)


@pytest.mark.parametrize("kind", ["constant", "step", "cosine", "one_cycle", "plateau"])
def test_a_run_of_one_step_has_a_rate(kind):
    assert 0 < multiplier(ScheduleConfig(kind=kind), 0, 1, 1) <= 1
