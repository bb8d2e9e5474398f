import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_everything_a_page_imports_leaves_torch_and_pandas_alone():
    """In a fresh interpreter: all of catfish_ui, and what the pages name at their tops."""
    program = """
import ast, importlib, pkgutil, sys
from pathlib import Path
import catfish_ui
for module in pkgutil.iter_modules(catfish_ui.__path__, "catfish_ui."):
    if module.name != "catfish_ui.main":
        importlib.import_module(module.name)
for page in Path("pages").glob("*.py"):
    for node in ast.parse(page.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            importlib.import_module(node.module)
print(sorted({"torch", "torchvision", "cv2", "timm", "pandas", "tensorboard"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
