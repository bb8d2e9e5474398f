"""The door of the service: who is let in, what is refused, when it ends. No torch, no process of its own."""

import http.client
import json
import os
import stat
import threading
import time

import pytest

from catfish_core.serving import address, service, wire
from catfish_core.serving.address import Address
from catfish_core.serving.service import Service


@pytest.fixture
def door(workspace):
    """A service that listens, in a thread."""
    made = Service(workspace, "v1")
    address.publish(workspace, made.address)
    thread = threading.Thread(target=lambda: made.server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def ask(door, method="POST", path="/layers", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", door.address.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, wire.unpack(answer.read())[0]
    finally:
        connection.close()


def with_token(door, body=b"", **headers):
    return {
        "Authorization": f"Bearer {door.address.token}",
        "Content_Length": str(len(body)),
        "body": body,
        **headers,
    }


def test_health_proves_that_it_holds_the_token_without_telling_it(door):
    status, answer = ask(door, "GET", "/health", **{wire.NONCE: "abc"})
    assert status == 200
    assert answer["proof"] == wire.proof(door.address.token, "abc")
    assert door.address.token not in json.dumps(answer)


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong", "Basic dTpw", "Bearer é"])
def test_a_wrong_token_is_refused_in_a_sentence(door, given):
    headers = {} if given is None else {"Authorization": given.encode("utf-8")}
    status, answer = ask(door, Content_Length="0", **headers)
    assert status == 401
    assert answer["error"]["what"].endswith(".")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil"]
)
def test_a_foreign_host_is_refused(door, host):
    assert ask(door, "GET", "/health", Host=host)[0] == 403
    assert ask(door, **with_token(door, Host=host))[0] == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8501"])
def test_a_web_page_is_refused(door, origin):
    assert ask(door, **with_token(door, Origin=origin))[0] == 403


def test_a_body_too_large_is_refused_before_it_is_read(door):
    headers = with_token(door) | {"Content_Length": str(wire.MAX_BODY + 1)}
    assert ask(door, **headers)[0] == 413


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "", "٣"])
def test_a_body_without_a_sensible_length_is_refused(door, length):
    assert ask(door, **with_token(door) | {"Content_Length": length.encode("utf-8")})[0] == 411


def test_a_malformed_question_is_refused(door):
    assert ask(door, **with_token(door, b"nonsense"))[0] == 400


def test_there_is_no_other_page(door):
    assert ask(door, "GET", "/")[0] == 404


def test_the_address_is_for_its_owners_eyes_only(door, workspace):
    mode = stat.S_IMODE(os.stat(address.path(workspace)).st_mode)
    assert mode == 0o600
    assert address.read(workspace) == door.address


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "port": 1, "token": "t", "version": "v"}']
)
def test_a_damaged_address_is_none(workspace, text):
    address.path(workspace).parent.mkdir(parents=True)
    address.path(workspace).write_text(text)
    assert address.read(workspace) is None


def test_it_goes_on_while_asked_and_ends_when_nobody_does(door):
    now = door.last_asked
    assert door.why_end(now + service.IDLE - 1) is None
    assert "nobody" in door.why_end(now + service.IDLE + 1)
    with door.serving():
        assert door.why_end(now + service.STUCK - 1) is None
        assert "stuck" in door.why_end(time.monotonic() + service.STUCK + 1)


def test_it_ends_when_a_newer_one_took_over_and_leaves_that_ones_address_alone(door, workspace):
    newer = Address(1, 2, "other", "v2")
    address.publish(workspace, newer)
    assert "newer" in door.why_end(door.last_asked)
    address.withdraw(workspace, door.address)
    assert address.read(workspace) == newer
    address.withdraw(workspace, newer)
    assert "newer" in door.why_end(door.last_asked)  # gone counts as well: nobody could find it any more


def test_the_version_changes_with_the_code(tmp_path, monkeypatch):
    import catfish_core

    monkeypatch.setattr(catfish_core, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "__init__.py").write_text("")
    before = address.code_version()
    assert before == address.code_version()
    os.utime(tmp_path / "__init__.py", ns=(1, 1))
    assert before != address.code_version()
