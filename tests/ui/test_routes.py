import io
import zipfile

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_ui import routes


@pytest.fixture
def client(workspace):
    with TestClient(Starlette(routes=routes.ROUTES), base_url="http://127.0.0.1:8501") as client:
        yield client


@pytest.fixture
def run(workspace):
    made = runs.create(workspace, RunConfig())
    made.model_path.write_bytes(b"w" * 3_000_000)
    (made.path / "model.json").write_text("{}")
    return made


def test_the_chart_library_is_served_and_kept(client):
    answer = client.get(f"/{routes.PLOTLY_URL}")
    assert answer.status_code == 200 and len(answer.content) > 1_000_000
    assert "immutable" in answer.headers["cache-control"]


def test_a_model_is_a_zip_of_what_is_needed_to_use_it(client, run):
    answer = client.get(f"/{routes.model_url(run.id)}")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model.safetensors", "model.json", "config.json"]
        assert archive.read("model.safetensors") == b"w" * 3_000_000


def test_a_run_that_is_none_or_has_no_model_is_not_found(client, run, workspace):
    assert client.get("/catfish/models/..%2f..%2fetc.zip").status_code == 404
    assert client.get("/catfish/models/nothing.zip").status_code == 404
    run.model_path.unlink()
    assert client.get(f"/{routes.model_url(run.id)}").status_code == 404


def test_another_name_for_this_machine_gets_nothing(client, run, monkeypatch):
    monkeypatch.setattr("streamlit.config.get_option", lambda name: ["localhost", "127.0.0.1"])
    assert client.get(f"/{routes.model_url(run.id)}").status_code == 200
    answer = client.get(f"/{routes.model_url(run.id)}", headers={"host": "evil.example"})
    assert answer.status_code == 403
