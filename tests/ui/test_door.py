"""Every address of the server, asked by everybody: whoever is nobody gets the sign-in page and nothing else."""

import ast
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from catfish_core import runs
from catfish_core.config import RunConfig
from catfish_core.lab import accounts, signing
from catfish_ui import door, routes, sign_in

ROOT = Path(__file__).parents[2]
SECRET = "what is inside"
HERE = "http://127.0.0.1:8501"
STREAMLIT = ("/", "/runs", "/run", "/media/abc.jpg", "/_stcore/upload_file/s/f", "/_stcore/host-config",
             "/_stcore/agent/interact", "/_stcore/metrics", "/component/x", "/app/static/x", "/other")  # fmt: skip
PUBLIC = {sign_in.SIGN_IN, sign_in.PROVIDER, sign_in.STYLE, sign_in.LOGO, sign_in.ICON}


def app():
    """The server's own routes behind its door; everything of Streamlit's is stood in for."""

    def inside(_):
        return PlainTextResponse(SECRET)

    rest = Route("/{path:path}", inside, methods=["GET", "POST", "PUT", "DELETE"])
    return Starlette(routes=[*routes.ROUTES, rest], middleware=[Middleware(door.Door)])


@pytest.fixture
def client(people):
    with TestClient(app(), base_url=HERE, follow_redirects=False) as client:
        yield client


@pytest.fixture
def run(workspace):
    made = runs.create(workspace, RunConfig(), "bob")
    made.model_path.write_bytes(SECRET.encode())
    return made


def cookie(token):
    return {"cookie": f"{signing.COOKIE}={token}"}


def addresses(run):
    """Every address there is: Streamlit's, the pages', and our routes with their blanks filled in."""
    pages = [f"/{page.stem.replace('_', '-')}" for page in (ROOT / "pages").glob("*.py")]
    ours = [route.path.replace("{run}", run.id) for route in routes.ROUTES]
    return [*STREAMLIT, *pages, *ours]


@pytest.mark.parametrize("token", ["", "made-up", "x" * 5000, "%00", '"><script>'])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_nobody_gets_nothing_anywhere(client, run, workspace, token, method):
    before = {path: path.read_bytes() for path in workspace.runs.rglob("*") if path.is_file()}
    for path in addresses(run):
        if path in PUBLIC:
            continue
        answer = client.request(method, path, headers=cookie(token) if token else {})
        assert answer.status_code in (303, 401, 403, 405), (path, answer.status_code)
        assert SECRET not in answer.text and run.id not in answer.text
    assert before == {path: path.read_bytes() for path in workspace.runs.rglob("*") if path.is_file()}


def test_what_is_open_to_nobody_is_the_sign_in_page_only(client, run):
    for path in PUBLIC:
        answer = client.get(path)
        assert answer.status_code in (200, 303) and SECRET not in answer.text
    assert set(door.OPEN) == PUBLIC | {"/_stcore/health", "/auth/login", "/oauth2callback"}


def test_a_page_asked_for_leads_to_the_sign_in_page_and_back(client):
    answer = client.get("/run?run=2026-x&a=%26", headers={"accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/catfish/sign-in?next=%2Frun%3Frun%3D2026-x%26a%3D%2526"
    assert 'value="/run?run=2026-x&amp;a=%26"' in client.get(answer.headers["location"]).text


@pytest.mark.parametrize("name", ["eve", "bob", "mia", "ada"])
def test_whoever_is_signed_in_gets_in(client, people, run, name):
    headers = cookie(people.token(name))
    for path in ("/", "/runs", "/media/abc.jpg"):
        assert client.get(path, headers=headers).text == SECRET
    answer = client.get(f"/{routes.model_url(run.id)}", headers=headers)
    assert answer.status_code == 200 and SECRET.encode() in answer.content
    assert "no-store" in answer.headers["cache-control"]


def test_a_visitor_gets_in_where_visitors_are_welcome(client, people, run):
    people.lab(visitors=True)
    assert client.get("/runs").text == SECRET
    assert client.get(f"/{routes.model_url(run.id)}").status_code == 200
    assert client.get("/catfish/account").headers["location"] == "/catfish/sign-in"


def test_a_session_that_has_ended_opens_nothing(client, people, workspace):
    for end in (
        lambda token: signing.sign_out(workspace, token),
        lambda token: accounts.set_disabled(workspace, "bob", True),
    ):
        token = people.token("bob")
        assert client.get("/runs", headers=cookie(token)).status_code == 200
        end(token)
        assert client.get("/runs", headers=cookie(token)).status_code == 401


def test_an_expired_session_opens_nothing(client, people, workspace, monkeypatch):
    token = people.token("bob")
    monkeypatch.setattr("catfish_core.lab.sessions.time.time", lambda: 4_000_000_000.0)
    assert client.get("/media/abc.jpg", headers=cookie(token)).status_code == 401


def test_another_host_name_gets_nothing(client, people, monkeypatch):
    monkeypatch.setattr("streamlit.config.get_option", lambda name: ["localhost", "127.0.0.1"])
    headers = cookie(people.token("ada"))
    assert client.get("/runs", headers=headers).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example"):
        assert client.get("/runs", headers={**headers, "host": host}).status_code == 403
        assert client.get("/catfish/sign-in", headers={"host": host}).status_code == 403


def test_the_names_of_the_lab_are_served_too(people, monkeypatch):
    from streamlit import config

    kept = {"server.allowedHosts": ["localhost", "127.0.0.1"]}
    monkeypatch.setattr(config, "get_option", kept.get)
    monkeypatch.setattr(config, "set_option", kept.__setitem__)
    people.lab(hosts=["lab.example.org"])
    door.Door(app())
    assert kept["server.allowedHosts"] == ["localhost", "127.0.0.1", "lab.example.org"]


def test_pages_may_not_be_framed_or_sniffed_and_links_are_not_told_elsewhere(client, people):
    answer = client.get("/runs", headers=cookie(people.token("bob")))
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(("length", "status"), [("1000", 200), (str(10**9), 413), ("x", 413), ("", 413)])
def test_a_viewer_uploads_photos_and_no_datasets(client, people, length, status):
    people.lab(visitors=True)
    for headers in ({}, cookie(people.token("eve"))):
        answer = client.put("/_stcore/upload_file/s/f", headers={**headers, "content-length": length})
        assert answer.status_code == status
    member = {**cookie(people.token("bob")), "content-length": str(10**9)}
    assert client.put("/_stcore/upload_file/s/f", headers=member).status_code == 200


def test_settings_that_cannot_be_meant_let_nobody_in(client, people, workspace):
    token = people.token("ada")
    (workspace.root / "lab.json").write_text("{")
    for path in ("/", "/media/x", "/catfish/sign-in"):
        answer = client.get(path, headers=cookie(token))
        assert answer.status_code == 503 and "lab.json" in answer.text and SECRET not in answer.text


def test_damaged_accounts_let_nobody_in(client, people, workspace):
    token = people.token("ada")
    (workspace.root / "lab.db").write_bytes(b"x" * 9000)
    for name in ("lab.db-wal", "lab.db-shm"):
        (workspace.root / name).unlink(missing_ok=True)
    answer = client.get("/runs", headers=cookie(token))
    assert answer.status_code == 503 and "damaged" in answer.text
    assert client.get("/catfish/sign-in").status_code == 503


def test_without_shared_mode_the_door_stands_open(workspace, monkeypatch):
    monkeypatch.delenv("CATFISH_LAB", raising=False)
    with TestClient(app(), base_url=HERE, follow_redirects=False) as client:
        for path in ("/", "/runs", "/media/abc.jpg"):
            answer = client.get(path)
            assert answer.text == SECRET and "x-frame-options" not in answer.headers
        for path in (sign_in.SIGN_IN, "/catfish/account"):
            assert client.get(path).headers["location"] == "/"
    assert not workspace.root.exists()


def test_the_app_has_the_door_before_everything():
    tree = ast.parse((ROOT / "app.py").read_text())
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.App"]
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    assert given["middleware"] == "[Middleware(door.Door)]" and given["routes"] == "routes.ROUTES"
