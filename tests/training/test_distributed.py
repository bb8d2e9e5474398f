"""Several processes are one run: each batch, step and mean is that of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from catfish_core.config import ComputeConfig, RunConfig, TrainingConfig, parse
from catfish_core.errors import ConfigError, TrainingError
from catfish_core.training import distributed, loop, optim
from catfish_core.training.distributed import Team

ROOT = Path(__file__).parents[2]
MEMBER = Path(__file__).with_name("team_member.py")


def members(store, size):
    """What each of `size` processes found; alone it has no rank."""
    begun = []
    for rank in range(size):
        place = {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)} if size > 1 else {}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **place}
        command = [sys.executable, str(MEMBER), str(store)]
        begun.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=240)[0] for process in begun]
    assert [process.returncode for process in begun] == [0] * size
    return [json.loads(text) for text in said]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process found, and what each of two did."""
    store = tmp_path_factory.mktemp("team") / "store"
    return members(store, 1)[0], *members(store, 2)


def numbers(told):
    return [number for row in told for number in row if not isinstance(number, str)]


@pytest.mark.parametrize("case", ["plain", "augmented", "parts", "gradual", "idle", "patience"])
def test_two_processes_are_one(found, case):
    alone, first, second = (one[case]["told"] for one in found)
    assert len(alone) == len(first) and numbers(first) == pytest.approx(numbers(alone), abs=1e-4)
    assert second == first  # and agree to the last digit, or their weights would drift apart


def test_patience_ends_both_at_the_same_epoch(found):
    alone, first, second = (one["patience"]["told"] for one in found)
    assert alone[-1] == first[-1] == second[-1] == ["early", 2]


def test_a_wish_ends_both_at_the_same_step_one_batch_late(found):
    alone, first, second = (one["stopped"]["told"] for one in found)
    assert (len(alone), len(first), len(second)) == (6, 7, 7)


def test_batchnorm_sees_its_share_and_the_first_process_s_statistics_are_everybody_s(found):
    alone, first, second = (one["norm"] for one in found)
    assert first == second
    assert numbers(first["told"]) == pytest.approx(numbers(alone["told"]), abs=0.2)


def test_each_process_draws_its_own_dropout(found):
    alone, first, second = (one["draw"] for one in found)
    assert alone == first != second


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_make_up_the_batch(size):
    for count in range(1, 25):
        batch = list(range(count))
        team = [Team(rank, size) for rank in range(size)]
        weights = [one.weight(count) for one in team]
        assert sum(weights) == pytest.approx(1)
        shares = [one.part(batch) for one in team]
        assert [n for share, weight in zip(shares, weights, strict=True) if weight for n in share] == batch
        assert all(len(share) >= min(count, 2) for share in shares)
        assert [len(share) / count for share, weight in zip(shares, weights, strict=True) if weight] == pytest.approx(
            [weight for weight in weights if weight]
        )


def configured(wanted, device="cpu"):
    return RunConfig(training=TrainingConfig(device=device), compute=ComputeConfig(processes=wanted))


def test_how_many_processes(monkeypatch):
    assert [distributed.processes(configured(wanted)) for wanted in ("auto", 1, 3)] == [1, 1, 3]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [distributed.processes(configured(wanted, "auto")) for wanted in ("auto", 1, 3)] == [4, 1, 3]
    with pytest.raises(ConfigError, match="there are 4 here"):
        distributed.processes(configured(5, "cuda"))


@pytest.mark.parametrize("wanted", [0, 65, 2.5, True, "two"])
def test_no_such_number_of_processes(wanted):
    with pytest.raises(ConfigError, match="compute.processes: must be auto or"):
        parse({"compute": {"processes": wanted}})


def test_memory_that_runs_out_on_several_processes_is_said_not_mended(monkeypatch):
    """The others are adding up gradients: none of them can begin its batch again alone."""

    def greedy(images):
        raise torch.OutOfMemoryError("out of memory")

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    state = loop.TrainState(model, optimizer, optim.Schedule(optimizer, RunConfig(), 1), torch.device("cpu"))
    state.team, state.learner = Team(0, 2), greedy
    monkeypatch.setattr(loop, "smallest_part", lambda model: 1)
    with pytest.raises(TrainingError, match="Set compute.micro_batch to 4"):
        next(loop._gradients(state, torch.zeros(8, 3), torch.zeros(16, dtype=torch.int64), optim.loss_function, 0))
