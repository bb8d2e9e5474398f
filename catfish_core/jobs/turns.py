"""Whose turn it is, and whether there is room: pure functions, so that what is shown is what is done.  [no torch]"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from catfish_core.jobs.census import Entry
from catfish_core.jobs.devices import CPU, Device

MEMORY = 2**30  # bytes a job may take before it starts to learn: torch, the network, decoded photos of a batch
DISK = 2**25  # bytes that must be free, or a job could not even write down that it failed


@dataclass(frozen=True)
class Room:
    """What there is to share now: devices, free bytes of memory and of disk; how many jobs one person may run."""

    devices: Sequence[Device]
    memory: int
    disk: int
    limit: int | None = None


def order(waiting: Iterable[Entry], running: Iterable[Entry], served: Mapping[str, int]) -> list[Entry]:
    """`waiting` in the order in which they start.

    Who has the fewest jobs running goes first; then the higher priority; then who was served least recently
    (`served`: owner → turn); then who came first.
    """
    have = Counter(entry.owner for entry in running)
    turns = dict(served)
    theirs: dict[str, list[Entry]] = defaultdict(list)
    came = {}
    for number, entry in enumerate(waiting):
        theirs[entry.owner].append(entry)
        came[entry] = number
    for entries in theirs.values():
        entries.sort(key=lambda entry: (-entry.priority, came[entry]), reverse=True)  # taken off the end
    ordered: list[Entry] = []
    while theirs:
        heads = [entries[-1] for entries in theirs.values()]
        next_one = min(heads, key=lambda e: (have[e.owner], -e.priority, turns.get(e.owner, 0), came[e]))
        owner = next_one.owner
        ordered.append(theirs[owner].pop())
        have[owner] += 1
        turns[owner] = max(turns.values(), default=0) + 1
        if not theirs[owner]:
            del theirs[owner]
    return ordered


def place(entry: Entry, running: Sequence[Entry], room: Room) -> tuple[str, str]:
    """The slot that `entry` gets, or “” and a sentence that says why it gets none now.

    A job that would never find enough memory starts when nothing else runs, rather than waiting for good.
    """
    theirs = sum(other.owner == entry.owner for other in running)
    if room.limit is not None and theirs >= room.limit:
        return "", f"{_jobs(theirs)} of {entry.owner or 'yours'} run already, as many as one person may have."
    if room.disk < DISK:
        return "", "The disk is full: it starts when there is space again."
    if running and room.memory < MEMORY:
        return "", f"Only {room.memory / 2**30:.1f} GB of memory are free: it starts when there is {MEMORY >> 30} GB."
    return _slot(entry, room.devices)


def _slot(entry: Entry, devices: Sequence[Device]) -> tuple[str, str]:
    cards = [device for device in devices if device.name != CPU and device.slots]
    free = [device.name for device in cards if device.free]
    wanted = min(entry.devices, len(cards))
    if entry.wants in ("auto", "cuda") and cards:
        if len(free) >= wanted:
            return ",".join(free[:wanted]), ""
        if entry.wants == "cuda":
            what = "graphics card" if len(cards) == 1 else f"{len(cards)} graphics cards"
            return "", f"The {what} {'is' if len(cards) == 1 else 'are'} at work on other jobs."
    processor = next(device for device in devices if device.name == CPU)
    if processor.free:
        return CPU, ""
    if not processor.slots:
        return "", "This lab lets no jobs run on the processor alone: it waits for a graphics card."
    return "", f"{_jobs(processor.taken)} {'is' if processor.taken == 1 else 'are'} at work on the processor."


def _jobs(count: int) -> str:
    return "One job" if count == 1 else f"{count} jobs"
