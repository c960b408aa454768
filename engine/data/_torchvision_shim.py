"""Making ``import torchvision`` work where its compiled operators do not fit the installed torch.

A torchvision built for another torch fails on import with "operator torchvision::nms does not exist", because its
Python code describes operators that its library would have defined. Declaring the two it asks for is enough: downloads,
data sets, transforms and models never call them. Nothing is declared where the real operators load.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@functools.cache
def prepare_torchvision() -> torch.library.Library | None:
    """Declare the missing operators, once per process; call it before the first ``import torchvision``.

    Returns:
        The library that holds the declarations, or None if none were needed. They last as long as this object, which
        the cache of this function keeps alive.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed", name="torchvision")
    for compiled in sorted(Path(spec.origin).parent.glob("_C*.so")) + sorted(Path(spec.origin).parent.glob("_C*.pyd")):
        with contextlib.suppress(OSError):  # what it raises when the library wants symbols this torch lacks
            torch.ops.load_library(str(compiled))
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in missing:
        library.define(schema)
    return library
