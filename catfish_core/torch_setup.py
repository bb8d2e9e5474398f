"""torchvision and timm, importable beside any build of torch: take them from here.

The torchvision wheel of the package index is the CUDA build on Linux. Beside a CPU build of torch its compiled
part does not load, and `import torchvision` dies because its Python part describes two compiled operators that
nobody has declared. CatFish uses neither (both are for detection boxes), so where the compiled part is missing
their schemas are declared first; calling them would still fail with a clear message.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

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

import timm  # noqa: E402 - it imports torchvision
import torchvision  # noqa: E402 - only now can it be imported
from torchvision.transforms import v2  # noqa: E402

__all__ = ["timm", "torchvision", "v2"]
