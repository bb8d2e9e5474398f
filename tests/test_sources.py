"""What must not stand in the sources, because data could become code or markup, or a secret could be read."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "app.py", *(f for folder in ("catfish_core", "catfish_ui", "pages", "benchmarks")
                            for f in sorted((ROOT / folder).rglob("*.py")))]  # fmt: skip
NEVER = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads",
         "pickle.Unpickler", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
         "joblib.load", "torch.hub.load", "tempfile.mktemp", "subprocess.getoutput"}  # fmt: skip


def calls(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func), {k.arg: k.value for k in node.keywords if k.arg}


def faults(path: Path) -> list[str]:
    """What is dangerous in a file, by line."""
    found = []
    for node, name, given in calls(path):

        def value(key: str, given=given) -> str | None:
            return ast.unparse(given[key]) if key in given else None

        where = f"line {node.lineno}: {name}"
        if name in NEVER:
            found.append(where)
        if name.endswith("torch.load") and value("weights_only") != "True":
            found.append(f"{where} without weights_only=True")
        if name.endswith(("np.load", "numpy.load")) and value("allow_pickle") not in (None, "False"):
            found.append(f"{where} with pickles")
        if value("shell") not in (None, "False"):
            found.append(f"{where} through a shell")
        if value("unsafe_allow_html") not in (None, "False") and _made_up(node.args):
            found.append(f"{where} puts data into HTML")
        if value("verify") == "False" or name.endswith("_create_unverified_context"):
            found.append(f"{where} trusts any certificate")
    return found


def _made_up(arguments: list[ast.expr]) -> bool:
    """Whether the text is anything but a constant."""
    return not arguments or not isinstance(arguments[0], ast.Constant)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_dangerous_stands_in(path):
    assert faults(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "pickle.loads(b)",
        "eval(x)",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(c, shell=True)",
        "yaml.load(f)",
        "st.markdown(f'<b>{x}</b>', unsafe_allow_html=True)",
        "requests.get(u, verify=False)",
    ],
)
def test_it_would_be_found(tmp_path, line):
    (tmp_path / "x.py").write_text(line)
    assert faults(tmp_path / "x.py")


def test_html_on_a_page_holds_no_names():
    """st.html takes constants, the style sheet, and the addresses of the sign-in and account page (quoted)."""
    found = {}
    for path in FILES:
        for node, name, _ in calls(path):
            if name == "st.html" and _made_up(node.args):
                holes = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.FormattedValue)]
                found.setdefault(path.name, set()).update(ast.unparse(hole.value) for hole in holes)
    assert found == {"style.py": {"_CSS"}, "identity.py": {"ACCOUNT", "SIGN_IN", "back"}}


def test_pages_change_things_through_the_desk_alone():
    """Whoever deletes, starts or stops from a page past the desk has asked nobody."""
    doors = {
        "launcher.launch",
        "launcher.submit",
        "launcher.submit_sweep",
        "runs.delete",
        "sweeps.delete",
        "runs.create",
        "sweeps.create",
        "library.delete",
        "library.start_prepare",
        "library.start_add",
        "library.prepare",
        "library.add",
        "estimate.ask",
        "directory.delete",
        "run.stop",
        "run.pause",
        "sweep.stop",
        "job.stop",
        "run.wish",
        "job.wish",
        "run.set_note",
        "queue.submit",
        "queue.submit_sweep",
        "queue.again",
        "queue.pause",
        "queue.stop",
        "queue.prioritise",
        "runs.extend",
        "accounts.add",
        "accounts.set_role",
        "accounts.set_password",
        "accounts.set_disabled",
    }
    for path in FILES:
        if path.parts[len(ROOT.parts)] in ("pages", "catfish_ui"):
            named = {ast.unparse(n) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
            assert not named & doors, path.relative_to(ROOT)


def test_parts_of_pages_that_tick_by_themselves_ask_who_it_is():
    """A fragment runs without the router: its first statement is the guard, which asks."""
    for path in FILES:
        tree = ast.parse(path.read_text())
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node, name, _ in calls(path):
            if name != "st.fragment" or not node.args:
                continue
            body = functions[ast.unparse(node.args[0])].body
            body = body[1:] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body
            assert isinstance(body[0], ast.With), f"{path.name}: {ast.unparse(node.args[0])}"
            assert "guard.page_guard()" in ast.unparse(body[0].items[0]), path.name


def test_the_server_is_started_with_safe_settings():
    import sys

    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    server = config["server"]
    assert server["address"] == "127.0.0.1" and server["allowedHosts"] == ["localhost", "127.0.0.1"]
    assert server.get("enableXsrfProtection", True) and server.get("enableCORS", True)
    assert not server.get("enableStaticServing", False) and not server.get("enableAgentApi", False)
    assert not server.get("trustedUserHeaders")
    assert config["client"]["showErrorDetails"] == "none"


def test_secrets_are_never_committed():
    assert ".streamlit/secrets.toml" in (ROOT / ".gitignore").read_text().splitlines()
