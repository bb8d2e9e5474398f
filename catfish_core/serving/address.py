"""Where the service listens and the secret that opens it: serving/service.json, for its owner's eyes.  [no torch]"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import catfish_core
from catfish_core.errors import ServiceError
from catfish_core.workspace import Workspace, atomic


@dataclass(frozen=True)
class Address:
    """A running service: its process, its port on 127.0.0.1, the token it wants to see, the code it runs."""

    pid: int
    port: int
    token: str
    version: str


def path(workspace: Workspace) -> Path:
    """The file that holds the address."""
    return workspace.serving / "service.json"


def read(workspace: Workspace) -> Address | None:
    """The address last written; None where there is none that can be read as one.

    Raises ServiceError when the file belongs to somebody else.
    """
    try:
        data = json.loads(path(workspace).read_text(encoding="utf-8"))
        return Address(int(data["pid"]), int(data["port"]), str(data["token"]), str(data["version"]))
    except PermissionError:
        raise ServiceError(
            "The prediction service of this workspace belongs to another user.",
            "Set CATFISH_HOME to a folder of your own.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(workspace: Workspace, address: Address) -> None:
    """Write `address` down, readable by its owner only from the first byte on."""
    with atomic(path(workspace)) as temporary:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(address), file)


def withdraw(workspace: Workspace, address: Address) -> None:
    """Take `address` back, unless a newer one stands there."""
    if read(workspace) == address:
        path(workspace).unlink(missing_ok=True)


def code_version() -> str:
    """The version and a fingerprint of the engine's source files: a service with older code is replaced."""
    package = Path(catfish_core.__file__).resolve().parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package)} {file.stat().st_mtime_ns}\n".encode())
    return f"{catfish_core.__version__}-{digest.hexdigest()[:12]}"
