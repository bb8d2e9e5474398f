import json

import pytest

from catfish_core.errors import ConfigError
from catfish_core.lab import settings


def write(workspace, content):
    workspace.root.mkdir(parents=True, exist_ok=True)
    settings.path(workspace).write_text(content if isinstance(content, str) else json.dumps(content))


def test_without_a_file_there_is_one_local_person(workspace, monkeypatch):
    monkeypatch.delenv("CATFISH_LAB", raising=False)
    assert settings.read(workspace) == settings.Settings()
    assert not settings.read(workspace).shared


@pytest.mark.parametrize(("value", "shared"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_turns_shared_mode_on(workspace, monkeypatch, value, shared):
    monkeypatch.setenv("CATFISH_LAB", value)
    assert settings.read(workspace).shared is shared


def test_the_environment_wins_over_the_file(workspace, monkeypatch):
    write(workspace, {"shared": False, "visitors": True})
    monkeypatch.setenv("CATFISH_LAB", "1")
    read = settings.read(workspace)
    assert read.shared and read.visitors


def test_a_change_is_seen_at_once(workspace):
    write(workspace, {"session_hours": 2})
    assert settings.read(workspace).session_hours == 2
    write(workspace, {"session_hours": 48, "slots": {"cpu": 2}})
    read = settings.read(workspace)
    assert read.session_hours == 48 and read.slots == {"cpu": 2}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"shared": "perhaps"},
        {"sharde": True},
        {"session_hours": 0},
        {"oidc": {"newcomers": "admin"}},
        "\xff",
    ],
)
def test_a_file_that_cannot_be_meant_lets_nobody_in(workspace, content):
    write(workspace, content)
    with pytest.raises(ConfigError, match="lab.json"):
        settings.read(workspace)


def test_addresses_and_domains_are_compared_in_lower_case(workspace):
    write(workspace, {"oidc": {"admins": ["Ada@X.org "], "domains": ["@X.org"]}})
    assert settings.read(workspace).oidc.admins == ("ada@x.org",) and settings.read(workspace).oidc.domains == (
        "x.org",
    )
