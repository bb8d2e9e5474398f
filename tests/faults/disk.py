"""A small disk of its own that can be filled: a tmpfs in a mount namespace, which ends with its processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SIZE = 512  # MB
INSIDE = "CATFISH_FAULTS_DISK"  # in the environment of who was started where it may mount


def go_where_mounting_is_allowed(arguments: list[str]) -> None:
    """Begin `python -m tests.faults` anew in a mount namespace of its own; returns only where that is denied."""
    for unshare in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        test = [*unshare, "mount", "-t", "tmpfs", "none", "/mnt"]
        if shutil.which("unshare") and subprocess.run(test, capture_output=True, check=False).returncode == 0:
            call = [*unshare, sys.executable, "-m", "tests.faults", *arguments]
            os.execvpe(call[0], call, {**os.environ, INSIDE: "1"})


class SmallDisk:
    """The disk that a workspace lies on; `own` says that it is one that was mounted for it and may be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = INSIDE in os.environ
        if self.own:
            call = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "faults", os.fspath(folder)]
            subprocess.run(call, check=True)

    def fill(self, left: int) -> None:
        """Take every byte that is free, but for those `left`."""
        with open(self.folder / ".ballast", "ab") as ballast:
            for _ in range(20):  # others take and give meanwhile
                free = shutil.disk_usage(self.folder).free - left
                if free <= 0:
                    return
                with suppress(OSError):
                    os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, free)

    def free(self) -> None:
        """Give it all back."""
        (self.folder / ".ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Take the folder away, and all that lies in it."""
        if self.own:
            subprocess.run(["umount", "--lazy", os.fspath(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
