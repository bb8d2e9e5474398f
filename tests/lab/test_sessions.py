from catfish_core.lab import accounts, sessions, store
from catfish_core.lab.access import User

NOW = 1_800_000_000.0
HOUR = 3600.0


def test_a_token_is_long_random_and_kept_as_its_sha256_only(people, workspace):
    one, two = people.token("bob"), people.token("bob")
    assert one != two and len(one) >= 43
    kept = b"".join(path.read_bytes() for path in workspace.root.iterdir() if path.is_file())
    assert one.encode() not in kept and sessions._digest(one).encode() in kept


def test_a_session_says_who_it_is_with_the_role_of_now(people, workspace):
    token = people.token("bob")
    assert sessions.find(workspace, token, 12) == User("bob", "member")
    accounts.set_role(workspace, "bob", "viewer")
    assert sessions.find(workspace, token, 12) == User("bob", "viewer")


def test_tampered_and_made_up_tokens_are_nobody(people, workspace):
    token = people.token("bob")
    for wrong in (
        "",
        "x",
        token[:-1],
        token + "x",
        token.swapcase(),
        sessions._digest(token),
        "' OR 1=1 --",
        "\udcff",
    ):
        assert sessions.find(workspace, wrong, 12) is None


def test_it_ends_after_so_many_hours_without_a_visit(people, workspace):
    token = sessions.begin(workspace, "bob", 2, NOW)
    assert sessions.find(workspace, token, 2, NOW + 1.9 * HOUR)
    assert sessions.find(workspace, token, 2, NOW + 3.8 * HOUR)  # the visit made it last
    assert sessions.find(workspace, token, 2, NOW + 5.9 * HOUR) is None


def test_it_ends_after_a_month_at_the_latest(people, workspace):
    token = sessions.begin(workspace, "bob", 500, NOW)
    assert sessions.find(workspace, token, 500, NOW + 400 * HOUR)
    assert sessions.find(workspace, token, 500, NOW + sessions.LONGEST - 1)
    assert sessions.find(workspace, token, 500, NOW + sessions.LONGEST) is None


def test_signing_out_disabling_and_everywhere(people, workspace):
    first, second, other = people.token("bob"), people.token("bob"), people.token("mia")
    assert sessions.count(workspace, "bob") == 2
    sessions.end(workspace, first)
    assert sessions.find(workspace, first, 12) is None and sessions.find(workspace, second, 12)
    sessions.end_all(workspace, "bob")
    assert sessions.find(workspace, second, 12) is None and sessions.find(workspace, other, 12)
    accounts.set_disabled(workspace, "mia", True)
    assert sessions.find(workspace, other, 12) is None
    accounts.set_disabled(workspace, "mia", False)
    assert sessions.find(workspace, other, 12) is None  # it does not come back to life


def test_old_sessions_are_cleared_away(people, workspace):
    sessions.begin(workspace, "bob", 1, NOW)
    sessions.begin(workspace, "bob", 1, NOW + 2 * HOUR)
    with store.opened(workspace) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone()[0] == 1


def test_looking_waits_for_nobody_who_writes(people, workspace):
    token = people.token("bob")
    with store.opened(workspace) as connection:
        connection.execute("UPDATE accounts SET role = 'viewer' WHERE name = 'bob'")
        assert sessions.find(workspace, token, 12) == User("bob", "member")
