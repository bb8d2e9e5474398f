"""The sign-in page and the account page: what they take, what they refuse, where they lead."""

import html
import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from catfish_core.lab import accounts, attempts, audit, sessions, signing
from catfish_ui import door, routes, sign_in

HERE = "http://127.0.0.1:8501"
OURS = {"origin": HERE}


@pytest.fixture
def client(people):
    app = Starlette(routes=routes.ROUTES, middleware=[Middleware(door.Door)])
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        yield client


def sign(client, people, name="bob", headers=OURS, **form):
    form = {"name": name, "password": people.passwords.get(name, ""), **form}
    return client.post("/catfish/sign-in", data=form, headers=headers)


def test_the_right_password_opens_the_lab(client, people, workspace):
    answer = sign(client, people, next="/run?run=x&y=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/run?run=x&y=1")
    said = answer.headers["set-cookie"].partition(", catfish_next")[0]
    assert "HttpOnly" in said and "SameSite=lax" in said and "Path=/" in said and "Secure" not in said
    assert signing.who(workspace, client.cookies[signing.COOKIE]).name == "bob"


def test_the_cookie_is_secure_over_https_and_where_the_lab_says_so(client, people):
    people.lab(https=True)
    assert "Secure" in sign(client, people).headers["set-cookie"]
    people.lab()
    answer = client.post(
        "https://127.0.0.1:8501/catfish/sign-in",
        data={"name": "bob", "password": people.passwords["bob"]},
        headers={"origin": "https://127.0.0.1:8501"},
    )
    assert "Secure" in answer.headers["set-cookie"]


def test_a_header_of_a_proxy_that_nobody_trusts_changes_nothing(client, people):
    answer = sign(client, people, headers={**OURS, "x-forwarded-proto": "https", "x-forwarded-for": "1.2.3.4"})
    assert "Secure" not in answer.headers["set-cookie"]
    assert [deed.object for deed in audit.read(people.workspace)] == ["testclient"]


def test_a_wrong_password_is_a_sentence_and_no_cookie(client, people):
    answer = sign(client, people, password="wrong", next="/runs")
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "Name or password is not right." in answer.text and 'value="bob"' in answer.text
    assert 'name="next" value="/runs"' in answer.text and "wrong" not in answer.text


def test_guessing_is_slowed_down(client, people):
    for _ in range(attempts.FREE["name"]):
        sign(client, people, password="wrong")
    answer = sign(client, people)
    assert answer.status_code == 401 and "Too many attempts" in answer.text


FOREIGN = [
    {},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://127.0.0.1:8501.evil.example"},
    {"sec-fetch-site": "cross-site", "origin": HERE},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
]
FORMS = [route.path for route in sign_in.ROUTES if "POST" in route.methods]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_another_site_is_refused(client, people, workspace, path, headers):
    token = people.token("bob")
    form = {"name": "bob", "password": people.passwords["bob"], "old": people.passwords["bob"],
            "new": "a brand new long one", "again": "a brand new long one"}  # fmt: skip
    answer = client.post(path, data=form, headers={**headers, "cookie": f"{signing.COOKIE}={token}"})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers
    assert sessions.find(workspace, token, 12) and sessions.count(workspace, "bob") == 1
    assert accounts.check(workspace, "bob", people.passwords["bob"])


def test_a_form_of_this_site_by_either_sign(client, people):
    assert sign(client, people, headers={"sec-fetch-site": "same-origin"}).status_code == 303
    assert sign(client, people, headers=OURS).status_code == 303


@pytest.mark.parametrize("path", FORMS)
def test_no_link_changes_anything(client, people, workspace, path):
    token = people.token("bob")
    answer = client.get(path, headers={"cookie": f"{signing.COOKIE}={token}"})
    assert answer.status_code in (200, 405)
    assert sessions.find(workspace, token, 12)


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "",
     "/\tevil", "/\n/evil.example", " //evil.example", "/%0d%0aSet-Cookie:x\r\nX: y", "/catfish/sign-out",
     "/auth/logout", "runs", "http:/runs", "///evil.example", "/" + "x" * 5000],
)  # fmt: skip
def test_it_leads_to_no_other_site(client, people, wanted):
    assert sign_in.onward(wanted) == "/"
    assert sign(client, people, next=wanted).headers["location"] == "/"
    page = client.get("/catfish/sign-in", params={"next": wanted})
    assert 'name="next" value="/"' in page.text


@pytest.mark.parametrize("wanted", ["/", "/runs", "/run?run=20260101-x&tab=a%20b", "/predict?next=//evil.example"])
def test_it_leads_to_pages_of_this_one(wanted):
    assert sign_in.onward(wanted) == wanted


def test_what_was_typed_is_shown_as_text(client, people):
    name = '"><script>alert(1)</script>'
    answer = sign(client, people, name=name, password="x", next='/runs?"><script>')
    assert "<script" not in answer.text and html.escape(name) in answer.text


def test_the_pages_bring_no_script_and_cannot_be_kept_or_framed(client, people):
    token = people.token("bob")
    for path in ("/catfish/sign-in", "/catfish/account"):
        answer = client.get(path, headers={"cookie": f"{signing.COOKIE}={token}"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy
        assert "unsafe" not in policy and answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script|style=|\son\w+=|javascript:", answer.text)


def test_signing_in_again_ends_the_session_before(client, people, workspace):
    sign(client, people, "bob")
    first = client.cookies[signing.COOKIE]
    sign(client, people, "mia")
    assert sessions.find(workspace, first, 12) is None
    assert sessions.find(workspace, client.cookies[signing.COOKIE], 12).name == "mia"


def test_a_token_that_somebody_else_set_is_never_taken_over(client, people, workspace):
    client.cookies.set(signing.COOKIE, "chosen-by-an-attacker")
    sign(client, people)
    assert sessions.find(workspace, "chosen-by-an-attacker", 12) is None


def test_signing_out_ends_the_session_and_takes_the_cookie_back(client, people, workspace):
    sign(client, people)
    token = client.cookies[signing.COOKIE]
    answer = client.post("/catfish/sign-out", headers=OURS)
    assert answer.headers["location"] == "/catfish/sign-in" and signing.COOKIE not in client.cookies
    assert sessions.find(workspace, token, 12) is None


def test_signing_out_everywhere(client, people, workspace):
    elsewhere, other = people.token("bob"), people.token("mia")
    sign(client, people)
    assert "In 2 browsers" in client.get("/catfish/account").text
    client.post("/catfish/account/everywhere", headers=OURS)
    assert sessions.count(workspace, "bob") == 0 and sessions.find(workspace, elsewhere, 12) is None
    assert sessions.find(workspace, other, 12)


def change(client, old, new, again=None):
    return client.post(
        "/catfish/account/password", data={"old": old, "new": new, "again": again or new}, headers=OURS
    )


def test_changing_the_password_keeps_this_browser_only(client, people, workspace):
    elsewhere = people.token("bob")
    sign(client, people)
    assert change(client, people.passwords["bob"], "a brand new long one").status_code == 303
    assert sessions.find(workspace, elsewhere, 12) is None
    assert signing.who(workspace, client.cookies[signing.COOKIE]).name == "bob"
    assert accounts.check(workspace, "bob", "a brand new long one")


@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [("wrong", "a brand new long one", None, "not right"), (None, "short", None, "too short"),
     (None, "a brand new long one", "another one altogether", "not the same")],
)  # fmt: skip
def test_a_change_of_password_that_cannot_be(client, people, workspace, old, new, again, said):
    sign(client, people)
    answer = change(client, old or people.passwords["bob"], new, again)
    assert answer.status_code == 422 and said in answer.text
    assert not {old, new, again, people.passwords["bob"]} & set(re.findall('value="(.*?)"', answer.text))
    assert accounts.check(workspace, "bob", people.passwords["bob"])


def test_a_form_that_is_too_long_is_not_read(client, people):
    assert sign(client, people, password="x" * 20_000).status_code == 403


def test_a_lab_without_accounts_says_how_to_add_the_first(workspace, monkeypatch):
    monkeypatch.setenv("CATFISH_LAB", "1")
    with TestClient(Starlette(routes=routes.ROUTES), base_url=HERE) as client:
        assert "catfish_core user add NAME --role admin" in client.get("/catfish/sign-in").text


def test_visitors_are_shown_the_way_where_they_are_welcome(client, people):
    assert "Look around" not in client.get("/catfish/sign-in").text
    people.lab(visitors=True)
    assert '<a href="/runs">Look around' in client.get("/catfish/sign-in?next=/runs").text


def test_no_secret_stands_anywhere_after_a_session(client, people, workspace, caplog):
    caplog.set_level("DEBUG")
    sign(client, people, password="a wrong password")
    sign(client, people, name="the password typed as a name", password="a wrong password")
    sign(client, people)
    first = client.cookies[signing.COOKIE]
    change(client, people.passwords["bob"], "a brand new long one")
    second = client.cookies[signing.COOKIE]
    change(client, "a brand new long one", "short")
    client.post("/catfish/sign-out", headers=OURS)
    secrets = [*people.passwords.values(), "a wrong password", "the password typed as a name", "a brand new long one",
               first, second]  # fmt: skip
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files) + caplog.text.encode()
    assert len(files) >= 3 and b"argon2id" in kept
    for secret in secrets:
        assert secret.encode() not in kept
    asked = " ".join(record.getMessage() for record in caplog.records)
    assert "/catfish/sign-in" in asked or asked == ""  # addresses may be logged: they hold none
