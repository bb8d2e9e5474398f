"""One run on several processes of one machine: who computes what, and how all of them agree.

Each process has the whole network and takes its share of every batch; DistributedDataParallel adds up the
gradients. The order of the photos, what augmentation draws for each, and every step are those of one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from catfish_core.config import RunConfig
from catfish_core.data.loader import mixed
from catfish_core.errors import ConfigError
from catfish_core.training import optim

LEAST = 2  # photos a process computes at once, if there are so many: BatchNorm cannot learn from one
FOREVER = timedelta(days=30)  # a process may wait while another prepares the photos; the death of one is noticed


def processes(config: RunConfig) -> int:
    """How many processes the run takes; raises ConfigError for more than the device has room for."""
    wanted, device = config.compute.processes, optim.device(config.training.device)
    cards = torch.cuda.device_count() if device.type == "cuda" else 1
    if wanted == "auto":
        return max(1, cards) if config.training.mix == "off" else 1  # photos are mixed across their batch
    if device.type != "cpu" and wanted > cards:
        raise ConfigError(
            f"compute.processes: this run wants {wanted}, one for each graphics card, and there is only {cards} here."
            if cards == 1
            else f"compute.processes: this run wants {wanted}, one for each graphics card; there are {cards} here.",
            "Choose auto, or let the processor compute it (training.device=cpu).",
        )
    return wanted


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen from one of them: the one called `rank` of `size`. Alone by default.

    Those that take part call the same methods in the same order, or they wait for each other for ever.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes events, checkpoints and models."""
        return self.rank == 0

    def weight(self, count: int) -> float:
        """The part of a batch of `count` that counts here, 0 to 1; all processes together have 1."""
        start, stop = self._bounds(count)
        return (stop - start) / count

    def part(self, batch: Tensor) -> Tensor:
        """Those of `batch` that are computed here; where the weight is 0, the first few, so that no process idles."""
        start, stop = self._bounds(len(batch))
        return batch[start:stop] if stop > start else batch[:LEAST]

    def _bounds(self, count: int) -> tuple[int, int]:
        """Equal shares for as many as can have LEAST photos each; the rest have none."""
        working = max(1, min(self.size, count // LEAST))
        return (count * self.rank // working, count * (self.rank + 1) // working) if self.rank < working else (0, 0)

    def model(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model` with BatchNorms that look at the whole batch. On CUDA only: elsewhere each sees its own share."""
        if self.size == 1 or device.type != "cuda":
            return model
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    def learner(self, part: nn.Module) -> nn.Module:
        """`part` so that a backward pass leaves the mean of all processes' gradients on every one of them.

        To be called again when other parameters are trained: which they are is looked up here.
        """
        if self.size == 1:
            return part
        bare = part.module if isinstance(part, DistributedDataParallel) else part
        return DistributedDataParallel(bare, forward_sync_buffers=False)

    def silent(self, learner: nn.Module, silent: bool) -> AbstractContextManager[object]:
        """A context whose forward passes leave gradients here, for more to be added, where `silent`."""
        return learner.no_sync() if silent and isinstance(learner, DistributedDataParallel) else nullcontext()

    def summed(self, numbers: Tensor) -> Tensor:
        """`numbers` added up over all processes; on CUDA without waiting for the sum."""
        if self.size > 1:
            dist.all_reduce(numbers)
        return numbers

    def step_begins(self, seed: int, step: int) -> None:
        """Let each process draw its own dropout; the first goes on as it would alone.

        The others begin anew with every step, so that a checkpoint, which the first one writes, need not hold
        where they are.
        """
        if not self.leads:
            torch.manual_seed(mixed(seed, step, self.rank))

    def validation_begins(self, model: nn.Module) -> None:
        """Give all the first one's running statistics: those that will be saved."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The first process does what is inside while the others wait; then they find it done."""
        if not self.leads:
            self._meet()
        yield
        if self.leads:
            self._meet()

    def _meet(self) -> None:
        self.summed(torch.zeros(1))

    def agreed(self, should_stop: Callable[[], bool]) -> Callable[[], bool]:
        """The first process's wish to stop, heard by all at the same question."""
        return should_stop if self.size == 1 else _Agreed(should_stop)


class _Agreed:
    """Each question sends the answer to the next one on its way, so that nobody waits for it: it is a batch late."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop
        self._answer = torch.zeros(1)  # on the CPU: no device is waited for
        self._coming: dist.Work | None = None

    def __call__(self) -> bool:
        if self._coming is not None:
            self._coming.wait()
            self._coming = None
        if self._answer.item():
            return True
        self._answer = torch.tensor([float(self._should_stop())])
        self._coming = dist.broadcast(self._answer, 0, async_op=True)
        return False


ALONE = Team()


def join(store: Path, config: RunConfig) -> Team:
    """The team that torchrun started this process for; `store` is a file by which its members find each other.

    On CUDA each takes the card of its number.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    cuda = optim.device(config.training.device).type == "cuda"
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        store=dist.FileStore(os.fspath(store), size),  # type: ignore[attr-defined]
        rank=rank,
        world_size=size,
        timeout=FOREVER,
    )
    return Team(rank, size)


def lost(error: BaseException) -> bool:
    """Whether `error` says that another process has gone: not the fault, but what follows from it."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
