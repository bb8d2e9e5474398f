"""Signing in with an outside provider: there and back through Streamlit's own routes, with a provider on loopback."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from streamlit.web.server.starlette.starlette_auth_routes import create_auth_routes

from catfish_core.lab import audit, sessions, signing
from catfish_core.lab.access import User
from catfish_ui import door, oidc, routes

HERE = "http://127.0.0.1:8501"
COOKIE_SECRET = "a-cookie-secret-of-more-than-32-characters"
INSIDE = "what is inside"


class Provider(ThreadingHTTPServer):
    """A tiny OpenID provider: discovery, authorize, token, keys. `person` is who sits before it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.key = RSAKey.generate_key(2048, parameters={"kid": "1", "use": "sig", "alg": "RS256"})
        self.foreign = RSAKey.generate_key(2048, parameters={"kid": "1"})
        self.person = {"email": "zoe@lab.org", "email_verified": True}
        self.sign_with = self.key
        self.codes = {}
        self.client = "catfish"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def token(self, code):
        asked = self.codes.pop(code)
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": self.client,
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        id_token = jwt.encode({"alg": "RS256", "kid": "1"}, {**claims, **self.person}, self.sign_with)
        return {"access_token": "an-access-token", "token_type": "Bearer", "id_token": id_token}


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/.well-known/openid-configuration":
            here = self.server.url
            return self._json({
                "issuer": here, "authorization_endpoint": f"{here}/authorize", "token_endpoint": f"{here}/token",
                "jwks_uri": f"{here}/jwks", "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            })  # fmt: skip
        if parts.path == "/jwks":
            return self._json({"keys": [self.server.key.as_dict(private=False)]})
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        code = f"code-{len(self.server.codes)}"
        self.server.codes[code] = asked
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")
        self.end_headers()

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._json(self.server.token(form["code"][0]))

    def _json(self, data):
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def provider():
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def configured(provider):
    """What .streamlit/secrets.toml would hold."""
    auth = {
        "redirect_uri": f"{HERE}/oauth2callback", "cookie_secret": COOKIE_SECRET, "client_id": provider.client,
        "client_secret": "s" * 32, "server_metadata_url": f"{provider.url}/.well-known/openid-configuration",
    }  # fmt: skip
    kept = secrets_singleton._secrets, secrets_singleton._programmatic_secrets
    secrets_singleton._secrets = {"auth": auth}
    yield auth
    secrets_singleton._secrets, secrets_singleton._programmatic_secrets = kept


@pytest.fixture
def client(people, configured):
    def inside(_):
        return PlainTextResponse(INSIDE)

    middleware = [
        Middleware(door.Door),
        Middleware(SessionMiddleware, secret_key=COOKIE_SECRET, session_cookie="_streamlit_session"),
    ]
    rest = Route("/{path:path}", inside)
    app = Starlette(routes=[*routes.ROUTES, *create_auth_routes(""), rest], middleware=middleware)
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        yield client


def go(client, provider, start="/catfish/sign-in/provider?name=default"):
    """Follow the redirects from `start`, to the provider and back, as a browser does; all addresses on the way."""
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    opener, way, answer, address = urllib.request.build_opener(Stay), [start], None, start
    for _ in range(8):
        if address.startswith(provider.url):
            try:
                opener.open(address)
                raise AssertionError("the provider leads back")
            except urllib.error.HTTPError as redirect:
                address = redirect.headers["Location"]
                redirect.close()
        else:
            answer = client.get(address.removeprefix(HERE), headers={"accept": "text/html"})
            if answer.status_code not in (302, 303):
                return answer, way
            address = answer.headers["location"]
        way.append(address)
    raise AssertionError(f"it goes in circles: {way}")


def test_there_and_back(client, provider, people):
    people.lab(oidc={"newcomers": "member", "domains": ["lab.org"]})
    assert "Sign in with your organisation" in client.get("/catfish/sign-in").text
    answer, way = go(client, provider)
    assert answer.text == INSIDE
    token = client.cookies[signing.COOKIE]
    assert signing.who(people.workspace, token) == User("zoe@lab.org", "member")
    assert not [name for name in client.cookies if name.startswith("_streamlit_user")]
    assert all(token not in address and "eyJ" not in address.partition("/auth/login")[0] for address in way)
    assert [(deed.user, deed.outcome) for deed in audit.read(people.workspace)] == [("zoe@lab.org", "done")]


def test_it_leads_to_the_page_that_was_asked_for(client, provider):
    answer, way = go(client, provider, "/catfish/sign-in/provider?name=default&next=%2Frun%3Frun%3D2026-x")
    assert answer.text == INSIDE and way[-1] == "/run?run=2026-x"
    assert go(client, provider, "/catfish/sign-in/provider?name=default&next=//evil.example")[1][-1] == "/"


def test_the_rules_say_who_is_an_admin_and_who_comes_in(client, provider, people):
    people.lab(oidc={"admins": ["zoe@lab.org"], "newcomers": None})
    go(client, provider)
    assert signing.who(people.workspace, client.cookies[signing.COOKIE]).role == "admin"
    client.cookies.clear()
    provider.person = {"email": "new@lab.org", "email_verified": True}
    answer, _ = go(client, provider)
    assert answer.status_code == 403 and "has no account here" in answer.text and INSIDE not in answer.text
    assert signing.COOKIE not in client.cookies


def test_an_address_the_provider_does_not_vouch_for(client, provider, people):
    provider.person = {"email": "zoe@lab.org", "email_verified": False}
    answer, _ = go(client, provider)
    assert "does not vouch" in answer.text and signing.COOKIE not in client.cookies


def test_a_token_signed_by_somebody_else_lets_nobody_in(client, provider, people):
    provider.sign_with = provider.foreign
    answer, _ = go(client, provider)
    assert "Sign in to CatFish" in answer.text and signing.COOKIE not in client.cookies


def test_signing_out_is_for_good_though_streamlit_s_cookie_would_last_a_month(client, provider, people):
    go(client, provider)
    token = client.cookies[signing.COOKIE]
    client.post("/catfish/sign-out", headers={"origin": HERE})
    assert sessions.find(people.workspace, token, 12) is None
    assert client.get("/", headers={"accept": "text/html"}).headers["location"].startswith("/catfish/sign-in")


def request(cookie):
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"",
                    "headers": [(b"cookie", f"_streamlit_user={cookie}".encode())]})  # fmt: skip


def signed(secret=COOKIE_SECRET, name="_streamlit_user", **changes):
    told = {"email": "zoe@lab.org", "email_verified": True, "is_logged_in": True, "origin": HERE, **changes}
    return create_signed_value(secret, name, json.dumps(told)).decode()


def tampered(cookie):
    """Another signature. Not by its last letter: two of its six bits mean nothing."""
    letter = "a" if cookie[-10] != "a" else "b"
    return cookie[:-10] + letter + cookie[-9:]


def test_streamlit_s_cookie_is_read_as_streamlit_reads_it(configured):
    assert oidc.claims(request(signed()))["email"] == "zoe@lab.org"


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x",
        signed("another-secret-of-more-than-32-characters"),
        signed(name="_streamlit_user_tokens"),
        tampered(signed()),
        base64.b64encode(b'{"email": "zoe@lab.org"}').decode(),
        signed(origin="http://evil.example"),
        signed(is_logged_in=False),
    ],
)
def test_forged_cookies_say_nothing(configured, cookie):
    assert oidc.claims(request(cookie)) is None


def test_an_old_cookie_is_not_exchanged(configured, monkeypatch):
    cookie = signed()
    later = time.time() + oidc.FRESH + 5
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: later)
    assert oidc.claims(request(cookie)) is None


def test_a_secret_that_can_be_guessed_is_not_used(configured, client):
    configured["cookie_secret"] = "secret"
    assert oidc.claims(request(signed("secret"))) is None
    assert "not set up completely" in client.get("/catfish/sign-in/provider?name=default").text


def test_without_a_provider_there_is_none(people):
    assert oidc.providers() == [] and oidc.claims(request(signed())) is None
