"""Figures of results, with their tables. Each module with a ``CARD`` is a view and holds four things.

``CARD`` says what it shows and how to read it, ``COLUMNS`` what each column of its table means, ``frame`` returns the
numbers as a tidy table with those columns, and ``figure(frame, colours)`` draws it. Both are pure functions of plain
arrays and tables, so a view can be tested without a page. Where metrics bring columns, the function ``documented``
returns all of them: which metrics there are is known only when it is called. A view that a page shows as a table or as
pictures of its own has no ``figure``. numpy, pandas and plotly only.

A new view is one new file: :func:`views` finds it, and tests/views/test_view_contract.py tests it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from engine.measurement import Measurement
from engine.views.base import Column, ViewCard


@dataclass(frozen=True, eq=False)
class View:
    """A view: its key (the module's name), card, columns, and functions.

    ``example`` returns a table to draw where rows made of the columns' examples would make no sense together.
    ``frame`` of an analysis's view takes its measurement; ``beside`` returns what the figure shows besides the table.
    ``value`` is the column that answers the analysis's question (``VALUE`` of the module) where it has another name
    than the analysis; the command line's JSON holds it under both. ``chooses`` (``CHOOSES``): the custom data of the
    figure's marks are numbers of points, and its option ``chosen`` rings some of them.
    """

    key: str
    card: ViewCard
    columns: Mapping[str, Column]
    frame: Callable[..., pd.DataFrame]
    figure: Callable[..., go.Figure] | None
    example: Callable[[], pd.DataFrame] | None
    beside: Callable[[Measurement], Mapping[str, Any]] | None = None
    value: str = ""
    chooses: bool = False

    def draw(self, measurement: Measurement) -> tuple[pd.DataFrame, functools.partial[go.Figure]]:
        """Return the table of an analysis's measurement, and its figure, which lacks only colours."""
        table = self.frame(measurement)
        return table, functools.partial(self.figure, table, **(self.beside(measurement) if self.beside else {}))


@functools.cache
def views(package: str = __name__) -> Mapping[str, View]:
    """Return every view of ``package`` by its key. Modules without a card, or whose name starts with _, are none.

    Raises:
        TypeError: a module has a card but no columns or no frame.
    """
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    names = sorted(module.name for module in modules if not module.name.startswith("_") and module.name != "base")
    loaded = {name: importlib.import_module(f"{package}.{name}") for name in names}
    return MappingProxyType({name: _view(name, module) for name, module in loaded.items() if hasattr(module, "CARD")})


def _view(key: str, module: ModuleType) -> View:
    for needed in ("COLUMNS", "frame"):
        if not hasattr(module, needed):
            raise TypeError(f"{module.__name__} has a CARD but no {needed}")
    figure, example = getattr(module, "figure", None), getattr(module, "example", None)
    columns = module.documented() if hasattr(module, "documented") else module.COLUMNS
    beside, value = getattr(module, "beside", None), getattr(module, "VALUE", "")
    chooses = getattr(module, "CHOOSES", False)
    return View(key, module.CARD, columns, module.frame, figure, example, beside, value, chooses)
