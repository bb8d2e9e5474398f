"""What goes on while the server lives."""

import asyncio
import errno

import pytest

from catfish_core.errors import StorageError
from catfish_core.jobs import queue
from catfish_ui import lifespan


@pytest.mark.parametrize("fault", [StorageError("The disk is full."), OSError(errno.EAGAIN, "No more processes")])
def test_what_fails_once_is_tried_again_for_as_long_as_the_server_lives(workspace, monkeypatch, fault):
    faults, looks = [fault], []

    def keep_going(there):
        looks.append(there)
        if faults:
            raise faults.pop()

    async def serve():
        async with lifespan.lifespan(None):
            for _ in range(1000):
                if len(looks) >= 3:
                    break
                await asyncio.sleep(0.01)
        made = len(looks)
        await asyncio.sleep(0.05)
        assert len(looks) == made  # and no longer

    monkeypatch.setattr(lifespan, "EVERY", 0.01)
    monkeypatch.setattr(queue, "keep_going", keep_going)
    asyncio.run(serve())
    assert len(looks) >= 3 and set(looks) == {workspace}
