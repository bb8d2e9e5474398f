"""Learning-rate schedules against torch's own."""

import pytest
import torch
from torch.optim import lr_scheduler

from catfish_core.config import OptimizerConfig, RunConfig, ScheduleConfig, TrainingConfig
from catfish_core.training.optim import Plateau, Schedule
from catfish_core.training.schedule import multiplier, warmup

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


def test_warm_up_is_a_line_from_almost_nothing_to_all():
    assert [warmup(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [warmup(step, 0) for step in range(2)] == [1.0, 1.0]


def few(kind, steps=2, epochs=4, **settings):
    """The multipliers of a run of 4 epochs of 2 steps."""
    schedule = ScheduleConfig(kind=kind, **settings)
    return [multiplier(schedule, step, steps, epochs) for step in range(steps * epochs)]


def test_warm_up_with_every_schedule_by_hand():
    assert few("constant", warmup_epochs=2) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert few("plateau", warmup_epochs=0.5) == [1, 1, 1, 1, 1, 1, 1, 1]
    assert few("plateau", warmup_epochs=1.5) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1])
    # falls to a half after epochs 1, 2 and 3, with a warm-up and without
    assert few("step", step_size=1, gamma=0.5, warmup_epochs=2) == [
        0.25, 0.5, 0.75 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8, 1 / 8,
    ]  # fmt: skip
    # four steps up, then (1 + cos(pi k / 4)) / 2 for k = 0 … 3
    half = 0.5**0.5 / 2
    assert few("cosine", warmup_epochs=2) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5 + half, 0.5, 0.5 - half])


def test_one_cycle_has_a_rise_of_its_own():
    assert few("one_cycle", warmup_epochs=2) == few("one_cycle")


def test_a_plateau_schedule_waits_for_the_end_of_the_warm_up():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    config = RunConfig(
        optimizer=OptimizerConfig(lr=1.0),
        schedule=ScheduleConfig(kind="plateau", gamma=0.5, patience=0, warmup_epochs=2),
        training=TrainingConfig(epochs=5),
    )
    schedule = Schedule(optimizer, config, 2)
    last = []
    for epoch in range(5):
        for step in (2 * epoch, 2 * epoch + 1):
            rate = schedule.apply(step)
        last.append(rate)
        schedule.epoch_done(1.0, 2 * epoch + 2)  # it never gets better
    # Epoch 0 still warms up and is not seen; epoch 1 sets the mark, 2 and 3 are no better.
    assert last == [0.5, 1.0, 1.0, 0.5, 0.25]
