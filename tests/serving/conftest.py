"""A trained-looking run with a tiny network, and the end of every service a test has started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from catfish_core.serving import address
from catfish_core.workspace import Workspace


def end(pid: int, number: int = signal.SIGTERM) -> None:
    """Send `number` to the process and see it gone; a child of ours is reaped on the way."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def kill():  # type: ignore[no-untyped-def]
    """kill(pid, signal): end a process and wait until it is gone."""
    return end


@pytest.fixture
def serving(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace whose service, if a test starts one, is ended with the test."""
    yield workspace
    found = address.read(workspace)
    if found is not None:
        end(found.pid)
