"""Pictures of results: each module has a ``CARD``, a ``frame`` (the numbers, tidy) and a ``figure`` (the drawing).

Both are pure functions of plain arrays, so a picture can be tested without a page. numpy, pandas and plotly only.
"""

import importlib
from types import ModuleType


def view(key: str) -> ModuleType:
    """Return the view of an analysis, the module of the same name."""
    return importlib.import_module(f"engine.views.{key}")
