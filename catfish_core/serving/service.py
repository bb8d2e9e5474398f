"""`python -m catfish_core.serving.service ROOT VERSION`: the process that predicts and explains.

It listens on a port of 127.0.0.1 that the system picks, answers whoever holds the token in serving/service.json,
and ends when nobody has asked for half an hour, when a newer service took its place, or when a request is stuck.

The server is the standard library's: a handful of requests from one machine need no framework, it is up in a
tenth of a second, and its one thread a request suits work that waits for torch.
"""

from __future__ import annotations

import hmac
import os
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from catfish_core.errors import CatfishError, ServiceError
from catfish_core.serving import address, wire
from catfish_core.serving.address import Address
from catfish_core.workspace import Workspace

IDLE = 30 * 60.0  # seconds without a request after which the service ends
STUCK = 240.0  # seconds of one request after which the service ends: its client has long given up
DRAIN = 20.0  # seconds that requests under way get when a newer service takes over
WATCH = 0.5  # seconds between two looks around
SOCKET_LIMIT = 30.0  # seconds a connection may say nothing


class Service:
    """What the requests share: the workspace, the token, and the note of who is being served."""

    def __init__(self, workspace: Workspace, version: str) -> None:
        self.workspace = workspace
        self.server = _Server(self)
        self.address = Address(os.getpid(), self.server.server_address[1], secrets.token_urlsafe(32), version)
        self.last_asked = time.monotonic()
        self.under_way: dict[int, float] = {}  # thread → when its request began

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Note that a request is under way."""
        me = threading.get_ident()
        self.last_asked = self.under_way[me] = time.monotonic()
        try:
            yield
        finally:
            self.under_way.pop(me, None)
            self.last_asked = time.monotonic()

    def why_end(self, now: float) -> str | None:
        """A reason to end the service at the time `now` (monotonic seconds), if there is one."""
        if address.read(self.workspace) != self.address:
            return "a newer service took over"
        began = list(self.under_way.values())
        if began and now - min(began) > STUCK:
            return "a request is stuck"
        if not began and now - self.last_asked > IDLE:
            return "nobody has asked for a while"
        return None

    def run(self) -> None:
        """Serve until there is a reason to end."""
        address.publish(self.workspace, self.address)
        for work in (self._watch, _import_torch):
            threading.Thread(target=work, daemon=True).start()
        try:
            self.server.serve_forever(poll_interval=0.1)
        finally:
            address.withdraw(self.workspace, self.address)
            self.server.server_close()
            self._drain()

    def _watch(self) -> None:
        while (why := self.why_end(time.monotonic())) is None:
            time.sleep(WATCH)
        say(f"ends: {why}")
        self.server.shutdown()

    def _drain(self) -> None:
        until = time.monotonic() + DRAIN
        while self.under_way and time.monotonic() < until:
            time.sleep(0.05)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a stuck request must not keep the process from ending
    request_queue_size = 128

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service

    def server_bind(self) -> None:
        """Without the base class's look-up of the machine's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is worth a line; anything else the whole story."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            say(f"a client went away: {error}")
        else:
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "CatFish", ""
    timeout = SOCKET_LIMIT
    disable_nagle_algorithm = True  # or head and body of an answer wait 40 ms for each other
    server: _Server

    def do_GET(self) -> None:
        """Health: who we are, and the proof that we hold the token."""
        if self._foreign():
            return
        if self.path != "/health":
            return self._refuse(404, "There is no such page.")
        ours = self.server.service.address
        answer = {"version": ours.version, "pid": ours.pid}
        if nonce := self.headers.get(wire.NONCE):
            answer["proof"] = wire.proof(ours.token, nonce)
        self._send(200, wire.pack(answer))

    def do_POST(self) -> None:
        """A question: its token, its size and its form are looked at before anything is computed."""
        if self._foreign():
            return
        if not self._authorized():
            return self._refuse(401, "This token does not open the prediction service.")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self._refuse(411, "The request does not say how long it is.")
        if int(length) > wire.MAX_BODY:
            return self._refuse(413, f"The request is larger than {wire.MAX_BODY // 2**20} MB.")
        with self.server.service.serving():
            self._send(*self._answer(self.rfile.read(int(length))))

    def _answer(self, body: bytes) -> tuple[int, bytes]:
        try:
            head, blobs = wire.unpack(body)
            from catfish_core.serving import answers  # torch: imported in the background since the start

            return 200, answers.answer(self.server.service.workspace, self.path, head, blobs)
        except CatfishError as error:
            return 422, wire.fault(error)
        except (ValueError, KeyError, TypeError) as error:
            traceback.print_exc()
            return 400, wire.fault(ServiceError(f"The prediction service did not understand the request: {error}."))
        except Exception as error:  # the one place of this process that catches everything: it has to go on serving
            traceback.print_exc()
            return 500, wire.fault(unexpected(error))

    def _foreign(self) -> bool:
        """Refuse what a web page could have sent: another Host (DNS rebinding), or any Origin at all."""
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self._refuse(403, "The prediction service answers under its own address only.")
        elif self.headers.get("Origin") is not None:
            self._refuse(403, "The prediction service does not talk to web pages.")
        else:
            return False
        return True

    def _authorized(self) -> bool:
        given = self.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self.server.service.address.token}".encode())

    def _refuse(self, status: int, what: str) -> None:
        self.close_connection = True  # the body, if any, stays unread
        self._send(status, wire.fault(ServiceError(what)))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Only what went wrong is worth a line; photo names never are."""
        if str(code) not in ("200", "422"):
            say(f"{self.command} {self.path[:80]!r} → {code}")

    def log_message(self, format: str, *args: Any) -> None:
        """What the base class complains about, into the log."""
        say(format % args)


def unexpected(error: Exception) -> ServiceError:
    """What a person is told of a fault nobody foresaw; the traceback is in the log."""
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return ServiceError(
            "There was not enough memory for these photos with this model.", "Send fewer photos at once."
        )
    return ServiceError(
        f"Something unexpected happened while predicting: {type(error).__name__}: {str(error)[:200]}",
        "The whole story is in serving/service.log in your CatFish folder; a bug report with it is welcome.",
    )


def say(text: str) -> None:
    """One line in the log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] {text}", file=sys.stderr, flush=True)


def _import_torch() -> None:
    from catfish_core.serving import answers  # noqa: F401, I001 - seconds, spent before the first question comes
    from catfish_core.torch_setup import timm  # noqa: F401 - afterwards, since the course's networks do without


def main(arguments: list[str]) -> int:
    """Serve the workspace in the folder given, as the version given."""
    root, version = arguments
    # Before torch comes: its helper threads sleep while they wait instead of spinning, which beside a training run
    # makes a prediction ten times quicker, and the run no slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    service = Service(Workspace(Path(root)), version)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    say(f"listens on port {service.address.port}")
    service.run()
    if service.under_way:  # a thread inside torch can hold up an orderly end for ever
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
