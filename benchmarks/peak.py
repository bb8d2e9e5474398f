"""The most memory a row's engine side takes: measured in a process that does nothing else.  [no torch before `main`]

Linux hands a process's peak on to what it starts, so whoever calls `peak` must be small itself: the benchmark
measures all peaks before it imports torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.rows import BY_NAME, Plan, Row
from catfish_core.workspace import Workspace

try:
    import resource
except ImportError:  # Windows has no such account
    resource = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parents[1]


def peak(row: Row, plan: Plan, workspace: Workspace) -> float | None:
    """Megabytes; None where the engine cannot do the row yet, or the system does not tell."""
    if row.warm:  # a first run, not measured, leaves behind what makes the next one warm
        _child(row, plan, workspace)
    return _child(row, plan, workspace)


def _child(row: Row, plan: Plan, workspace: Workspace) -> float | None:
    command = [sys.executable, "-m", "benchmarks.peak", row.name, json.dumps(asdict(plan)), str(workspace.root)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    megabytes: float | None = json.loads(done.stdout.splitlines()[-1])
    return megabytes


def main(arguments: list[str]) -> int:
    """Do one unit of the engine's side of a row, and print the peak as JSON."""
    from benchmarks.sides import sides

    name, plan, root = arguments
    made = sides(BY_NAME[name], Plan(**json.loads(plan)), Workspace(Path(root)))
    if made.engine is not None:
        made.engine()()
    print(json.dumps(None if made.engine is None else _megabytes()))
    return 0


def _megabytes() -> float | None:
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
