"""How a device computes a run: number format, memory format, and what it does when memory runs out."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from catfish_core.config import ComputeConfig
from catfish_core.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """The formats a run computes in. As it is made by default: plain float32, as torch does by itself."""

    precision: Precision = "fp32"
    channels_last: bool = False
    compile: bool = False

    def placed(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model` on `device`, its convolutions in the chosen memory format."""
        if self.channels_last:
            return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
        return model.to(device)

    def moved(self, batch: Tensor, device: torch.device) -> Tensor:
        """`batch` on `device`; to CUDA from pinned memory, so that it is copied while the last step computes."""
        fast = device.type == "cuda" and batch.device.type == "cpu"
        there = (batch.pin_memory() if fast else batch).to(device, non_blocking=fast)
        if self.channels_last and there.dim() == 4:
            return there.contiguous(memory_format=torch.channels_last)
        return there

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """A context in which matrix products and convolutions are computed in `precision`."""
        if self.precision == "fp32":  # a context that does nothing still takes 20 of a short step's 800 microseconds
            return nullcontext()
        return torch.autocast(device.type, _DTYPES[self.precision])

    def learner(self, part: nn.Module) -> nn.Module:
        """`part` as the batches go through it: compiled where that was asked for; the weights are shared."""
        return torch.compile(part, dynamic=True) if self.compile else part  # type: ignore[return-value]

    @property
    def words(self) -> str:
        """What a person is told: “bf16, channels-last”."""
        return ", ".join(
            [self.precision, *["channels-last"] * self.channels_last, *["compiled"] * self.compile]
        )  # fmt: skip


def decide(config: ComputeConfig, device: torch.device, model: nn.Module) -> Compute:
    """The formats for `model` on `device`; raises ConfigError for one that the device does not have.

    What auto takes was measured, see docs/adr/0007: networks without convolutions stay in float32; on a CPU with
    bfloat16 instructions the others compute in it, except where depthwise convolutions are trained, whose
    gradients torch computes slowly in it; channels-last wherever a CPU or half precision convolves.
    """
    if config.precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"compute.precision: fp16 needs an NVIDIA card, and this run computes on {device.type}.",
            "Choose auto, fp32 or bf16.",
        )
    if config.compile and device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise ConfigError(
            "compute.compile: there is no C++ compiler on this machine.", "Install one, or switch it off."
        )
    precision = _auto_precision(device, model) if config.precision == "auto" else config.precision
    gains = bool(_convolutions(model)) and (device.type == "cpu" or (device.type == "cuda" and precision != "fp32"))
    channels_last = gains if config.channels_last == "auto" else config.channels_last == "on"
    return Compute(precision, channels_last, config.compile)


def _auto_precision(device: torch.device, model: nn.Module) -> Precision:
    convolutions = _convolutions(model)
    if not convolutions or device.type not in ("cpu", "cuda"):
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    depthwise = any(part.groups > 1 and part.weight.requires_grad for part in convolutions)
    return "bf16" if _cpu_has_bf16() and not depthwise else "fp32"


def _convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [part for part in model.modules() if isinstance(part, nn.Conv2d)]


def _cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 by itself; without that it is slower than float32."""
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


def parts(count: int, largest: int | None, least: int = 1) -> int:
    """Into how many equal parts a batch of `count` is split so that none exceeds `largest`.

    `least` goes before `largest`: BatchNorm cannot learn from one photo alone.
    """
    if largest is None or count <= largest:
        return 1
    return max(1, min(-(-count // largest), count // least))


def smallest_part(model: nn.Module) -> int:
    """How many photos `model` needs at once to learn: two where a BatchNorm is trained."""
    return 2 if any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in model.modules()) else 1


def reading(values: Tensor) -> Iterator[list[float]]:
    """The numbers of a small tensor, later: the copy starts now, the first `next` waits for it.

    On CUDA nothing waits for the device until then, so its queue never runs empty.
    """
    if values.device.type != "cuda":
        return iter([values.tolist()])
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def wait() -> Iterator[list[float]]:
        copied.synchronize()
        yield host.tolist()

    return wait()


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Compute with `number` threads inside, None for as many as before.

    Two threads that share a fraction of a millisecond of work spend it waiting for each other, and many times as
    long where another process has their core.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_memory() -> None:
    """Tell glibc to keep what a training frees instead of handing it back to the kernel.

    Activations are buffers of megabytes, freed and asked for again in every step. glibc maps and unmaps each of
    them, and the kernel fills every page with zeros again: a third of SimpleCNN's epoch on a CPU. What is kept is
    the most that a step needed at once, and a worker ends with its run. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    for option in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
        library.mallopt(option, 2**31 - 1)
