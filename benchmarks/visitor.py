"""A browser without a screen: what a tab on a page of the app says to the server, and when it hears what.  [no torch]

It speaks Streamlit's protocol over a websocket as the JavaScript in a tab does: it asks for the page, starts a timer
for every part that is to be drawn again and again, keeps large messages and says which it still has. What it leaves
out is the drawing.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

Kind = Literal["epoch", "step"]
CURVE = '"Loss of each batch"'  # of the charts, the one with a point for every step
EPOCH = re.compile(r"Training: epoch (\d+) of")


@dataclass(frozen=True)
class Sight:
    """At `at` (seconds since 1970) a visitor saw that a run had come as far as `position`, in epochs."""

    at: float
    kind: Kind
    position: float


@dataclass
class _Kept:
    """A large message that need not be sent again, the part of the page it belongs to, and when it was last used."""

    message: ForwardMsg
    fragment: str
    run: int


@dataclass
class Visitor:
    """A tab on `page` ("run", "lab", "" for Home) of the app at `port`, with `query` in its address.

    `sights` is what it saw, `looks` how many times a part of the page was drawn anew, by its id; `received` counts
    bytes, `title` is the page's heading, `faults` are the errors it was shown.
    """

    port: int
    page: str = ""
    query: dict[str, str] = field(default_factory=dict)
    sights: list[Sight] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    received: int = 0
    title: str = ""
    faults: list[str] = field(default_factory=list)
    until: float = math.inf  # when it left, in seconds since 1970
    _connection: ClientConnection | None = None
    _page_hash: str = ""
    _timers: dict[str, tuple[float, asyncio.Task[None]]] = field(default_factory=dict)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _max_age: int = 2
    _runs: int = 0
    _drawn: asyncio.Event = field(default_factory=asyncio.Event)

    async def visit(self) -> None:
        """Stay until cancelled; raises OSError or a WebSocketException where the server does not have it."""
        url = f"ws://127.0.0.1:{self.port}/_stcore/stream"
        origin = websockets.Origin(f"http://127.0.0.1:{self.port}")
        protocols = [websockets.Subprotocol("streamlit")]
        async with connect(url, origin=origin, subprotocols=protocols, max_size=None) as connection:
            self._connection = connection
            try:
                await self._ask()
                async for data in connection:
                    assert isinstance(data, bytes)
                    self.received += len(data)
                    message = ForwardMsg()
                    message.ParseFromString(data)
                    self._hear(message, time.time())
            finally:
                self._connection, self.until = None, time.time()
                self._stop_timers()

    async def drawn(self) -> None:
        """Wait until the page has been drawn for the first time."""
        await self._drawn.wait()

    async def _ask(self, fragment: str = "", automatic: bool = False) -> None:
        """Have the page, or a part of it, drawn anew."""
        if self._connection is None:
            return
        message = BackMsg()
        rerun = message.rerun_script
        rerun.query_string = urlencode(self.query)
        rerun.page_script_hash = self._page_hash
        rerun.page_name = "" if self._page_hash else self.page
        rerun.fragment_id, rerun.is_auto_rerun = fragment, automatic
        rerun.cached_message_hashes.extend(self._kept)
        rerun.context_info.url = f"http://127.0.0.1:{self.port}/{self.page}"
        rerun.context_info.timezone, rerun.context_info.locale = "UTC", "en-GB"
        rerun.context_info.color_scheme = "light"
        await self._connection.send(message.SerializeToString())

    def _hear(self, message: ForwardMsg, at: float) -> None:
        what = message.WhichOneof("type")
        if what == "new_session":
            self._begin(message)
        elif what == "navigation":
            self._page_hash = message.navigation.page_script_hash
        elif what == "auto_rerun":
            self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif what == "stop_auto_rerun":
            self._stop_timers(*message.stop_auto_rerun.fragment_ids)
        elif what == "script_finished":
            self._end(message)
        elif what == "delta":
            self._keep(message)
            self._see(message, at)
        elif what == "ref_hash":
            kept = self._kept[message.ref_hash]
            kept.run = self._runs
            self._see(kept.message, at)

    def _begin(self, message: ForwardMsg) -> None:
        new = message.new_session
        self._page_hash = self._page_hash or new.page_script_hash
        self._max_age = new.config.max_cached_message_age
        if not message.metadata.run.fragment_ids:  # the whole page is drawn, its parts say anew how often
            self._stop_timers()

    def _end(self, message: ForwardMsg) -> None:
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        parts = list(message.metadata.run.fragment_ids)
        self._runs += 1
        self.looks.update(parts or [""])
        self._drawn.set()
        for hash, kept in list(self._kept.items()):
            theirs = not parts or kept.fragment in parts
            if theirs and self._runs - kept.run > self._max_age:
                del self._kept[hash]

    def _keep(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable:
            self._kept[message.hash] = _Kept(message, message.delta.fragment_id, self._runs)

    def _see(self, message: ForwardMsg, at: float) -> None:
        if not message.HasField("delta") or message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "heading" and element.heading.tag == "h1":
            self.title = element.heading.body
        elif kind == "markdown":
            self._read(element.markdown.body, at)
        elif kind == "bidi_component":
            self._look_at(element.bidi_component.json or element.bidi_component.mixed.json, at)
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.faults.append(element.alert.body)
        elif kind == "exception":
            self.faults.append(element.exception.message)

    def _read(self, text: str, at: float) -> None:
        if found := EPOCH.search(text):
            self.sights.append(Sight(at, "epoch", float(found[1])))

    def _look_at(self, data: str, at: float) -> None:
        if CURVE in data[:100]:
            told = json.loads(data)["figure"]
            figure: dict[str, Any] = json.loads(told) if isinstance(told, str) else told
            if xs := figure["data"][0]["x"]:
                self.sights.append(Sight(at, "step", xs[-1]))
        else:
            self._read(data, at)

    def _start_timer(self, fragment: str, interval: float) -> None:
        if self._timers.get(fragment, (None,))[0] == interval:
            return
        self._stop_timers(fragment)
        self._timers[fragment] = interval, asyncio.create_task(self._tick(fragment, interval))

    async def _tick(self, fragment: str, interval: float) -> None:
        """Ask at even times, whatever became of the question before, as setInterval does."""
        due = time.monotonic()
        with suppress(websockets.ConnectionClosed):
            while True:
                due += interval
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._ask(fragment, automatic=True)

    def _stop_timers(self, *fragments: str) -> None:
        """Those of `fragments`, or all."""
        for fragment in fragments or tuple(self._timers):
            if timer := self._timers.pop(fragment, None):
                timer[1].cancel()
