"""What was measured on, in a line, and whether others were at work on it.  [no torch before `line`]"""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
DISTURBING = 0.1  # cores that others used on average

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")  # those that decide how fast bf16 is


def line() -> str:
    """Processor, cores, threads, torch, what it offers for bf16, and the accelerator if there is one."""
    import torch  # not before the peaks are measured: see `peak`

    cpu = _cpuinfo()
    flags = set(_entry(cpu, "flags").split())
    parts = [
        _entry(cpu, "model name") or platform.processor() or platform.machine(),
        f"{_cores()} cores",
        f"torch {torch.__version__} with {torch.get_num_threads()} threads",
        ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in _FLAGS),
    ]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return " · ".join(parts)


@dataclass(frozen=True)
class Work:
    """Seconds of processor time since the start: of the whole machine, and of this process."""

    all: float
    ours: float
    at: float

    @classmethod
    def now(cls) -> Work | None:
        """As it stands; None where the system does not tell."""
        if not STAT.exists():
            return None
        ticks = [int(n) for n in STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
        working = sum(ticks) - ticks[3] - ticks[4]  # but idle and waiting for a disk; time stolen by a host counts
        return cls(working / os.sysconf("SC_CLK_TCK"), time.process_time(), time.perf_counter())


def disturbed(before: Work | None, after: Work | None) -> str | None:
    """A warning where others computed here between the two.

    Threads that wait for one another lose unequally to others, so that not even ratios can be trusted then: the
    limit was seen to take four times as long as the engine.
    """
    if before is None or after is None:
        return None
    others = after.all - before.all - (after.ours - before.ours)
    share = others / max(1e-9, after.at - before.at)
    if share < DISTURBING:
        return None
    return f"Others used {share:.1f} of this machine's cores meanwhile. Do not trust these numbers."


def _cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo() -> str:
    """Linux's account of the processor; elsewhere nothing is known of the flags."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _entry(cpu: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", cpu, re.MULTILINE)
    return found[1] if found else ""
