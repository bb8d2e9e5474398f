"""What goes on for as long as the server lives, whether anybody looks or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from catfish_core.errors import CatfishError
from catfish_core.jobs import queue
from catfish_core.workspace import Workspace

EVERY = 2.0  # seconds between two looks at the dispatcher


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """While the server lives, what waits or was interrupted has a dispatcher, with or without a page open."""
    watch = asyncio.create_task(_watch())
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _watch() -> None:
    while True:
        with suppress(CatfishError, OSError):  # the disk, which the pages speak of; or no process can be started
            await asyncio.to_thread(queue.keep_going, Workspace.default())
        await asyncio.sleep(EVERY)
