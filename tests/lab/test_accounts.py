import pytest
from argon2 import PasswordHasher

from catfish_core.errors import AccessError, ConfigError, StorageError
from catfish_core.lab import accounts, attempts, sessions, store
from catfish_core.lab.access import User
from catfish_core.lab.settings import Oidc

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    "name", ["ada", "a", "ada.lovelace", "a-b_c9", "ADA2", " ada3 ", "ada@x.org", "a.b+c@x-y.co.uk"]
)
def test_names(name):
    assert accounts.checked_name(name) == name.strip().lower()


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "../x", "a/b", "a\\b", "<b>x</b>", "**b**", "🐟", "a🐟", "a b", "a\x00b", "a\nb", "-a", "_a",
     "\u202eada", "аda", "a" * 41, "@x.org", "a@b", "a@b@c.de", "a@../x.org", "(command line)", "a:b", "$x$",
     "a" * 200 + "@x.org"],
)  # fmt: skip
def test_names_that_could_be_paths_markup_or_look_alikes_are_refused_with_a_sentence(workspace, name):
    with pytest.raises(ConfigError, match="cannot be a name"):
        accounts.add(workspace, name, "member", "correct horse battery")
    assert accounts.listing(workspace) == []


@pytest.mark.parametrize("password", ["", "short", "x" * 201, "aaaaaaaaaaaa", "robert12345"])
def test_passwords_that_are_too_short_long_or_easy(workspace, password):
    with pytest.raises(ConfigError, match="password"):
        accounts.add(workspace, "robert", "member", password)


def test_a_password_opens_its_account_only(people, workspace):
    assert accounts.check(workspace, "bob", people.passwords["bob"]) == User("bob", "member")
    assert accounts.check(workspace, " BOB ", people.passwords["bob"]) == User("bob", "member")
    for name, password in (("mia", people.passwords["bob"]), ("bob", ""), ("nobody", people.passwords["bob"])):
        with pytest.raises(AccessError, match="not right"):
            accounts.check(workspace, name, password)


def test_unknown_wrong_and_disabled_are_told_the_same_and_cost_the_same(people, workspace, monkeypatch):
    accounts.set_disabled(workspace, "mia", True)
    verified = []
    matches = accounts._matches
    monkeypatch.setattr(accounts, "_matches", lambda hash, password: verified.append(hash) or matches(hash, password))
    told = set()
    for name, password in (("nobody", "x"), ("bob", "x"), ("mia", people.passwords["mia"])):
        with pytest.raises(AccessError) as caught:
            accounts.check(workspace, name, password)
        told.add(str(caught.value))
    assert len(told) == 1 and len(verified) == 3
    costs = {hash.rpartition("$")[0].rpartition("$")[0] for hash in verified}
    assert len(costs) == 1  # the same work for a name that is none


def test_the_hash_is_argon2id_with_the_library_s_own_costs():
    plain = PasswordHasher()
    assert plain.hash("x").startswith("$argon2id$") and plain.memory_cost >= 46 * 1024


def test_a_hash_of_other_costs_is_renewed_at_sign_in(people, workspace, monkeypatch):
    monkeypatch.setattr(accounts, "_hasher", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    accounts.check(workspace, "bob", people.passwords["bob"])
    with store.opened(workspace) as connection:
        assert "m=16,t=2" in connection.execute("SELECT hash FROM accounts WHERE name = 'bob'").fetchone()[0]
    assert accounts.check(workspace, "bob", people.passwords["bob"]).name == "bob"


def test_guessing_gets_slow_and_the_right_password_has_to_wait_too(people, workspace):
    waits = []
    for n in range(12):
        with pytest.raises(AccessError) as caught:
            accounts.check(workspace, "bob", "wrong", now=NOW + n / 1000)
        waits.append("Too many" in caught.value.what)
    assert waits == [False] * attempts.FREE["name"] + [True] * 7
    with pytest.raises(AccessError, match="Too many"):
        accounts.check(workspace, "bob", people.passwords["bob"], now=NOW + 0.5)
    assert accounts.check(workspace, "bob", people.passwords["bob"], now=NOW + 2).name == "bob"
    with pytest.raises(AccessError, match="not right"):  # forgotten with that
        accounts.check(workspace, "bob", "wrong", now=NOW + 3)


def test_waits_grow_to_a_quarter_of_an_hour_and_no_further():
    assert [attempts.wait("name", n) for n in (4, 5, 6, 7)] == [0, 1, 2, 4]
    assert attempts.wait("name", 1000) == attempts.LONGEST == 900


def test_an_address_that_tries_many_names_has_to_wait(people, workspace):
    for n in range(attempts.FREE["address"]):
        with pytest.raises(AccessError, match="not right"):
            accounts.check(workspace, f"guess{n}", "wrong", "10.0.0.9", now=NOW)
    with pytest.raises(AccessError, match="Too many"):
        accounts.check(workspace, "bob", people.passwords["bob"], "10.0.0.9", now=NOW)
    assert accounts.check(workspace, "bob", people.passwords["bob"], "10.0.0.10", now=NOW).name == "bob"


def test_an_attempt_that_has_to_wait_is_not_looked_at(people, workspace, monkeypatch):
    for _ in range(attempts.FREE["name"]):
        with pytest.raises(AccessError):
            accounts.check(workspace, "bob", "wrong", now=NOW)
    monkeypatch.setattr(accounts, "_matches", lambda *_: pytest.fail("the password was looked at"))
    with pytest.raises(AccessError, match="Too many"):
        accounts.check(workspace, "bob", people.passwords["bob"], now=NOW)


def test_a_clock_that_jumps_back_locks_nobody_out_for_long(people, workspace):
    for _ in range(6):
        with pytest.raises(AccessError):
            accounts.check(workspace, "bob", "wrong", now=NOW)
    with pytest.raises(AccessError, match="Wait 1 seconds"):
        accounts.check(workspace, "bob", "wrong", now=NOW - 10**6)


def test_a_new_password_ends_every_session_and_the_old_one_opens_nothing(people, workspace):
    token = people.token("bob")
    accounts.set_password(workspace, "bob", "an entirely other one")
    assert sessions.find(workspace, token, 12) is None
    assert accounts.check(workspace, "bob", "an entirely other one")
    with pytest.raises(AccessError):
        accounts.check(workspace, "bob", people.passwords["bob"])


def test_the_last_admin_stays(people, workspace):
    for change in (
        lambda: accounts.set_role(workspace, "ada", "member"),
        lambda: accounts.set_disabled(workspace, "ada", True),
    ):
        with pytest.raises(ConfigError, match="only administrator"):
            change()
    assert (
        accounts.find(workspace, "ada").user == User("ada", "admin") and not accounts.find(workspace, "ada").disabled
    )
    accounts.set_role(workspace, "bob", "admin")
    accounts.set_role(workspace, "ada", "member")


def test_two_accounts_of_one_name(people, workspace):
    with pytest.raises(ConfigError, match="already"):
        accounts.add(workspace, "BOB", "admin", "another long password")
    assert accounts.find(workspace, "bob").role == "member"


@pytest.mark.parametrize(("name", "password"), [("x@y.org", "a long password"), ("xaver", None)])
def test_who_has_a_password_here_and_who_has_not(workspace, name, password):
    with pytest.raises(ConfigError):
        accounts.add(workspace, name, "member", password)


CLAIMS = {"email": "Ada@Lab.org", "email_verified": True, "sub": "1"}


def test_somebody_new_comes_in_as_the_rules_say(workspace):
    assert accounts.admit(workspace, CLAIMS, Oidc(newcomers="viewer")) == User("ada@lab.org", "viewer")
    accounts.set_role(workspace, "ada@lab.org", "member")
    assert accounts.admit(workspace, CLAIMS, Oidc(newcomers="viewer")) == User("ada@lab.org", "member")
    assert accounts.admit(workspace, CLAIMS, Oidc(admins=("ada@lab.org",))) == User("ada@lab.org", "admin")
    assert accounts.find(workspace, "ada@lab.org").role == "admin"
    with pytest.raises(AccessError):  # no password opens it
        accounts.check(workspace, "ada@lab.org", "")


@pytest.mark.parametrize(
    ("claims", "rules", "said"),
    [
        ({}, {}, "did not say who"),
        ({"email": ["ada@lab.org"], "email_verified": True}, {}, "did not say who"),
        ({"email": "<b>@lab.org", "email_verified": True}, {}, "did not say who"),
        ({"email": "ada@lab.org"}, {}, "does not vouch"),
        ({"email": "ada@lab.org", "email_verified": False}, {"trust_unverified": True}, "does not vouch"),
        ({"email": "ada@lab.org", "email_verified": "true"}, {}, "does not vouch"),
        (CLAIMS, {"domains": ("other.org",)}, "not an address of this lab"),
        (CLAIMS, {"domains": ("b.org",)}, "not an address of this lab"),
        (CLAIMS, {"newcomers": None}, "has no account"),
    ],
)
def test_who_is_not_let_in(workspace, claims, rules, said):
    with pytest.raises(AccessError, match=said):
        accounts.admit(workspace, claims, Oidc(**rules))
    assert accounts.listing(workspace) == []


def test_an_unverified_address_only_where_that_is_said(workspace):
    assert accounts.admit(workspace, {"email": "ada@lab.org"}, Oidc(trust_unverified=True)).name == "ada@lab.org"


def test_somebody_shut_out_stays_out_even_as_an_admin_of_the_rules(workspace):
    accounts.admit(workspace, CLAIMS, Oidc())
    accounts.set_disabled(workspace, "ada@lab.org", True)
    with pytest.raises(AccessError):
        accounts.admit(workspace, CLAIMS, Oidc(admins=("ada@lab.org",)))


def test_a_local_account_is_not_taken_over_from_outside(people, workspace):
    with pytest.raises(AccessError):
        accounts.admit(workspace, {"email": "ada", "email_verified": True}, Oidc())


def test_only_the_owner_of_the_machine_s_account_can_read_the_database(people, workspace):
    files = [path for path in workspace.root.iterdir() if path.name.startswith("lab.db")]
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_a_damaged_database_is_a_sentence_and_lets_nobody_in(people, workspace):
    store.path(workspace).write_bytes(b"this is no database" * 400)
    with pytest.raises(StorageError, match="damaged"):
        accounts.check(workspace, "bob", people.passwords["bob"])
    with pytest.raises(StorageError, match="damaged"):
        sessions.find(workspace, "x", 12)


def test_a_locked_database_is_a_sentence(people, workspace, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.01)
    with store.opened(workspace), pytest.raises(StorageError, match="cannot be reached"):
        accounts.set_role(workspace, "bob", "viewer")
    assert accounts.find(workspace, "bob").role == "member"


def test_a_database_of_a_newer_version_is_left_alone(people, workspace):
    with store.opened(workspace) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="newer"):
        accounts.listing(workspace)
