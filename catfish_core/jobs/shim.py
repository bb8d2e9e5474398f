"""`python -I -S shim.py ATTEMPT COMMAND…`: stands by one attempt of one job, from its first moment to its last.

Standard library only, and nothing of CatFish, so that it costs 10 MB and starts in a blink; later it can be what a
cluster runs as a job. It creates ATTEMPT/claim, where a second start of the same attempt ends at once, holds a lock
on it and touches it every second. It starts COMMAND in a session of its own, ends it where a wish to stop is not
obeyed, leaves no process behind, and says in ATTEMPT/exit.json how it ended: that file is the truth.  [no torch]
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

POLL = 0.1  # seconds between two looks at the wishes and at the command
BEAT = 1.0  # seconds between two touches of the claim
PATIENCE = 8.0  # seconds a wish may wait to be obeyed before the command is told by a signal,
GRACE = 1.5  # and how many it then has before its process group is killed
WISHES = ("kill", "stop", "pause")
ATTEMPT = "CATFISH_ATTEMPT"  # in the environment of all that belongs to an attempt: how its remains are recognised
SLOT = "CATFISH_SLOT"  # there too: the device it was given, for whoever has to count again
DONE, TAKEN, REFUSED = 0, 3, 4  # exit codes: it was done, another shim has it, nothing can be written there

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def born(pid: int) -> str | None:
    """What tells the process `pid` from every other one that has that number, ever; None where there is none.

    On Linux the boot and the tick in which it began, which no change of the clock touches.
    """
    if sys.platform != "linux":
        asked = ["ps", "-o", "lstart=,stat=", "-p", str(pid)]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return None if not said or said.split()[-1].startswith("Z") else said.rsplit(maxsplit=1)[0]
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def claim(attempt: Path) -> int | None:
    """The open, locked claim of `attempt`; None where somebody has it. Raises OSError where it cannot be written.

    The lock is the kernel's, which frees it at our death; what is written comes after it, so that an empty claim
    is one just being made.
    """
    try:
        held = os.open(attempt / "claim", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    except FileExistsError:
        return None
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held).st_nlink == 0:  # it was taken for that of a shim that died, and removed
            return None
    told = {"pid": os.getpid(), "born": born(os.getpid()), "slot": os.environ.get(SLOT, ""), "time": time.time()}
    os.write(held, json.dumps(told).encode() + b"\n")
    return held


def disclaim(attempt: Path) -> None:
    """Remove the claim that a shim left empty which died between two lines; one that is held or written stays.

    Asked under its lock: a shim that was merely slow holds it, or finds that its claim has gone, and leaves.
    """
    try:
        claimed = os.open(attempt / "claim", os.O_RDWR)
    except OSError:
        return
    try:
        with suppress(OSError):
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(claimed).st_size == 0:
                os.unlink(attempt / "claim")
    finally:
        os.close(claimed)


def write_down(path: Path, content: dict[str, Any]) -> None:
    """Replace `path` by `content` in one step; raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def prctl() -> Callable[[int, int], int]:
    """Linux's switch for what happens to a process when another dies; does nothing elsewhere."""
    if sys.platform != "linux":
        return lambda option, value: 0
    import ctypes

    switch = ctypes.CDLL(None).prctl
    return lambda option, value: int(switch(option, value, 0, 0, 0))


def die_with(parent: int) -> None:
    """End this process when `parent` has ended; Linux does that by itself, by what the shim told it."""
    if sys.platform == "linux":
        return
    import threading

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(BEAT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="shim").start()


class Shim:
    """One attempt under way: the command, the wish that waits to be obeyed, and how it ended."""

    def __init__(self, attempt: Path, command: list[str]) -> None:
        self.attempt, self.command = attempt, command
        self.wish = ""
        self.patience = PATIENCE
        self.wished_at = self.beat_at = self.told_at = 0.0
        self.worker: subprocess.Popen[bytes] | None = None
        self.code: int | None = None
        self.times = {"claimed": time.time()}

    def stand_by(self) -> None:
        """From the claim to exit.json."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.told)
        self.look()
        if not self.wish:
            with open(self.attempt / "log.txt", "ab") as log:
                self.start(log)
            while not self.ended():
                self.beat()
                self.look()
                self.insist()
                time.sleep(POLL)
            self.clear()
        self.leave()

    def told(self, *_: object) -> None:
        """Somebody ended the shim by a signal: the worker is asked to stop."""
        self.wish = self.wish or "stop"
        self.wished_at = time.monotonic() - self.patience

    def look(self) -> None:
        """See whether somebody left a wish; kill is heard after stop and pause too, and so is the directory's end."""
        for wish in WISHES:
            if (self.attempt / wish).exists() and (not self.wish or wish == "kill"):
                self.wish, self.wished_at = wish, self.wished_at or time.monotonic()
                with suppress(OSError, ValueError):
                    self.patience = float((self.attempt / wish).read_text() or PATIENCE)

    def start(self, log: IO[bytes]) -> None:
        """The command in a session of its own, which dies with this process; started.json says who it is."""
        switch, shim = prctl(), os.getpid()
        switch(PR_SET_CHILD_SUBREAPER, 1)

        def die_with_the_shim() -> None:
            switch(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != shim:
                os._exit(1)

        self.worker = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_the_shim if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread only
        )
        pid, self.times["started"] = self.worker.pid, time.time()
        told = {"pid": pid, "pgid": pid, "born": born(pid), "shim": shim, "time": self.times["started"]}
        with suppress(OSError):  # a full disk: the worker will say so
            write_down(self.attempt / "started.json", told)

    def ended(self) -> bool:
        """Whether the command has ended; orphans that came to us instead of to init are seen off as well."""
        assert self.worker is not None
        if sys.platform == "win32":
            self.code = self.worker.poll()
            return self.code is not None
        with suppress(ChildProcessError):
            while (seen := os.waitpid(-1, os.WNOHANG))[0]:
                if seen[0] == self.worker.pid:
                    self.code = self.worker.returncode = os.waitstatus_to_exitcode(seen[1])
        return self.code is not None

    def beat(self) -> None:
        """Touch the claim; where it has gone, the directory was moved or deleted, and the work has no place left."""
        if time.monotonic() - self.beat_at < BEAT:
            return
        self.beat_at = time.monotonic()
        try:
            os.utime(self.attempt / "claim")
        except FileNotFoundError:
            self.wish, self.wished_at = "gone", self.wished_at or self.beat_at - self.patience
        except OSError:
            pass  # read-only for now: the lock says that we live

    def insist(self) -> None:
        """Signal, then kill, a command that does not obey."""
        if not self.wish:
            return
        waited = time.monotonic() - self.wished_at
        if self.wish == "kill" or waited >= self.patience + GRACE:
            self.signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        elif waited >= self.patience and not self.told_at:
            self.told_at = time.monotonic()
            self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send a signal to the command and to all that it started in its group."""
        assert self.worker is not None
        if sys.platform == "win32":
            self.worker.terminate()
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.worker.pid, number)

    def clear(self) -> None:
        """Kill what the command left behind: its group, and orphans that left the group but came to us."""
        if sys.platform == "win32":
            return
        self.signal(signal.SIGKILL)
        for _ in range(100):
            for pid in children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.01)

    def leave(self) -> None:
        """Say how it ended: `code` or the `signal` that ended it, and the wish there was, or “ended” for none."""
        code = self.code
        died = -code if code is not None and code < 0 else None
        told = {"code": code if died is None else None, "signal": died, "reason": self.wish or "ended", **self.times}
        with suppress(OSError):  # full, or gone: the lock is free then, which says enough
            write_down(self.attempt / "exit.json", {**told, "ended": time.time()})


def children() -> list[int]:
    """The processes whose parent this one is; Linux only, where orphans of the command come to us."""
    if sys.platform != "linux":
        return []
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == os.getpid():
                    found.append(int(name))
    return found


def main(arguments: list[str]) -> int:
    """Stand by the attempt whose folder is the first argument; the rest is the command."""
    attempt = Path(arguments[0])
    try:
        if claim(attempt) is None:
            return TAKEN
    except OSError as error:
        print(f"The attempt cannot be claimed: {error}", file=sys.stderr)
        return REFUSED
    Shim(attempt, arguments[1:]).stand_by()
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
