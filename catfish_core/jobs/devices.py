"""What computes here, and how many jobs each device takes at once.  [no torch]"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catfish_core.process import cores

CORES_A_JOB = 4  # fewer than these for each of several trainings, and they are slower than one after the other
CPU = "cpu"


@dataclass(frozen=True)
class Device:
    """A device with `slots` places, of which `taken` are; `words` is what a person calls it."""

    name: str
    words: str
    slots: int
    taken: int = 0

    @property
    def free(self) -> int:
        """Places that nobody has."""
        return max(0, self.slots - self.taken)


def devices(slots: Mapping[str, int] | None, running: Iterable[str]) -> tuple[Device, ...]:
    """The graphics cards, then the processor; `running` are the slots of what runs, `slots` the lab's own numbers.

    Without those a card has one place, and the processor one for every four cores.
    """
    taken = Counter(name for slot in running for name in slot.split(","))
    names = {f"cuda:{index}": (words, 1) for index, words in enumerate(cards())}
    names[CPU] = ("the processor", max(1, cores() // CORES_A_JOB))
    given = slots or {}
    return tuple(
        Device(name, words, max(0, given.get(name, usual)), taken[name]) for name, (words, usual) in names.items()
    )


@functools.cache
def cards() -> tuple[str, ...]:
    """The names of NVIDIA's cards in the order of the bus, those that CUDA_VISIBLE_DEVICES shows where it is set."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, OSError):
        return ()
    except pynvml.NVMLError:  # no driver
        return ()
    handles = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount()))
    names = [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    pynvml.nvmlShutdown()
    shown = (int(index) for index in visible(len(names)) if index.isdigit())
    return tuple(names[index] for index in shown if index < len(names))


def visible(count: int) -> list[str]:
    """How CUDA calls the cards that this process may use, of `count` there are."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(i) for i in range(count)] if shown is None else [name.strip() for name in shown.split(",") if name]


def environment(slot: str, places: int, processes: int = 1) -> dict[str, str]:
    """What makes a worker compute on `slot` alone, as one of `places` that share the cores.

    Trainings that take more threads than there are cores wait for each other in OpenMP's spinning, and each becomes
    several times slower. A number of threads that somebody set already stays.
    """
    chosen: dict[str, str] = {}
    if places * processes > 1 and "OMP_NUM_THREADS" not in os.environ:
        chosen["OMP_NUM_THREADS"] = str(max(1, cores() // (places * processes)))
    if cards():
        names = visible(len(cards()))
        cuda = [names[int(name.partition(":")[2])] for name in slot.split(",") if name != CPU]
        chosen |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(cuda)}
    return chosen
