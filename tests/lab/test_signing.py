import pytest

from catfish_core.errors import AccessError, ConfigError, SignedOut
from catfish_core.lab import accounts, audit, signing
from catfish_core.lab.access import LOCAL, VISITOR, User


def test_without_shared_mode_everybody_is_the_local_person(workspace, monkeypatch):
    monkeypatch.delenv("CATFISH_LAB", raising=False)
    assert signing.who(workspace, "") == signing.who(workspace, "anything") == LOCAL
    assert not workspace.root.exists()  # and nothing is written for it


def test_in_a_lab_nobody_gets_in_without_a_session(people, workspace):
    with pytest.raises(SignedOut, match="asks who you are"):
        signing.who(workspace, "")
    with pytest.raises(SignedOut, match="no longer"):
        signing.who(workspace, "made up")


def test_visitors_where_they_are_welcome(people, workspace):
    people.lab(visitors=True)
    assert signing.who(workspace, "") == signing.who(workspace, "made up") == VISITOR


def test_signing_in_and_out(people, workspace):
    token = signing.sign_in(workspace, "bob", people.passwords["bob"], "10.0.0.1")
    assert signing.who(workspace, token) == User("bob", "member")
    signing.sign_out(workspace, token)
    with pytest.raises(SignedOut):
        signing.who(workspace, token)
    told = [(deed.user, deed.action, deed.object, deed.outcome) for deed in audit.read(workspace)]
    assert told == [("bob", "sign in", "10.0.0.1", "done"), ("bob", "sign out", "", "done")]


def test_a_password_typed_as_a_name_is_written_down_nowhere(people, workspace):
    secret = "my very secret password"
    for _ in range(2):
        with pytest.raises(AccessError):
            signing.sign_in(workspace, secret, secret)
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    assert [deed.user for deed in audit.read(workspace)] == ["somebody unknown"] * 2


def test_damaged_settings_let_nobody_in(people, workspace):
    token = people.token("ada")
    (workspace.root / "lab.json").write_text("{")
    with pytest.raises(ConfigError):
        signing.who(workspace, token)


def test_somebody_from_outside(people, workspace):
    people.lab(oidc={"admins": ["zoe@x.org"], "domains": ["x.org"], "newcomers": None})
    token = signing.sign_in_by_provider(workspace, {"email": "zoe@x.org", "email_verified": True})
    assert signing.who(workspace, token) == User("zoe@x.org", "admin")
    accounts.set_disabled(workspace, "bob", True)
    with pytest.raises(AccessError):
        signing.sign_in_by_provider(workspace, {"email": "new@x.org", "email_verified": True})
    assert [deed.outcome for deed in audit.read(workspace)] == ["done", "refused"]
