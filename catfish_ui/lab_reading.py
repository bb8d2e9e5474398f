"""The state of the machine and of the queue, in words.  [no streamlit]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from catfish_core.jobs.census import Entry
from catfish_core.jobs.devices import Device
from catfish_core.jobs.queue import Health
from catfish_core.lab.machine import Reading, Share
from catfish_core.lab.messages import Ended
from catfish_core.lab.services import Service
from catfish_core.lab.usage import GIGABYTE, Usage, Waste
from catfish_ui.text import ago, count, percent, plain, shorten, size

HIGHEST, LOWEST = 9, -9  # priorities


@dataclass(frozen=True)
class Meter:
    """Something that fills up: what it is, how full (0 to 1), and that in words."""

    name: str
    value: str
    part: float
    note: str = ""


def meters(reading: Reading, devices: Sequence[Device]) -> list[Meter]:
    """The processor, its memory, each graphics card and the disk."""
    places = {device.name: device for device in devices}
    memory, disk = reading.memory_used / reading.memory_total, 1 - reading.disk_free / reading.disk_total
    cores = count(len(reading.cores), "core")
    found = [
        Meter("Processor", f"{percent(reading.load)} busy", reading.load, _joined(cores, _places(places.get("cpu")))),
        Meter("Memory", f"{size(reading.memory_used)} used", memory, f"of {size(reading.memory_total)}"),
    ]
    for gpu in reading.gpus:
        load = gpu.load if gpu.load is not None else gpu.memory_used / gpu.memory_total
        value = f"{percent(gpu.load)} busy" if gpu.load is not None else f"{size(gpu.memory_used)} used"
        warm = f"{gpu.celsius} °C" if gpu.celsius is not None else ""
        held = f"{size(gpu.memory_used)} of {size(gpu.memory_total)} memory"
        found.append(Meter(gpu.name, value, load, _joined(held, warm, _places(places.get(f"cuda:{gpu.index}")))))
    found.append(Meter("Disk", f"{size(reading.disk_free)} free", disk, f"of {size(reading.disk_total)}"))
    return found


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _places(device: Device | None) -> str:
    """“1 of 2 places taken”: how many jobs a device takes at once."""
    return f"{device.taken} of {count(device.slots, 'place')} taken" if device else ""


def takes(share: Share | None) -> str:
    """“1.9 cores, 640 MB”."""
    return f"{share.cores:.1f} cores, {size(share.memory)}" if share else ""


def moves(entry: Entry, waiting: Sequence[Entry], highest: int) -> dict[str, int]:
    """The priorities that put `entry` before the one in front of it (“sooner”) and behind the next one (“later”)."""
    at = waiting.index(entry)
    found = {}
    if at and (up := max(entry.priority, waiting[at - 1].priority) + 1) <= highest:
        found["sooner"] = up
    if at + 1 < len(waiting) and (down := min(entry.priority, waiting[at + 1].priority) - 1) >= LOWEST:
        found["later"] = down
    return found


WASTE = {
    "caches": (
        "Prepared photos and features",
        "Copies that make training quick. They are made again when a run needs them, which takes it a little longer.",
    ),
    "downloads": ("Archives that were unpacked", "The photos stay. They would be downloaded again only if deleted."),
    "leftovers": ("Leftovers", "What was being deleted when the computer went off."),
    "failed": ("Failed runs that kept nothing", "They ended before there were any weights: only their logs go."),
    "checkpoints": (
        "Checkpoints of finished runs",
        "Models, curves and results stay. These runs can then no longer be trained longer from where they ended.",
    ),
}


def waste(item: Waste) -> tuple[str, str]:
    """What can go, and what that means."""
    title, about = WASTE[item.kind]
    return (f"{title} ({len(item.ids):,})" if item.ids else title), about


def counted(usage: Usage, now: datetime) -> str:
    """How old the count is: “Counted just now: 1,204 files.”"""
    return f"Counted {ago(datetime.fromtimestamp(usage.time), now)}: {count(usage.files, 'file')}."


def person(owner: str) -> str:
    """Whose something is."""
    return owner or "everybody's"


def of_quota(taken: int, quota_gb: float | None) -> str:
    """“12 GB of 50 GB”."""
    return f"{size(taken)} of {size(quota_gb * GIGABYTE)}" if quota_gb else size(taken)


KINDS = {
    "runs": "Runs", "sweeps": "Sweeps", "datasets": "Datasets", "caches": "Prepared photos and other caches",
    "weights": "Pretrained weights", "downloads": "Downloads", "other": "Everything else",
}  # fmt: skip


def news(ended: Ended) -> tuple[str, str]:
    """What a notification says of a run that has ended, as Markdown, and its icon."""
    name = f"**{plain(shorten(ended.title, 60))}**"
    return {
        "completed": (f"{name} is done.", ":material/check_circle:"),
        "failed": (f"{name} failed. Its page says why.", ":material/error:"),
    }.get(ended.status, (f"{name} was interrupted. Its page can go on with it.", ":material/power_off:"))


def health(found: Health, now: datetime) -> str:
    """How the process that starts the runs is doing."""
    if not found.alive:
        return "It wakes up by itself when there is something to do."
    return f"Started {ago(datetime.fromtimestamp(found.since), now)}." if found.since else ""


def predictions(found: Service | None, now: datetime) -> str:
    """How the process that answers with predictions is doing."""
    if found is None:
        return "It wakes up by itself when somebody asks."
    return f"Started {ago(datetime.fromtimestamp(found.since), now)}; it takes {size(found.memory)} of memory."
