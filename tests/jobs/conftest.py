"""What tests of the queue share: an attempt that a shim stands by, and waiting for something to become true."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catfish_core.jobs import shim
from catfish_core.jobs.launcher import environment, remains

Wait = Callable[..., Any]


@pytest.fixture
def wait_until() -> Wait:
    """wait_until(condition, seconds): its value once it is true; fails when it stays false."""

    def wait(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.01)
        pytest.fail(f"still not true after {seconds} s")

    return wait


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Path]:
    """The folder of an attempt; what is left of it is ended with the test."""
    folder = tmp_path / "job" / "attempts" / "1"
    folder.mkdir(parents=True)
    yield folder
    for process in remains(folder):
        process.kill()


@pytest.fixture
def stand_by(attempt: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """stand_by(program): a shim that runs the Python program in `attempt`."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(program: str = "") -> subprocess.Popen[bytes]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-I", "-S", shim.__file__, attempt, sys.executable, "-I", "-S", "-c", program],
                env={**os.environ, **environment(attempt)},
                start_new_session=True,
                stderr=subprocess.DEVNULL,
            )
        )
        return begun[-1]

    yield start
    for process in begun:
        with process:
            process.kill()
