"""The parts of the Attention page: maps of each picture, how alike they are, and whether they mean something."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import numpy as np
import pandas as pd
import streamlit as st

from engine import heat
from engine.measurement import Measurement
from engine.views import attention, deletion
from engine.views.base import SPLIT_TITLES
from pages.ui import analysis, frame, inspector, knobs, nouns, say, show, workspace
from pages.ui.subject import Subject

_COLUMNS = ("picture", "before", "now", "never saw it", "change", "spread")


def draw(here: Subject) -> None:
    """Measure the maps of the method in focus, or say what that takes, and draw them."""
    entry = next(entry for entry in workspace.words()["analyses"] if entry["key"] == "attention")
    if nouns.tabular(str(here.run.recipe["dataset"].get("key"))):
        st.html('<p class="fs-lead">Rows of a table have no places to look at: see Predictions and Layers.</p>')
        return
    with st.popover("Kind of map", key="attention-form"):
        settings = knobs.form(entry["fields"], "attention", advanced=True)
    done = analysis.obtain(here.run, here.result.method, "attention", settings=settings, models=here.result.models)
    if done is None:
        return
    measurement, answer = done
    networks = analysis.subject(here.run, here.result.method, answer)
    about = f"{here.run.label}; {here.run.id}; {networks}"
    st.html(f'<p class="fs-lead">{say.escaped(_sentence(measurement))}</p>')
    st.html(f'<p class="fs-small">{say.escaped(f"{networks}. {_what(measurement)}")}</p>')
    point = inspector.point(int(here.result.payload["train"]), default=None)
    _rows(here, measurement, smooth=frame.smooth(), point=point)
    left, right = st.columns(2, gap="large")
    with left:
        _figure(attention, attention.frame(measurement), about)
    with right:
        _figure(deletion, deletion.frame(measurement), about)


def _what(measurement: Measurement) -> str:
    """Say which map of which layer this is, at which size, and when that is coarse."""
    facts, (height, width) = measurement.facts, measurement.arrays["maps"].shape[-2:]
    where = f" of the layer {facts['layer']}" if facts["layer"] else ""
    coarse = " So few places are coarse." if min(height, width) <= 4 else ""
    return f"Maps by {facts['kind']}{where}, {height}x{width} places, for the {facts['target']}.{coarse}"


def _sentence(measurement: Measurement) -> str:
    """Say how alike the maps of forgotten and of kept pictures are to the oracles', beside the floor."""
    table = attention.frame(measurement)
    parts = []
    for split, some in table.groupby(table["split"] == "forget", sort=False):
        mean = some.groupby("role")["correlation"].mean()
        name = "Forgotten pictures" if split else "Kept pictures"
        parts.append(
            f"{name}: maps agree with the oracles' by {mean['unlearned']:.2f} (before {mean['original']:.2f}, two sets "
            f"of oracles {mean['second oracle']:.2f})."
        )
        if measurement.facts["masked"]:
            mass = some.groupby("role")["mass"].mean()
            parts.append(
                f"On the thing lie {mass['unlearned']:.0%} of the map (before {mass['original']:.0%}, oracles "
                f"{mass['oracle']:.0%})."
            )
    return " ".join(parts)


def _rows(here: Subject, measurement: Measurement, *, smooth: bool, point: int | None) -> None:
    """Show a row of maps for each picture: before, now, never saw it, the change, and the spread over networks."""
    images = workspace.pictures(here.result.data_hash)
    if images is None:
        st.html('<p class="fs-small">The pictures themselves are not in this store any more.</p>')
        return
    colours, facts = frame.colours(), measurement.facts
    mean, sd = attention.means(measurement), measurement.arrays["maps"].std(axis=0)
    place = {role: facts["roles"].index(role) for role in ("original", "unlearned", "oracle")}
    looks = {"original": "before", "unlearned": "now", "oracle": "networks that never saw it"}
    rows = []
    for n, number in enumerate(facts["points"]):
        raw = images.pixels(int(number)).astype(np.float32) * 255 / images.data.top  # (C, H, W)
        picture = raw.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        label = say.escaped(facts["labels"][n])
        now, never = mean[place["unlearned"], n], mean[place["oracle"], n]
        cells = [
            (heat.plain(picture, smooth=smooth), f"picture {number}, {label}"),
            *(
                (heat.over(picture, mean[place[role], n], colours.hue(role), smooth=smooth), f"where they look {name}")
                for role, name in looks.items()
            ),
            (heat.difference(now, never, colours, smooth=smooth), "blue: looked at more than by oracles; orange: less"),
            (heat.over(picture, sd[place["unlearned"], n], colours.quiet, smooth=smooth), "how much networks differ"),
        ]
        tiles = "".join(f'<td><img src="{src}" width="96" height="96" alt="{alt}"></td>' for src, alt in cells)
        mark = ' class="on"' if number == point else ""
        where = say.escaped(SPLIT_TITLES[facts["splits"][n]].lower())
        rows.append(
            f'<tr{mark}><th scope="row">{number}<br>{label}<br><span class="fs-quiet">{where}</span></th>{tiles}</tr>'
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", *_COLUMNS))
    st.html(
        f'<div class="fs-maps"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        '<p class="fs-small">The stronger the colour, the more the answer rests on that place. Good is "now" like '
        '"never saw it"; in "change", blue is looked at more than by the oracles, orange less.</p>'
    )


def _figure(view: ModuleType, table: pd.DataFrame, about: str) -> None:
    """Draw a view with its heading, and behind it how to read it, the table and downloads."""
    show.heading(view.CARD)
    key = view.__name__.rpartition(".")[2]
    made = partial(view.figure, table)
    show.chart(made, f"attention-{key}", alt=f"{view.CARD.title} {view.CARD.question}")
    show.behind(view.CARD, f"attention-{key}", table, made, subject=about, meanings=view.COLUMNS)
