"""torchvision and timm, importable beside any build of torch: take them from here.

The torchvision wheel of the package index is the CUDA build on Linux. Beside a CPU build of torch its compiled
part does not load, and `import torchvision` dies because its Python part describes two compiled operators that
nobody has declared. CatFish uses neither (both are for detection boxes), so where the compiled part is missing
their schemas are declared first; calling them would still fail with a clear message.

Both also import torch's compiler, a second that whoever starts a training would wait for: to ask whether the pooling
of detection boxes could be compiled, and to say that some functions never are. Nothing of that is used here, so while
they are imported it looks as if there were none; whoever asks for a compiled network gets one all the same.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import torch

T = TypeVar("T")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _compiled_part_loads() -> bool:
    """Whether torchvision's shared library fits this torch; loaded, it registers its operators itself."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # not installed: let the import say so
    libraries = [path for path in Path(spec.origin).parent.glob("_C*") if path.suffix in (".so", ".pyd", ".dylib")]
    try:
        for library in libraries:
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return bool(libraries)


if not _compiled_part_loads():
    _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # kept: its declarations live as long as it does
    for _name in ("nms", "qnms"):
        _library.define(_name + _SCHEMA)  # type: ignore[no-untyped-call]

_pooling = ModuleType("torchvision.ops.roi_align")
_pooling.__dict__.update(roi_align=None, RoIAlign=None)
sys.modules.setdefault(_pooling.__name__, _pooling)

if TYPE_CHECKING:
    import timm
    import torchvision
    from torchvision.transforms import v2

__all__ = ["timm", "torchvision", "v2"]
_MODULES = {"timm": "timm", "torchvision": "torchvision", "v2": "torchvision.transforms.v2"}


def _never_compiled(function: T) -> T:
    return function


def __getattr__(name: str) -> ModuleType:
    """Each of them when it is first asked for: a run of ResNet-18 need not wait for timm."""
    if name not in _MODULES:
        raise AttributeError(name)
    disable = torch.compiler.disable
    torch.compiler.disable = _never_compiled  # type: ignore[assignment]
    try:
        module = importlib.import_module(_MODULES[name])
    finally:
        torch.compiler.disable = disable
    globals()[name] = module
    return module
