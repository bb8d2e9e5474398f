from typing import get_args

import pytest

from catfish_core.lab.access import LOCAL, VISITOR, Action, User, may, refusal

BOB, EVE, ADA = User("bob", "member"), User("eve", "viewer"), User("ada", "admin")


@pytest.mark.parametrize("action", get_args(Action))
@pytest.mark.parametrize("owner", ["", "bob", "mia"])
def test_the_local_person_and_admins_may_everything(action, owner):
    assert may(LOCAL, action, owner) and may(ADA, action, owner)


@pytest.mark.parametrize("user", [VISITOR, EVE])
@pytest.mark.parametrize("owner", ["", "bob"])
def test_viewers_watch_and_predict(user, owner):
    assert [a for a in get_args(Action) if may(user, a, owner)] == ["watch", "predict"]


def test_viewers_look_after_their_own_account_only():
    assert may(EVE, "account", "eve") and not may(EVE, "account", "bob") and not may(VISITOR, "account", "")


def test_members_change_what_is_theirs():
    free = {"watch", "predict", "start", "import"}
    assert {a for a in get_args(Action) if may(BOB, a, "bob")} == free | {"change", "delete", "account"}
    assert {a for a in get_args(Action) if may(BOB, a, "mia")} == free
    assert {a for a in get_args(Action) if may(BOB, a, "")} == free  # built in, or made before the lab was shared


def test_every_refusal_is_a_sentence_with_a_way_out():
    for user in (VISITOR, EVE, BOB):
        for action in get_args(Action):
            for owner in ("", "mia"):
                error = refusal(user, action, owner)
                assert error.what.endswith(".") and error.hint.endswith(".")
