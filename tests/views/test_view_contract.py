"""Every view keeps the same contract: its card, the columns of its table, and a figure of whatever the table holds.

The views are those of the registry. Tables are made from the examples that the columns carry (or from the view's own
``example``), and by each view's ``frame`` in tests/views/toy_frames.py.
"""

import collections
import functools
import inspect
import itertools
import json
import re
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from toy_frames import FRAMES, OPTIONS

from engine.theme import DARK, LIGHT, SMALL
from engine.views import View, views
from engine.views.base import Column, ViewCard, tidy, typed

VIEWS = list(views().values())
DRAWN = [view for view in VIEWS if view.figure is not None]
GOOD = r"\b(good|better|best|closer|nearer|near|inside|enough|perfectly|should|into the band|the two lie together)\b"
MARKUP = '<a href="x">& more</a>'


def name(view, options):
    return " ".join([view.key, *map(str, options.values())])


each = pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
each_drawing = pytest.mark.parametrize(
    ("view", "options"),
    [
        pytest.param(view, options, id=name(view, options))
        for view in DRAWN
        for options in ({}, *OPTIONS.get(view.key, ()))
    ],
)
in_both = pytest.mark.parametrize(
    ("view", "options", "colours"),
    [
        pytest.param(view, options, colours, id=f"{name(view, options)} {'dark' if colours.dark else 'light'}")
        for view in DRAWN
        for options in ({}, *OPTIONS.get(view.key, ()))
        for colours in ((LIGHT,) if options else (LIGHT, DARK))
    ],
)


def one_row(view):
    return several(view).head(1) if view.example else tidy(view.columns, [examples(view)])


def examples(view):
    return {name: column.example for name, column in view.columns.items()}


def several(view):
    """Return rows of three methods, cases and so on, whose names that are among few are mixed; numbers all differ."""
    if view.example:
        return view.example()
    mixed = np.random.default_rng(0)
    rows = []
    for i in range(24):
        row = {}
        for name, column in view.columns.items():
            value = column.example
            if column.among:
                value = str(mixed.choice(column.among))
            elif isinstance(value, bool):
                value = bool(i % 2)
            elif isinstance(value, float):
                value *= 1 + 0.0618034 * i + 0.00317 * len(row)  # columns share no numbers, nor do their sums
            elif isinstance(value, int):
                value += i % 3
            elif i % 3:
                value = f"{value}-{i % 3}"
            row[name] = value
        rows.append(row)
    return tidy(view.columns, rows)


def floats(view):
    return [name for name, column in view.columns.items() if isinstance(column.example, float)]


def gaps(view):
    """Return several rows that lack one number each, in turns."""
    table = several(view)
    for i, name in zip(range(len(table)), itertools.cycle(floats(view)), strict=False):
        table.loc[i, name] = np.nan
    return table


@functools.cache
def tables(view):
    """Return the tables that a figure must stand, by what they are."""
    made = {"empty": tidy(view.columns, []), "one row": one_row(view), "several": several(view)}
    if floats(view):
        made |= {"gaps": gaps(view), "no numbers": several(view).assign(**dict.fromkeys(floats(view), np.nan))}
    if view.key in FRAMES:
        made["toys"] = FRAMES[view.key]()
    return made


def drawn(figure):
    """Return a figure as the browser gets it, checked by plotly."""
    return json.loads(figure.to_json(validate=True))


def words(figure):
    """Return all that a figure writes, as one text."""
    page = drawn(figure)
    layout = page["layout"]
    axes = [part for name, part in layout.items() if name[1:5] == "axis"]
    named = [trace.get(part) for trace in page["data"] for part in ("name", "text", "hovertext", "hovertemplate")]
    bars = [trace.get("marker", {}).get("colorbar") for trace in page["data"]]
    rest = [
        layout.get("title"),
        layout.get("annotations"),
        *([axis.get("title"), axis.get("ticktext")] for axis in axes),
    ]
    return json.dumps([named, bars, rest])


def axes(figure):
    """Return the visible axes of a figure by letter."""
    found = {"x": [], "y": []}
    for axis in itertools.chain(figure.select_xaxes(), figure.select_yaxes()):
        if axis.visible is not False:
            found[axis.plotly_name[0]].append(axis)
    return found


@each
def test_a_card_says_what_it_shows_and_what_good_looks_like(view):
    """Mutations: a question that is none, a half sentence, a card that only describes."""
    assert isinstance(view.card, ViewCard)
    assert view.card.title[0].isupper()
    assert view.card.question.endswith("?")
    assert view.card.how.endswith(".")
    if view.figure is not None:
        assert re.search(GOOD, view.card.how, re.IGNORECASE), "how to read it says what good looks like"


@each
def test_every_column_has_a_meaning_and_an_example(view):
    """Mutations: a column without meaning or unit, an example of another type, one that is not among its values."""
    assert view.columns
    for name, column in view.columns.items():
        assert isinstance(column, Column)
        assert not column.meaning[0].islower(), name
        assert not column.meaning.endswith("."), f"{name}: help() ends the sentence"
        assert type(column.example) in (str, bool, int, float), name
        assert not column.among or column.example in column.among, name
        assert column.unit != "share", f"{name}: a share has no unit"
        assert column.help.endswith("."), name


@each
def test_a_frame_has_exactly_the_columns_it_documents(view):
    """Mutations: a column renamed, forgotten, added, moved, or of another type in ``frame`` but not in ``COLUMNS``."""
    if "measurement" in inspect.signature(view.frame).parameters:
        pytest.skip("its table is made from the measurement of its analysis, whose contract looks at it")
    if view.key not in FRAMES and view.example is None:
        pytest.fail(f"give tests/views/toy_frames.py a table of {view.key}, or its module an example()")
    table = FRAMES[view.key]() if view.key in FRAMES else view.example()
    fixed = list(view.columns)
    assert list(table.columns)[: len(fixed)] == fixed
    assert set(table.columns) == {*fixed, *FRAMES_FURTHER.get(view.key, ())}
    assert len(table) > 1
    for name, column in view.columns.items():
        kind = {str: "O", bool: "b", int: "i", float: "f"}[type(column.example)]
        assert table[name].dtype.kind == kind, name
        if column.among:
            assert set(table[name]) <= set(column.among), name
    pd.testing.assert_frame_equal(table, typed(view.columns, table))


FRAMES_FURTHER = {"datamap": {"margin"}}
"""Columns beyond the documented ones, for views whose tables may have some."""


@in_both
def test_a_figure_is_drawn_of_whatever_the_table_holds(view, options, colours):
    """Mutations: a maximum of nothing, a first row of an empty table, a text of missing numbers."""
    for what, table in tables(view).items():
        before = table.copy()
        figure = view.figure(table, colours, **options)
        pd.testing.assert_frame_equal(table, before)  # a figure does not write into its table
        assert figure.layout.height >= 100, what
        assert figure.layout.template.layout.font.color == colours.ink, f"{what}: in the theme's colours"
        assert not re.search(r"\bnan\b", words(figure)), f"{what}: a missing number is not written"


@each_drawing
def test_axes_say_what_they_show_and_its_unit(view, options):
    """Mutations: an axis without a title, a title without the unit of the column it shows, or with another unit."""
    for what in ("empty", "several"):
        table = tables(view)[what]
        figure = view.figure(table, LIGHT, **options)
        for letter, found in axes(figure).items():
            titles = [axis.title.text for axis in found if axis.title.text]
            assert titles or all(map(has_names, found)), f"{what}: the {letter} axis has no title"
            for column in shown(view, table, figure, letter):
                unit = view.columns[column].unit
                assert any(unit in title for title in titles), f"{what}: {letter} shows {column} in {unit}: {titles}"


def has_names(axis):
    """Return whether names stand along an axis, which need no title, and no numbers."""
    numbers = [text for text in axis.ticktext or () if re.fullmatch(r"[\d.]+ ?%?", text)]
    return axis.categoryorder == "array" or (axis.ticktext is not None and not numbers)


def shown(view, table, figure, letter):
    """Return the columns with a unit whose numbers stand on an axis, as far as they can be told from others."""
    owners = {}
    for name in view.columns:
        if table[name].dtype.kind in "fi":
            for value in table[name].round(4):
                owners.setdefault(value, set()).add(name)
    traces = [getattr(trace, letter, None) for trace in figure.data]
    values = pd.Series([value for trace in traces if trace is not None for value in trace], dtype=object)
    numbers = set(pd.to_numeric(values, errors="coerce").round(4))
    counts = collections.Counter(name for value in numbers & set(owners) for name in owners[value]
                                 if len(owners[value]) == 1)  # fmt: skip
    return [name for name in floats(view) if counts[name] > 1 and view.columns[name].unit]


@each_drawing
def test_names_are_never_markup(view, options):
    """Mutations: a name written into a label, a legend or a hover text as it came."""
    table = several(view)
    for name, column in view.columns.items():
        if isinstance(column.example, str) and not column.among:
            table[name] = [MARKUP + value for value in table[name]]
    assert "<a " not in words(view.figure(table, LIGHT, **options))


def module(**parts):
    made = ModuleType("toy")
    vars(made).update(parts)
    return made


def test_a_view_that_lacks_a_part_is_named():
    from engine import views as package

    with pytest.raises(TypeError, match="toy has a CARD but no COLUMNS"):
        package._view("toy", module(CARD=VIEWS[0].card))
    with pytest.raises(TypeError, match="toy has a CARD but no frame"):
        package._view("toy", module(CARD=VIEWS[0].card, COLUMNS={}))
    found = package._view("toy", module(CARD=VIEWS[0].card, COLUMNS={}, frame=len))
    assert isinstance(found, View)
    assert found.figure is None


def test_modules_without_a_card_are_no_views():
    assert "base" not in views()
    assert {"headline", "distribution", "curves"} <= set(views())


COLUMNS = {
    "name": Column("A name", "", "a"),
    "count": Column("A number of networks", "networks", 1),
    "value": Column("A number", "nats", 0.5),
}


def test_a_tidy_table_has_its_columns_in_order_and_missing_numbers_are_nan():
    table = tidy(COLUMNS, [{"value": None, "count": 2, "name": "b"}, {"count": 3, "name": "c"}])
    assert list(table.columns) == list(COLUMNS)
    assert table["value"].isna().all()
    assert table["count"].tolist() == [2, 3]
    assert [tidy(COLUMNS, [])[name].dtype.kind for name in COLUMNS] == ["O", "i", "f"]


def test_a_row_with_a_value_that_no_column_holds_or_without_a_name_is_refused():
    with pytest.raises(ValueError, match="no column holds other"):
        tidy(COLUMNS, [{"name": "a", "count": 1, "other": 2}])
    with pytest.raises(ValueError, match="lacks its count"):
        tidy(COLUMNS, [{"name": "a"}])


def test_a_columns_help_names_its_unit():
    assert COLUMNS["value"].help == "A number (nats)."
    assert COLUMNS["name"].help == "A name."


def sizes(part):
    """Return the sizes of all fonts in a part of a figure."""
    if isinstance(part, list):
        return [size for one in part for size in sizes(one)]
    if not isinstance(part, dict):
        return []
    own = [
        size
        for name, value in part.items()
        if name.endswith("font") and isinstance(value, dict)
        for size in np.atleast_1d(value.get("size", SMALL)).tolist()
    ]
    return own + [size for value in part.values() for size in sizes(value)]


@each_drawing
def test_no_text_in_a_figure_is_too_small_for_the_back_row(view, options):
    """Mutations: a font of 11 or 12 pixels in a figure or in the template."""
    for table in tables(view).values():
        assert min(sizes(drawn(view.figure(table, LIGHT, **options)))) >= SMALL
