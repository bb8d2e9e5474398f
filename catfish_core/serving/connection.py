"""A line to the service of a workspace: found, or started by one of those who need it.  [no torch]"""

from __future__ import annotations

import functools
import hmac
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any

from filelock import FileLock, Timeout

from catfish_core.errors import ServiceError, storage_faults
from catfish_core.process import spawn
from catfish_core.serving import address, wire
from catfish_core.serving.address import Address
from catfish_core.workspace import Workspace

START_LIMIT = 40.0  # seconds a new service may take until it answers; it does so before torch is there
HEALTH_LIMIT = 10.0  # seconds a living service may take to say so
REQUEST_LIMIT = 180.0  # seconds one request may take, waiting for others included
LOG_LIMIT = 1_000_000  # bytes of log after which a new service begins a new one

version = functools.cache(address.code_version)  # of the code this process runs, whatever happens to the files later


def ask(
    workspace: Workspace,
    path: str,
    head: Mapping[str, Any],
    blobs: Sequence[bytes] = (),
    limit: float = REQUEST_LIMIT,
) -> wire.Message:
    """The service's answer to one request; a service that dies over it is restarted and asked once more.

    Raises the CatfishError the service answers with, ServiceError when there is no answer.
    """
    body = wire.pack(head, blobs)
    if len(body) > wire.MAX_BODY:
        raise ServiceError("This is more than the prediction service takes at once.", "Send fewer or smaller photos.")
    for _ in range(2):
        with _Line(connect(workspace)) as line:
            try:
                answer, extra = line.post(path, body, limit)
            except TimeoutError:
                raise ServiceError(
                    f"The prediction service has not answered within {limit:.0f} seconds.",
                    "The machine may be busy training: try again later, or with fewer photos.",
                ) from None
            except (OSError, HTTPException, ValueError):  # it died over it, or does not speak our language
                continue
            wire.raise_fault(answer)
            return answer, extra
    raise ServiceError(
        "The prediction service broke down over this request, twice.",
        f"The model may need more memory than there is, or a photo may be damaged; see {log_path(workspace)}.",
    )


def connect(workspace: Workspace) -> tuple[Address, HTTPConnection]:
    """A verified connection to the service, which is started if need be; raises ServiceError if it will not start."""
    if found := _living(workspace):
        return found
    with storage_faults(workspace.serving):
        workspace.serving.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(workspace.serving / "start.lock", timeout=START_LIMIT, poll_interval=0.02):
            return _living(workspace) or _start(workspace)  # whoever had the lock before may have started it
    except Timeout:
        raise _will_not_start(workspace) from None


def log_path(workspace: Workspace) -> Any:
    """Where the service writes what happens to it."""
    return workspace.serving / "service.log"


def _start(workspace: Workspace) -> tuple[Address, HTTPConnection]:
    log = log_path(workspace)
    with storage_faults(log):
        address.path(workspace).unlink(missing_ok=True)  # whoever stood there ends when it notices
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.unlink()
    spawn("catfish_core.serving.service", os.fspath(workspace.root), version(), log=log)
    until = time.monotonic() + START_LIMIT
    while time.monotonic() < until:
        if found := _living(workspace):
            return found
        time.sleep(0.02)
    raise _will_not_start(workspace)


def _will_not_start(workspace: Workspace) -> ServiceError:
    return ServiceError("The prediction service does not start.", f"Its log says why: {log_path(workspace)}.")


def _living(workspace: Workspace) -> tuple[Address, HTTPConnection] | None:
    """The address and a connection, once its other end has shown that it holds the token and runs this code."""
    known = address.read(workspace)
    if known is None or known.version != version():
        return None
    connection = HTTPConnection("127.0.0.1", known.port, timeout=HEALTH_LIMIT)
    nonce = secrets.token_hex(16)
    try:
        connection.request("GET", "/health", headers={wire.NONCE: nonce})
        answer, _ = wire.unpack(connection.getresponse().read())
        if hmac.compare_digest(str(answer.get("proof")), wire.proof(known.token, nonce)):
            return known, connection
    except (OSError, HTTPException, ValueError):
        pass  # nobody there, or somebody else
    connection.close()
    return None


class _Line:
    """A verified connection for one request; closed afterwards."""

    def __init__(self, found: tuple[Address, HTTPConnection]) -> None:
        self.address, self.connection = found

    def post(self, path: str, body: bytes, limit: float) -> wire.Message:
        if isinstance(self.connection.sock, socket.socket):
            self.connection.sock.settimeout(limit)
        headers = {"Authorization": f"Bearer {self.address.token}", "Content-Type": "application/octet-stream"}
        self.connection.request("POST", path, body, headers)
        return wire.unpack(self.connection.getresponse().read())

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
