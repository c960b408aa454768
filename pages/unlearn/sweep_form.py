"""A sweep of one method on the Unlearn page: values or ranges of its knobs in, many settings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from engine.knobs import BadSetting
from engine.sweep import MOST, described, expand
from pages.ui import draft, say

_COLUMNS = 2
_ROWS = 6
"""Settings that are shown without scrolling."""


def popover(entry: Mapping[str, Any], number: int, add: Callable[[list[dict[str, Any]]], None]) -> None:
    """Offer to replace one method's settings by a sweep; ``add`` gets the settings, in a callback."""
    with st.popover("Sweep", key=f"sweep-{number}", on_change="rerun") as menu:
        if not menu.open:
            return
        st.html(
            '<p class="fs-small">Values such as <b>0.001, 0.01</b> make a grid; a range such as <b>1e-5..1e-2</b> is '
            "drawn from at random. Knobs left empty stay as they are.</p>"
        )
        texts: dict[str, str] = {}
        cells = st.columns(_COLUMNS)
        for place, field in enumerate(entry["fields"]):
            with cells[place % _COLUMNS]:
                label = str(field["label"])[:1].upper() + str(field["label"])[1:]
                text = st.text_input(
                    label, key=f"sweep-{number}-{field['name']}", placeholder=_example(field), max_chars=400
                )
                if text.strip():
                    texts[field["name"]] = text
        draws = 20
        if any(".." in text for text in texts.values()):
            draws = int(
                st.number_input("Random settings", min_value=1, max_value=MOST, value=20, step=1, key=f"draws-{number}")
            )
        if not texts:
            return
        try:
            fields = [described(field) for field in entry["fields"]]
            settings = expand(entry["key"], fields, texts, draws=draws, seed=int(draft.current()["seed"]))
        except BadSetting as error:
            st.html(f'<p class="fs-small"><span class="fs-dot bad"></span>{say.escaped(say.sentence(str(error)))}</p>')
            return
        st.button(
            f"Use {'this setting' if len(settings) == 1 else f'these {len(settings):,} settings'}",
            key=f"sweep-go-{number}",
            type="primary",
            on_click=add,
            args=(settings,),
        )


def many(entry: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> None:
    """Show a sweep as one card: the method, how many settings, and a table of what differs."""
    card = entry["card"]
    table = pd.DataFrame(settings)
    differs = [f for f in entry["fields"] if f["name"] in table and table[f["name"]].nunique() > 1]
    st.html(
        f'<div class="fs-card"><p class="fs-step">{say.escaped(card["name"])}</p>'
        f'<p class="fs-small strong">{len(settings)} settings as one job: the KLOM page names the best.</p></div>'
    )
    st.dataframe(
        table[[f["name"] for f in differs]].rename(columns={f["name"]: f["label"] for f in differs}),
        hide_index=True,
        height=260 if len(table) > _ROWS else "content",
    )


def _example(field: Mapping[str, Any]) -> str:
    if field["kind"] == "bool":
        return "true, false"
    if field["kind"] == "str":
        return ", ".join(field["choices"][:3])
    return f"{field['default']:g}"
