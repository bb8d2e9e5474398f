"""What would keep CatFish from starting or working well here, each in a sentence with the way out.  [no torch]

Quick enough to be made before every start (versions are read, nothing heavy is imported). A *serious* problem is one
with which a start makes no sense; the others are said and lived with.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib import metadata
from ipaddress import ip_address
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from packaging.requirements import InvalidRequirement, Requirement

from catfish_core import runs
from catfish_core.errors import CatfishError, StorageError, storage_faults
from catfish_core.lab import accounts, settings
from catfish_core.lab.machine import existing
from catfish_core.workspace import HOME, Workspace

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = (3, 10)
NEARLY_FULL, FULL = 10**9, 10**8  # bytes free
SECRET = 32  # characters of a cookie secret: 16 bytes in hexadecimal digits
AHEAD = 3600.0  # seconds the newest run may seem to come from the future: clocks are put right now and then
BORN = 1_760_000_000.0  # October 2025: no clock that goes right can be before CatFish was written
REMOTE = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "afs", "gluster", "lustre", "ceph")


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be: `what`, and the `hint` that leads out."""

    what: str
    hint: str
    serious: bool = False


@dataclass(frozen=True)
class Place:
    """Where the app is to be served, as far as that is known: a port is looked at only before the start."""

    workspace: Workspace
    port: int | None = None
    address: str = "127.0.0.1"


Found = Iterator[Problem]


def check(place: Place) -> list[Problem]:
    """All that is not as it should be, the serious first."""
    found = [problem for look in CHECKS for problem in look(place)]
    return sorted(found, key=lambda problem: not problem.serious)


def python(_: Place) -> Found:
    """Whether this Python is new enough."""
    if sys.version_info < PYTHON:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        yield Problem(
            f"This is Python {version}, and CatFish needs {PYTHON[0]}.{PYTHON[1]} or newer.",
            "Make a new virtual environment: make clean, then make run PYTHON=python3.12.",
            serious=True,
        )


def packages(_: Place) -> Found:
    """Whether every package of requirements.txt is here in a version it asks for."""
    file = PROJECT / "requirements.txt"
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            wanted = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:  # a comment or an empty line
            continue
        here = _version(wanted.name)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        if here is None or not wanted.specifier.contains(here, prereleases=True):
            is_here = f"is here in version {here}" if here else "is missing"
            yield Problem(
                f"The package {wanted.name} {is_here}; CatFish needs {wanted.name}{wanted.specifier}.",
                "Install what requirements.txt names: python -m pip install -r requirements.txt",
                serious=True,
            )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def port(place: Place) -> Found:
    """Whether the port is free."""
    if place.port is None:
        return
    try:
        with socket.socket() as probe:
            if os.name == "posix":  # a port that was closed a moment ago counts as free, as it does for the server
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((place.address or "0.0.0.0", place.port))
    except OverflowError:
        yield Problem(f"{place.port} is no port.", "Ports go from 1 to 65535: make run PORT=8502", serious=True)
    except PermissionError:
        yield Problem(f"Port {place.port} is kept for the system.", "Take one above 1023: PORT=8501", serious=True)
    except OSError as error:
        yield _taken(place, error)


def _taken(place: Place, error: OSError) -> Problem:
    if isinstance(error, socket.gaierror) or error.errno in _NO_SUCH_ADDRESS:
        what = f"This computer does not have the address {place.address}."
        return Problem(what, "Use 127.0.0.1, or 0.0.0.0 for all addresses it has.", serious=True)
    if _is_streamlit(place):
        what = f"CatFish, or another Streamlit app, is running on port {place.port} already."
        return Problem(what, f"Open http://{_spoken(place)} to see, or choose another port: PORT=8502", serious=True)
    what = f"Port {place.port} is taken by another program."
    return Problem(what, "Choose another: PORT=8502", serious=True)


_NO_SUCH_ADDRESS = (99, 49, 10049)  # EADDRNOTAVAIL on Linux, macOS and Windows


def _spoken(place: Place) -> str:
    everywhere = place.address in ("", "0.0.0.0", "::")
    return f"{'127.0.0.1' if everywhere else place.address}:{place.port}"


def _is_streamlit(place: Place) -> bool:
    connection = HTTPConnection(_spoken(place), timeout=0.3)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().read() == b"ok"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def workspace(place: Place) -> Found:
    """Whether the workspace can be written, and locks in it hold: two workers may never have one run."""
    root = place.workspace.root
    try:
        with storage_faults(root / "check"):
            root.mkdir(parents=True, exist_ok=True)
            yield from _locks(root)
    except StorageError as error:
        yield Problem(error.what, error.hint, serious=True)
    except OSError as error:
        what = f"The workspace {root} cannot be used: {error.strerror}."
        yield Problem(what, f"Set {HOME} to a folder of your own.", serious=True)


def _locks(root: Path) -> Found:
    path = root / f".check-{os.getpid()}.lock"
    try:
        with FileLock(path, timeout=0), FileLock(path, timeout=0):
            yield _lockless(root)
    except Timeout:
        pass  # as it should be: the second did not get what the first holds
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        yield _lockless(root)
    finally:
        path.unlink(missing_ok=True)


_NO_LOCKS = (37, 38, 45, 77, 95)  # ENOLCK, ENOSYS, EOPNOTSUPP, as Linux and macOS number them


def _lockless(root: Path) -> Problem:
    what = f"The drive of the workspace {root} knows no locks: two workers could take the same run."
    return Problem(what, f"Set {HOME} to a folder on a disk of this computer.", serious=True)


def drive(place: Place) -> Found:
    """Whether the workspace lies on a disk of this computer: the queue's database needs one."""
    kind = _filesystem(place.workspace.root)
    if kind.startswith(REMOTE):
        yield Problem(
            f"The workspace lies on a network drive ({kind}). The queue may be slow there, or come to harm.",
            f"Set {HOME} to a folder on a disk of this computer; datasets can stay where they are.",
        )


def _filesystem(path: Path) -> str:
    """The type of the file system that holds `path`; empty where the system does not say."""
    place = os.path.realpath(existing(path))
    try:
        mounts = [m for m in psutil.disk_partitions(all=True) if _below(place, m.mountpoint)]
    except (OSError, psutil.Error):
        return ""
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype.lower() if mounts else ""


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def disk(place: Place) -> Found:
    """Whether there is room on the disk."""
    free = shutil.disk_usage(existing(place.workspace.root)).free
    if free < NEARLY_FULL:
        what = f"The disk is nearly full: {free / 1e6:,.0f} MB are left."
        yield Problem(what, "Free some space; the page “Lab” shows what can go without loss.", serious=free < FULL)


def clock(place: Place) -> Found:
    """Whether the clock can be right: sessions, the queue and the order of runs go by it."""
    now = time.time()
    newest = runs.latest(place.workspace)
    try:
        ahead = newest is not None and newest.created.timestamp() > now + AHEAD
    except ValueError:  # a name that is no date
        ahead = False
    if now < BORN or ahead:
        what = f"The clock of this computer says {time.strftime('%d %B %Y, %H:%M')}, which cannot be."
        why = "The newest run is from later than that." if ahead else "CatFish was not written yet then."
        yield Problem(what, f"{why} Set the clock; a queue that is under way puts up with it.")


def databases(place: Place) -> Found:
    """Whether the files with names and hashed passwords belong to us, and to nobody else."""
    for file in sorted(place.workspace.root.glob("*.db")) if os.name == "posix" else []:
        about = file.stat()
        if about.st_uid != os.geteuid():
            what = f"{file} belongs to another user of this computer than the one CatFish runs as."
            yield Problem(what, f"Give it back: sudo chown $(whoami) {file}*", serious=True)
        elif about.st_mode & 0o077 and file.name == "lab.db":
            what = f"Other users of this computer may read {file}, which holds the accounts."
            yield Problem(what, f"Close it: chmod 600 {file}*")


def sharing(place: Place) -> Found:
    """Whether what is served to others is guarded: sign-in, and https on the way."""
    try:
        lab = settings.read(place.workspace)
    except CatfishError as error:
        yield Problem(error.what, error.hint, serious=True)
        return
    if lab.shared and not lab.oidc.admins and not accounts.listing(place.workspace):
        yield Problem(
            "Nobody has an account here yet, so nobody can sign in.",
            "Create the first account with: python -m catfish_core user add NAME --role admin",
        )
    if _is_loopback(place.address):
        return
    if not lab.shared:
        yield Problem(
            f"Everybody who reaches {place.address} could train and delete here as if it were theirs.",
            "Start it as a lab, where people sign in (make lab), or serve 127.0.0.1 only.",
            serious=True,
        )
    elif not lab.https:
        yield Problem(
            f"Passwords would travel to {place.address} unprotected: nothing says that it is reached by https.",
            'Put a proxy with a certificate before it (docs/lab.md) and "https": true into lab.json.',
        )


def provider(_: Place) -> Found:
    """Whether what `.streamlit/secrets.toml` says of a sign-in provider is whole."""
    file = PROJECT / ".streamlit" / "secrets.toml"
    if not file.is_file():
        return
    try:
        auth = dict(tomllib.loads(file.read_text(encoding="utf-8")).get("auth", {}))
    except (OSError, ValueError, TypeError) as error:
        yield Problem(f"{file} cannot be read: {str(error)[:120]}", "It is written in TOML; see docs/lab.md.", True)
        return
    if auth and len(str(auth.get("cookie_secret", ""))) < SECRET:
        yield Problem(
            f"{file} names a sign-in provider but no cookie_secret of {SECRET} characters: cookies could be forged.",
            'Add one: python -c "import secrets; print(secrets.token_hex(32))"',
            serious=True,
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


CHECKS: tuple[Callable[[Place], Found], ...] = (
    python, packages, workspace, port, drive, disk, clock, databases, sharing, provider,
)  # fmt: skip
