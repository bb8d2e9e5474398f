"""One process of a team, for test_distributed.py: `team_member.py STORE` trains small networks and prints what came.

Alone where RANK is not set. Dropout is off: each process draws its own, so that only this can differ.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from catfish_core import augment
from catfish_core.augment import ColorJitter, RandomAffine, RandomHorizontalFlip
from catfish_core.config import AugmentConfig, OptimizerConfig, RunConfig, ScheduleConfig, TrainingConfig
from catfish_core.data.loader import Batches, Pictures
from catfish_core.events import BatchEnd, EarlyStop, EpochEnd
from catfish_core.models.simple import SimpleCNN
from catfish_core.parts import PartsConfig
from catfish_core.process import leave
from catfish_core.training import optim
from catfish_core.training.distributed import ALONE, join
from catfish_core.training.loop import TrainState, fit

CPU = torch.device("cpu")
SIZE = 16


def pictures(count, seed):
    """Two classes told apart by their brightness, with noise."""
    labels = [n % 2 for n in range(count)]
    noise = np.random.default_rng(seed).integers(0, 120, (count, SIZE, SIZE, 3))
    pixels = (noise + 60 * np.array(labels)[:, None, None, None]).astype(np.uint8)
    return Pictures([Path()] * count, SIZE, cached=lambda indices: pixels[np.asarray(indices)]), labels


def batches(count, size, seed, team, steps=(), shuffled=True):
    made, labels = pictures(count, seed)
    changes = augment.build(steps, SIZE) if steps else None
    how = {"augment": changes, "seed": seed if shuffled else None, "share": team.part}
    return Batches(made, labels, size, (0.5,) * 3, (0.3,) * 3, **how)


def without_dropout(model):
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return model


def with_norm():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(196, 2))


def trained(
    team, model, steps=(), batch_size=8, micro_batch=None, count=29, stop_after=None, preset="everything", **training
):
    """What `fit` says of 29 photos in batches of 8, the last of 5; epoch → its means, step → its loss."""
    config = RunConfig(
        augment=AugmentConfig(steps=steps),
        optimizer=OptimizerConfig(name="adam", lr=training.pop("lr", 1e-3)),
        schedule=ScheduleConfig(kind="plateau", patience=0),
        training=TrainingConfig(batch_size=batch_size, **{"epochs": 2, **training}),
    )
    thawing = PartsConfig(preset=preset, every=1)
    config = config.model_copy(update={"parts": thawing})  # unchecked: from scratch nothing would be frozen
    train = batches(count, batch_size, 1, team, steps)
    val = batches(11, batch_size, 2, team, shuffled=False)
    groups = optim.groups(model, config) if preset == "gradual" else ()
    optimizer = optim.optimizer(model, config.optimizer, groups)
    schedule = optim.Schedule(optimizer, config, len(train))
    state = TrainState(
        model, optimizer, schedule, CPU, learner=team.learner(model), micro_batch=micro_batch, team=team
    )
    told = []
    stop = team.agreed(lambda: team.leads and stop_after is not None and len(told) >= stop_after)
    for event in fit(state, train, val, config, stop):
        if isinstance(event, BatchEnd):
            told.append((event.loss, event.lr))
        if isinstance(event, EpochEnd):
            told.append((event.train_loss, event.train_accuracy, event.val_loss, event.val_accuracy))
        if isinstance(event, EarlyStop):
            told.append(("early", event.epoch))
    return {"told": told, "buffers": [buffer.sum().item() for buffer in model.buffers()]}


def cnn():
    torch.manual_seed(0)
    return without_dropout(SimpleCNN(2))


def main(store):
    team = ALONE if "RANK" not in os.environ else join(Path(store), RunConfig(training=TrainingConfig(device="cpu")))
    changes = (RandomHorizontalFlip(), ColorJitter(brightness=0.2, hue=0.1), RandomAffine())
    found = {
        "plain": trained(team, cnn()),
        "augmented": trained(team, cnn(), changes),
        "parts": trained(team, cnn(), micro_batch=3),
        "gradual": trained(team, cnn(), preset="gradual", epochs=4),
        "idle": trained(team, cnn(), batch_size=8, count=10),  # a last batch of two, for one of them alone
        "patience": trained(team, cnn(), lr=1e-30, epochs=9, patience=2),
        "stopped": trained(team, cnn(), epochs=1000, stop_after=6),
    }
    torch.manual_seed(0)
    found["norm"] = trained(team, with_norm())
    team.step_begins(3, 1)
    found["draw"] = torch.rand(1).item()
    print(json.dumps(found), flush=True)
    team._meet()  # so that both have heard all of each other
    leave(0)  # as those of a run do: torch's threads for talking do not like to be taken apart


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
