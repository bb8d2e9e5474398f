"""Imports point one way, and what must stay light is light: proved, not hoped."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("catfish_core", "catfish_ui", "pages", "app")  # each may import itself and those before it
FORBIDDEN_IN_ENGINE = {"streamlit", "plotly", "catfish_ui", "pages"}
LIGHT = [
    "catfish_core.augment",
    "catfish_core.catalog",
    "catfish_core.cli",
    "catfish_core.config",
    "catfish_core.data.archive",
    "catfish_core.data.download",
    "catfish_core.data.library",
    "catfish_core.data.photos",
    "catfish_core.data.pixels",
    "catfish_core.data.sketchbook",
    "catfish_core.data.splits",
    "catfish_core.errors",
    "catfish_core.estimate",
    "catfish_core.events",
    "catfish_core.jobs.directory",
    "catfish_core.jobs.census",
    "catfish_core.jobs.devices",
    "catfish_core.jobs.dispatcher",
    "catfish_core.jobs.launcher",
    "catfish_core.jobs.queue",
    "catfish_core.jobs.shim",
    "catfish_core.jobs.store",
    "catfish_core.jobs.turns",
    "catfish_core.jobs.wish",
    "catfish_core.jobs.worker",
    "catfish_core.lab.checks",
    "catfish_core.lab.desk",
    "catfish_core.lab.machine",
    "catfish_core.lab.messages",
    "catfish_core.lab.services",
    "catfish_core.lab.signing",
    "catfish_core.lab.settings",
    "catfish_core.lab.usage",
    "catfish_core.runs",
    "catfish_core.serving.client",
    "catfish_core.sweeps",
    "catfish_core.training.lr_finder",
    "catfish_core.training.schedule",
    "catfish_core.workspace",
]


def imports(path: Path) -> set[str]:
    """The top-level names a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def sources(layer: str) -> list[Path]:
    folder = ROOT / layer
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{layer}.py"]


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_one_above_it(layer):
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    for path in sources(layer):
        assert not imports(path) & above, f"{path.relative_to(ROOT)} imports a layer above its own"


def test_the_engine_knows_no_browser():
    for path in sources("catfish_core"):
        assert not imports(path) & FORBIDDEN_IN_ENGINE, path.relative_to(ROOT)


def test_light_modules_import_neither_torch_nor_the_browser():
    program = (
        f"import importlib, sys\nfor name in {LIGHT!r}:\n    importlib.import_module(name)\n"
        "heavy = sorted({'torch', 'torchvision', 'timm', 'cv2', 'streamlit', 'plotly'} & set(sys.modules))\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_pages_import_no_torch():
    """The pages' modules, and all they import at module level, in a fresh interpreter (Streamlit brings plotly)."""
    program = (
        "import importlib, pkgutil, sys, catfish_ui\n"
        "for found in pkgutil.walk_packages(catfish_ui.__path__, 'catfish_ui.'):\n"
        "    if found.name != 'catfish_ui.main':\n"
        "        importlib.import_module(found.name)\n"
        "heavy = sorted({'torch', 'torchvision', 'timm', 'cv2'} & set(sys.modules))\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_load_never_unpickles():
    for layer in LAYERS:
        for path in sources(layer):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    assert "weights_only=True" in ast.unparse(node), f"{path}:{node.lineno}"
