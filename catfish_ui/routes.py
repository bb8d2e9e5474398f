"""What the server hands out beside the pages: the chart library, the models and the sign-in page.  [no torch]

These routes answer no name but this machine's own (a page of another site that points its name here gets nothing),
and a run is found by its checked id, never by a path. In a lab, `door` lets only those come this far who may.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from catfish_core import runs
from catfish_core.errors import CatfishError
from catfish_core.runs import Run
from catfish_core.workspace import Workspace
from catfish_ui import sign_in

PLOTLY_VERSION = importlib.metadata.version("plotly")
PLOTLY_URL = f"catfish/plotly-{PLOTLY_VERSION}.min.js"
CHUNK = 1 << 20  # bytes read at a time, so that a model of any size costs no memory


def model_url(run_id: str) -> str:
    """Address of a run's model, relative to any page."""
    return f"catfish/models/{run_id}.zip"


def _plotly_file() -> Path:
    """plotly.min.js inside the plotly package, found without importing it: that would cost 40 MB."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


async def plotly(_: Request) -> Response:
    """The chart library; its address holds the version, so a browser may keep it for good."""
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(_plotly_file(), media_type="text/javascript", headers=headers)


async def model(request: Request) -> Response:
    """The kept weights of a run with the description of how to use them, as a zip."""
    if not sign_in.host_is_ours(request):
        return PlainTextResponse("This address is not served.", status_code=403)
    try:
        run = runs.find(Workspace.default(), request.path_params["run"])
    except CatfishError as error:
        return PlainTextResponse(str(error), status_code=404)
    if not run.model_path.exists():
        return PlainTextResponse("This run has kept no weights.", status_code=404)
    name = f'attachment; filename="catfish-{run.id}.zip"'
    headers = {"Content-Disposition": name, "Cache-Control": "private, no-store"}
    return StreamingResponse(zipped(run), media_type="application/zip", headers=headers)


class _Pipe(io.RawIOBase):
    """What zipfile writes to; `take` empties it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        whole, self._parts = b"".join(self._parts), []
        return whole


def zipped(run: Run) -> Iterator[bytes]:
    """A zip of the run's model, model.json and config.json, piece by piece."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for path in (run.model_path, run.path / "model.json", run.path / "config.json"):
            if not path.exists():
                continue
            with open(path, "rb") as source, archive.open(zipfile.ZipInfo(path.name), "w", force_zip64=True) as entry:
                while piece := source.read(CHUNK):
                    entry.write(piece)
                    yield pipe.take()
    yield pipe.take()


ROUTES = [
    Route(f"/{PLOTLY_URL}", plotly),
    Route("/catfish/models/{run}.zip", model),
    *sign_in.ROUTES,
]
