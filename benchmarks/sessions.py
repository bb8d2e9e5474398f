"""`python -m benchmarks.sessions`: many browsers that watch one run, and what that costs the server.  [no torch]

The app is started as a person starts it, on a workspace of its own; a network that never ends learns from drawn cats
and fish, as a job of the queue. The visitors (`visitor`) open its page and stay. Update delay is the time from when
the worker states a fact to when a visitor is told of it: that the network is in a new epoch, that a step was made.
Everything runs on this one machine, so the worker and the visitors take from the server what they use.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import statistics
import sys
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from benchmarks import place
from benchmarks.visitor import Kind, Sight, Visitor
from catfish_core.config import ComputeConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from catfish_core.errors import CatfishError, RunError
from catfish_core.events import BatchEnd, Event, Started
from catfish_core.jobs import queue
from catfish_core.runs import Run
from catfish_core.workspace import Workspace, write_text

LATEST = Path(__file__).parent / "results" / "sessions.json"
PAGES = {"run": "run", "lab": "lab", "home": ""}
DELAY, SHARE, GROWTH = 1.5, 0.40, 0.05  # the limits: seconds, of one core, and of the memory at first
SAMPLE = 5.0  # seconds between two looks at the server
WARM = 15.0  # seconds after the last visitor came that are not counted
SETTLED = 0.2  # of the time counted, after which memory should grow no more
LAST = 10.0  # seconds before the end whose facts need not have arrived
PATIENCE = 90.0  # seconds for the run and for a page to begin


@dataclass(frozen=True)
class Fact:
    """At `at` (seconds since 1970) the worker stated that the run had come as far as `position`, in epochs."""

    at: float
    position: float


@dataclass(frozen=True)
class Sample:
    """The server at `at`: seconds of the processor since its start, megabytes it holds; the machine's load."""

    at: float
    cpu_s: float
    memory_mb: float
    load: float


@dataclass
class Measured:
    """What `sessions` visitors of `page` cost in `seconds`, and how long they waited.

    `epoch_s` and `step_s` are delays: median, 95th of a hundred, and the longest; None where the page does not tell.
    `share` is the server's part of one core, and `queue_share` the dispatcher's; `opening_cpu_s` is what the first
    page of one visitor cost. `memory_mb` is at first and at last, `growth` the part by which it grows once it should
    be settled, along a straight line. `looks` a second and visitor, `received_kb` as well.
    """

    page: str
    sessions: int
    seconds: float
    epoch_s: tuple[float, float, float] | None
    step_s: tuple[float, float, float] | None
    share: float
    queue_share: float
    opening_cpu_s: float
    memory_mb: tuple[float, float]
    growth: float
    looks: float
    received_kb: float
    load: float
    epochs: float
    faults: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Exit code 0; 1 where a limit is missed or something went wrong that a person can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sessions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sessions", type=int, default=20, metavar="N", help="visitors (20)")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long it is measured (10)")
    parser.add_argument("--page", choices=list(PAGES), default="run", help="which page they are on (run)")
    parser.add_argument("--churn", type=float, default=0.0, metavar="S", help="every S seconds one leaves, one comes")
    parser.add_argument("--size", type=int, default=DataConfig().image_size, metavar="PX", help="of the photos")
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help="where to write it")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else what was started here would go on without us
    try:
        with place.empty("catfish-sessions-") as workspace, place.app(workspace) as (server, port):
            run = _begin(workspace, asked.size)
            crowd = Crowd(server, port, workspace, run, asked.page, asked.sessions)
            measured = asyncio.run(crowd.measure(asked.minutes * 60, asked.churn))
    except CatfishError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{table(measured)}\n")
    write_text(asked.json, json.dumps(asdict(measured), indent=2) + "\n")
    print(f"Written to {asked.json}")
    return 0 if all(kept for *_, kept in verdicts(measured)) else 1


class Crowd:
    """Visitors of one page, and the server they visit."""

    def __init__(
        self, server: psutil.Process, port: int, workspace: Workspace, run: Run, page: str, sessions: int
    ) -> None:
        self.server, self.workspace, self.run, self.page, self.sessions = server, workspace, run, page, sessions
        self._port = port
        self._here: list[tuple[Visitor, asyncio.Task[None]]] = []
        self._gone: list[Visitor] = []

    async def measure(self, seconds: float, churn: float = 0.0) -> Measured:
        """Let them come, wait until it has calmed down, and look on for `seconds`."""
        _tell(f"{self.sessions} visitors of “{self.page}” come")
        before = self._sample()
        for _ in range(self.sessions):
            await self._come()
        await asyncio.sleep(1)
        opening = (self._sample().cpu_s - before.cpu_s) / max(1, self.sessions)
        await asyncio.sleep(WARM)
        _tell(f"they look on for {seconds:.0f} s")
        dispatcher = _dispatcher(self.workspace)
        busy = _cpu(dispatcher)
        looks, received = self._totals()
        samples = [self._sample()]
        leaving = time.monotonic() + churn
        while samples[-1].at < samples[0].at + seconds:
            await asyncio.sleep(min(SAMPLE, max(0.05, samples[0].at + seconds - samples[-1].at)))
            samples.append(self._sample())
            self._all_here()
            if churn and time.monotonic() >= leaving:
                leaving += churn
                await self._leave()
                await self._come()
        busy, totals = _cpu(dispatcher) - busy, self._totals()
        visitors = [*self._gone, *(visitor for visitor, _ in self._here)]
        while self._here:
            await self._leave()
        took = samples[-1].at - samples[0].at
        each = took * max(1, self.sessions)
        told = facts(self.run.events()[0])
        delays = {kind: _spread(_delays(told, visitors, kind, samples)) for kind in told}
        return Measured(
            page=self.page,
            sessions=self.sessions,
            seconds=took,
            epoch_s=delays["epoch"],
            step_s=delays["step"],
            share=(samples[-1].cpu_s - samples[0].cpu_s) / took,
            queue_share=busy / took,
            opening_cpu_s=opening,
            memory_mb=(samples[0].memory_mb, samples[-1].memory_mb),
            growth=growth(samples),
            looks=(totals[0] - looks) / each,
            received_kb=(totals[1] - received) / each / 1e3,
            load=statistics.fmean(sample.load for sample in samples),
            epochs=max((fact.position for fact in told["step"]), default=0.0),
            faults=sorted({fault for visitor in visitors for fault in visitor.faults}),
            samples=samples,
        )

    async def _come(self) -> None:
        visitor = Visitor(self._port, PAGES[self.page], {"run": self.run.id} if self.page == "run" else {})
        self._here.append((visitor, asyncio.create_task(visitor.visit())))
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(visitor.drawn(), PATIENCE)
        self._all_here()

    async def _leave(self) -> None:
        """The one who came first goes."""
        visitor, task = self._here.pop(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._gone.append(visitor)

    def _all_here(self) -> None:
        for visitor, task in self._here:
            if task.done():
                raise RunError(f"A visitor was thrown out: {task.exception() or 'the server closed the connection'}.")
            if not visitor.looks:
                raise RunError(f"The page was not drawn within {PATIENCE:.0f} seconds.")

    def _totals(self) -> tuple[int, int]:
        visitors = [*self._gone, *(visitor for visitor, _ in self._here)]
        return sum(visitor.looks.total() for visitor in visitors), sum(visitor.received for visitor in visitors)

    def _sample(self) -> Sample:
        try:
            memory = self.server.memory_info().rss / 1e6
            return Sample(time.time(), _cpu(self.server), memory, os.getloadavg()[0])
        except psutil.Error as error:
            raise RunError("The app ended while it was measured.", "Its output above may say why.") from error


def facts(events: Iterable[Event]) -> dict[Kind, list[Fact]]:
    """What visitors can be told: that an epoch has begun (counted from 1), and how far each step brought the run."""
    told: dict[Kind, list[Fact]] = {"epoch": [], "step": []}
    batches = 1
    for event in events:
        if isinstance(event, Started):
            batches = max(1, event.batches)
        elif isinstance(event, BatchEnd):
            told["step"].append(Fact(event.time, event.epoch + (event.batch + 1) / batches))
            if event.batch == 0:
                told["epoch"].append(Fact(event.time, event.epoch + 1.0))
    return told


def delays(told: Sequence[Fact], seen: Sequence[Sight], since: float, until: float) -> list[float]:
    """For each fact stated from `since` to `until`: seconds until the first sight of it or of a later one.

    Both are in the order of time. What was never seen took forever.
    """
    furthest, arrivals = [-math.inf], [-math.inf]
    for sight in seen:
        if sight.position > furthest[-1]:
            furthest.append(sight.position)
            arrivals.append(sight.at)
    waits = []
    for fact in told:
        if since <= fact.at <= until:
            first = bisect_left(furthest, fact.position * (1 - 1e-5))  # charts round to six digits
            waits.append(max(0.0, arrivals[first] - fact.at) if first < len(arrivals) else math.inf)
    return waits


def _delays(
    told: dict[Kind, list[Fact]], visitors: Iterable[Visitor], kind: Kind, samples: Sequence[Sample]
) -> list[float]:
    """Of all visitors who saw anything of this kind, within the time counted and while they were here."""
    waits = []
    for visitor in visitors:
        seen = [sight for sight in visitor.sights if sight.kind == kind]
        if seen:
            since, until = max(samples[0].at, seen[0].at), min(samples[-1].at, visitor.until) - LAST
            waits += delays(told[kind], seen, since, until)
    return waits


def growth(samples: Sequence[Sample]) -> float:
    """By which part memory grows from SETTLED of the time to its end, along the line of least squares."""
    begin = samples[0].at + SETTLED * (samples[-1].at - samples[0].at)
    settled = [sample for sample in samples if sample.at >= begin]
    if len(settled) < 3:
        return 0.0
    at, memory = [sample.at for sample in settled], [sample.memory_mb for sample in settled]
    slope, start = statistics.linear_regression(at, memory)
    return slope * (at[-1] - at[0]) / (start + slope * at[0])


def _spread(waits: Sequence[float]) -> tuple[float, float, float] | None:
    """Median, 95th of a hundred, longest."""
    if not waits:
        return None
    ordered = sorted(waits)
    return ordered[len(ordered) // 2], ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]


def verdicts(measured: Measured) -> list[tuple[str, str, str, bool]]:
    """What is limited: its name, the figure, the limit, and whether it is kept."""
    waits = [("an epoch told, median", measured.epoch_s), ("a step drawn, median", measured.step_s)]
    rows = [(name, f"{told[0]:.2f} s", f"{DELAY} s", told[0] < DELAY) for name, told in waits if told]
    low, high = measured.memory_mb
    memory = f"{100 * measured.growth:+.1f} % ({low:.0f} to {high:.0f} MB)"
    return [
        *rows,
        ("the server, of one core", f"{100 * measured.share:.0f} %", f"{100 * SHARE:.0f} %", measured.share < SHARE),
        ("its memory, once settled", memory, f"+{100 * GROWTH:.0f} %", measured.growth < GROWTH),
        ("faults shown", ", ".join(measured.faults)[:200] or "0", "0", not measured.faults),
    ]


def table(measured: Measured) -> str:
    """The figures in Markdown, each with its limit, and below what belongs to them."""
    lines = [["", "measured", "limit", ""], ["---", "---:", "---:", "---"]]
    lines += [[name, figure, limit, "kept" if kept else "MISSED"] for name, figure, limit, kept in verdicts(measured)]
    told = {"an epoch told": measured.epoch_s, "a step drawn": measured.step_s}
    for name, spread in told.items():
        if spread:
            lines.append([f"{name}, 95 of 100 within", f"{spread[1]:.2f} s", "", ""])
            lines.append([f"{name}, the longest", f"{spread[2]:.2f} s", "", ""])
    lines += [
        ["parts drawn anew, a second and visitor", f"{measured.looks:.2f}", "", ""],
        ["received, a second and visitor", f"{measured.received_kb:.1f} kB", "", ""],
        ["processor for opening the page", f"{measured.opening_cpu_s:.2f} s", "", ""],
        ["the dispatcher, of one core", f"{100 * measured.queue_share:.1f} %", "", ""],
        ["load of the machine", f"{measured.load:.1f} on {os.cpu_count()} cores", "", ""],
    ]
    crowd = f"{measured.sessions} visitors of “{measured.page}”"
    what = f"{crowd} for {measured.seconds:.0f} s, in which the run came to epoch {measured.epochs:.0f}."
    return "\n".join([what, "", *(f"| {' | '.join(cells)} |" for cells in lines)])


def _begin(workspace: Workspace, size: int) -> Run:
    """A run in the queue that goes on until it is stopped, once it has made steps."""
    _tell("a network begins to learn")
    config = RunConfig(
        name="Watched",
        data=DataConfig(dataset="sketchbook", image_size=size),
        model=ModelConfig(arch="simple_net"),
        training=TrainingConfig(epochs=10_000, device="cpu"),
        compute=ComputeConfig(precision="fp32"),
    )
    run = queue.submit(workspace, config)
    deadline = time.monotonic() + PATIENCE
    while not any(isinstance(event, BatchEnd) for event in run.events()[0]):
        if time.monotonic() > deadline:
            log = run.attempt / "log.txt"
            raise RunError("The run did not begin.", log.read_text() if log.exists() else "")
        time.sleep(0.2)
    return run


def _dispatcher(workspace: Workspace) -> psutil.Process | None:
    with suppress(psutil.Error):
        if pid := queue.health(workspace).pid:
            return psutil.Process(pid)
    return None


def _cpu(process: psutil.Process | None) -> float:
    """Seconds of the processor since its start; 0 where there is none."""
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
