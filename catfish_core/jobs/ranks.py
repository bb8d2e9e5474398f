"""Where a run is computed: in the worker, or by several processes that torchrun starts and the worker listens to.

`python -m catfish_core.jobs.ranks RUN_DIRECTORY FOLDER` is one of several. The first of them says all that
happens in a log in FOLDER; the worker passes it on, and stays the only one who writes the run's. Their standard
input is a pipe that the worker holds: when the worker goes, however it goes, the pipe ends and they end with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from catfish_core.errors import storage_faults
from catfish_core.events import TERMINAL, Completed, Event, EventLog, Failed, Stopped, read, tail
from catfish_core.jobs.worker import ending
from catfish_core.process import python_path
from catfish_core.runs import Run
from catfish_core.training import distributed, session
from catfish_core.training.loop import ShouldStop

POLL = 0.05  # seconds between two looks at what was said
GRACE = 0.5  # seconds torchrun has to see that its processes have gone; they go by themselves


def train(run: Run, should_stop: ShouldStop) -> Iterator[Event]:
    """Train `run` on as many processes as it wants, telling what `session.train` tells, or Failed at last."""
    yield from _left_over(run)
    count = distributed.processes(run.config())
    if count == 1:
        yield from session.train(run, should_stop)
        return
    folder = run.attempt / "ranks"
    with _started(run, folder, count) as torchrun:
        yield from _told(folder, torchrun, count, should_stop)


def _told(folder: Path, torchrun: subprocess.Popen[bytes], count: int, should_stop: ShouldStop) -> Iterator[Event]:
    """What the first process says, to its end."""
    offset = 0
    while True:
        gone = torchrun.poll() is not None  # asked before reading: what was said before the end is read
        said, offset = read(_log(folder, 0), offset)
        for event in said:
            if isinstance(event, Stopped):
                return
            yield _first_failure(folder, count) if isinstance(event, Failed) else event
            if isinstance(event, (Completed, Failed)):
                return
        if should_stop():
            _stop(folder).touch()
        if gone:
            if not should_stop():
                yield _first_failure(folder, count)
            return
        time.sleep(POLL)


def _left_over(run: Run) -> Iterator[Event]:
    """What the first process said when the worker of an earlier attempt was killed before it passed it on.

    The process wrote down its state after it said so: without this, those steps would be missing in the log.
    """
    for folder in (run.path / "attempts").glob("*/ranks"):
        passed_on = {event.time for event in tail(run.events_path, 2**22)}
        said = [event for event in read(_log(folder, 0))[0] if not isinstance(event, TERMINAL)]
        known = max((n for n, event in enumerate(said) if event.time in passed_on), default=-1)
        yield from said[known + 1 :]
        shutil.rmtree(folder, ignore_errors=True)


def _first_failure(folder: Path, count: int) -> Failed:
    """What the process that failed first said; where none did, one died."""
    said = [event for rank in range(count) for event in read(_log(folder, rank))[0] if isinstance(event, Failed)]
    died = Failed(
        what=f"One of the {count} processes of this run died.",
        hint="Perhaps memory ran out: take smaller batches or fewer processes. “Go on” begins where it was saved.",
    )
    return min(said, key=lambda event: event.time, default=died)


@contextmanager
def _started(run: Run, folder: Path, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """torchrun with `count` processes; afterwards it is gone, and they are or are about to be.

    torchrun's --standalone would open a port without a password on every interface for its members to meet; here
    they meet in files, and talk on the loopback interface.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with storage_faults(folder):
        folder.mkdir(parents=True)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={count}", "--max-restarts=0",
        "--rdzv-backend=c10d", "--rdzv-conf=store_type=file", f"--rdzv-endpoint={folder / 'rendezvous'}",
        f"--rdzv-id={run.id}", "--local-addr=127.0.0.1", f"--log-dir={folder}",
        "-m", "catfish_core.jobs.ranks", os.fspath(run.path), os.fspath(folder),
    ]  # fmt: skip
    torchrun = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=2,  # the worker's log; its own output is for whoever asked on a terminal
        start_new_session=True,
        env=_environment(count),
    )
    assert torchrun.stdin is not None
    try:
        yield torchrun
    finally:
        torchrun.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            torchrun.wait(GRACE)
        torchrun.kill()
        torchrun.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(count: int) -> dict[str, str]:
    """This process's, with the loopback interface to talk on and a fair share of the cores for each."""
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    return {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)),
        **os.environ,
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # or torchrun opens a port for them after all
        "PYTHONPATH": python_path(),
        "PYTHONUNBUFFERED": "1",
    }


def _log(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.jsonl"


def _stop(folder: Path) -> Path:
    return folder / "stop"


def _trained(run: Run, folder: Path, rank: int) -> Iterator[Event]:
    """This process's part of the training. Only the first hears a wish to stop by itself."""
    try:
        team = distributed.join(folder / "store", run.config())
        yield from session.train(run, _stop(folder).exists if rank == 0 else lambda: False, team)
    except Exception as error:
        if not distributed.lost(error):
            raise
        traceback.print_exc()
        os._exit(1)  # without a word: somebody else has the reason


def _leave_with_the_worker() -> threading.Thread:
    """End this process when the pipe from the worker ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(0)

    watch = threading.Thread(target=wait, daemon=True, name="worker")
    watch.start()
    return watch


def main(arguments: list[str]) -> None:
    """Be one of the processes of the run in the directory given; ends with the worker, or at once when it failed."""
    worker = _leave_with_the_worker()
    run, folder, rank = Run(Path(arguments[0])), Path(arguments[1]), int(os.environ["RANK"])
    with EventLog(_log(folder, rank)) as log:
        ended = ending(lambda: _trained(run, folder, rank), log.append if rank == 0 else lambda event: None)
        if isinstance(ended, Failed):
            log.append(ended)
            os._exit(1)  # whatever the others are waiting for: torchrun ends them
        if rank == 0:
            log.append(ended or Stopped(epoch=0, kept_epoch=None, seconds=0.0))
    worker.join()  # not before all have heard the last of what was sent to them


if __name__ == "__main__":
    main(sys.argv[1:])
