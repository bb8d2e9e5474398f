"""`python -m benchmarks.scale`: what 1,000, 10,000 and 100,000 photos cost, in the product's processes.  [no torch]

For each size: photos are generated, imported as a person would, looked at on the Data page in a fresh process, and
trained on by a worker. Time is wall-clock time and, beside it, processor time, which others on the machine disturb
less. Memory is the peak of the process that does the work; each is started by this small one, because Linux
hands a process's peak on to what it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from benchmarks import place
from benchmarks.peak import ROOT
from catfish_core import events, runs
from catfish_core.config import ComputeConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.data import library
from catfish_core.errors import CatfishError, RunError
from catfish_core.events import Completed, EpochEnd, Preparing
from catfish_core.workspace import Workspace, write_text

SIZES = (1_000, 10_000, 100_000)
LATEST = Path(__file__).parent / "results" / "scale.json"
CLASSES, SIDE = 10, 64
MEASURED = 140_000  # photos trained on for the cost of an epoch, at least two epochs
MOST_EPOCHS = 60


@dataclass(frozen=True)
class Cost:
    """A process from its start to its end: seconds on the clock and of the processor, peak resident memory."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Scale:
    """What `photos` photos cost.

    `scan`: the import; `page_s`: the Data page in a fresh server, of which `open_s` and `count_s` are reading the
    index and the counts; `again_s`: the page once more. `first`: the first run of a worker, which
    decodes all photos; `epoch_s` and `epoch_cpu_s`: one more epoch; `per_photo`: its processor time a photo, as
    times that of the smallest size.
    """

    photos: int
    scan: Cost
    told: int
    count_s: float
    open_s: float
    page_s: float
    again_s: float
    first: Cost
    warm: Cost
    epoch_s: float
    epoch_cpu_s: float
    report_mb: float
    per_photo: float = 1.0


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 where something that a person can mend went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="N", help="photos")
    parser.add_argument("--arch", default="simple_net", help="the network (simple_net)")
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help="where to write the rows")
    parser.add_argument("--page", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.page:
        print(json.dumps(_page(Workspace.default(), asked.page)))
        return 0
    rows: list[Scale] = []
    try:
        for size in asked.sizes:
            with place.empty("catfish-scale-") as workspace:
                made = _measured(workspace, size, asked.arch)
            first = rows[0] if rows else made
            ratio = (made.epoch_cpu_s / made.photos) / (first.epoch_cpu_s / first.photos)
            rows.append(Scale(**{**vars(made), "per_photo": ratio}))
    except CatfishError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{table(rows)}\n")
    write_text(asked.json, json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print(f"Written to {asked.json}")
    return 0


def _measured(workspace: Workspace, size: int, arch: str) -> Scale:
    _tell(size, "generating photos")
    id, photos = f"generated-{size}", workspace.root / f"generated-{size}"
    generate(photos, size)
    _tell(size, "importing")
    log = workspace.root / "import.jsonl"
    scan = _process("catfish_core.data.library", "--log", str(log), "add", id, str(photos))
    told = sum(isinstance(event, Preparing) for event in events.read(log)[0])
    _tell(size, "opening the Data page")
    page = json.loads(_output("benchmarks.scale", "--page", id))
    _tell(size, "the first run")
    first, _ = _run(workspace, id, arch, 1)
    more = max(2, min(MOST_EPOCHS, MEASURED // size))
    _tell(size, f"one epoch, then {1 + more}")
    once, _ = _run(workspace, id, arch, 1)
    warm, done = _run(workspace, id, arch, 1 + more)
    seconds = sorted(event.seconds for event in done.events()[0] if isinstance(event, EpochEnd))
    return Scale(
        photos=size,
        scan=scan,
        told=told,
        **page,
        first=first,
        warm=warm,
        epoch_s=seconds[len(seconds) // 2],
        epoch_cpu_s=(warm.cpu_s - once.cpu_s) / more,
        report_mb=done.report_path.stat().st_size / 1e6,
    )


def generate(folder: Path, count: int) -> None:
    """`count` JPEGs of SIDE px with colours of their class and a pattern of their own, one folder a class."""
    for n in range(CLASSES):
        (folder / f"class-{n}").mkdir(parents=True, exist_ok=True)
    draw = random.Random(count)
    for n in range(count):
        label = n % CLASSES
        tint = (25 * label, 255 - 25 * label, 128)
        cells = bytes((c + b) // 2 for b in draw.randbytes(64) for c in tint)
        picture = Image.frombytes("RGB", (8, 8), cells).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        picture.save(folder / f"class-{label}" / f"{n:06}.jpg", quality=80)


def _run(workspace: Workspace, id: str, arch: str, epochs: int) -> tuple[Cost, runs.Run]:
    """A worker on the photos, as the app starts it, and the run it made."""
    config = RunConfig(
        data=DataConfig(dataset=id, image_size=SIDE),
        model=ModelConfig(arch=arch),
        training=TrainingConfig(epochs=epochs, device="cpu"),
        compute=ComputeConfig(precision="fp32"),
    )
    run = runs.create(workspace, config)
    cost = _process("catfish_core.jobs.worker", str(run.path))
    ended = run.events()[0][-1]
    if not isinstance(ended, Completed):
        raise RunError(f"A run did not end as it should: {ended}")
    return cost, run


def _process(module: str, *arguments: str) -> Cost:
    """`python -m module arguments` to its end; raises RunError where it fails."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RunError(f"{module} ended with {child.returncode}.")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / 1e6)


def _output(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _page(workspace: Workspace, id: str) -> dict[str, float]:
    """Seconds until a fresh server has counted, opened and shown: what nobody has looked at is not remembered yet."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "catfish_ui" / "main.py"), default_timeout=120).run()  # Home: imports all
    began = time.perf_counter()
    counted = library.info(workspace, id).total
    after_count = time.perf_counter()
    opened = library.load(workspace, id)
    after_open = time.perf_counter()
    assert counted == sum(len(split.labels) for split in opened.splits.values())
    app.switch_page("../pages/data.py").run()
    shown = time.perf_counter()
    app.run()
    again = time.perf_counter()
    if app.exception or not any(f"{counted:,}" in str(mark.value) for mark in app.markdown):
        raise RunError("The Data page does not show the photos.")
    return {
        "count_s": after_count - began,
        "open_s": after_open - after_count,
        "page_s": shown - after_open,
        "again_s": again - shown,
    }


def table(rows: Sequence[Scale]) -> str:
    """The rows in Markdown, seconds on the clock with the processor's in brackets."""
    head = [
        "photos", "import s (cpu)", "MB", "page s", "again s", "count + open s", "first run s (cpu)", "MB",
        "epoch s (cpu)", "run MB", "cpu a photo", "report MB",
    ]  # fmt: skip
    lines = [head, ["---:"] * len(head)]
    for row in rows:
        lines.append(
            [
                f"{row.photos:,}",
                f"{row.scan.wall_s:.1f} ({row.scan.cpu_s:.1f})",
                f"{row.scan.peak_mb:.0f}",
                f"{row.page_s:.2f}",
                f"{row.again_s:.2f}",
                f"{row.count_s + row.open_s:.3f}",
                f"{row.first.wall_s:.1f} ({row.first.cpu_s:.1f})",
                f"{row.first.peak_mb:.0f}",
                f"{row.epoch_s:.2f} ({row.epoch_cpu_s:.2f})",
                f"{row.warm.peak_mb:.0f}",
                f"{row.per_photo:.2f}×",
                f"{row.report_mb:.2f}",
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _tell(size: int, what: str) -> None:
    print(f"{size:,}: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
