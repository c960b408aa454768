"""The Methods page: cards drawn from the registries. A new plug-in appears without a line of code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from engine.catalog import references
from engine.metrics import headline
from engine.views import methods as view
from pages.methods import formula, measured
from pages.ui import draft, runs, say, show, workspace
from pages.ui.controls import switch

GROUPS: Mapping[str, str] = {
    "methods": "Methods",
    "metrics": "Metrics",
    "models": "Models",
    "datasets": "Data sets",
    "forget": "Forget sets",
}
"""The registries, and what they are called."""
_MOST = 12
"""Runs in the figure of one method; the table behind it has all."""
_FACTS = (
    ("Reads", "reads"),
    ("Cost", "cost"),
    ("Made for", "claims"),
    ("Best", "better"),
    ("Where it fails", "fails"),
    ("Where we depart", "departs"),
)
_BETTER = {"lower": "lower", "higher": "higher", "oracle": "as the oracle's own"}


def page() -> None:
    """Show one card when the URL names one (``?method=scrub``, or ``?group=models&card=mlp``), else all of them."""
    group, entry = _linked()
    if entry is not None:
        _whole(group, entry)
        return
    st.title("Methods", anchor=False)
    st.html(
        '<p class="fs-small">What every part does, what it may look at, what it costs and when it fails. '
        "A card opens with all its knobs and what it scored here.</p>"
    )
    group = switch("Group", list(GROUPS), key="group", default="methods", name=lambda key: GROUPS[key])
    _cards(group, workspace.words()[group])


def _linked() -> tuple[str, Mapping[str, Any] | None]:
    """Return the group and the entry the URL names; one that is not there is none."""
    method = st.query_params.get("method", "")
    named = st.query_params.get("group", "")  # as the switch writes it, by its title
    group = next((key for key, title in GROUPS.items() if named.casefold() in (key, title.casefold())), "methods")
    group, key = ("methods", method) if method else (group, st.query_params.get("card", ""))
    if not key:
        return group, None
    linked = next((entry for entry in workspace.words()[group] if entry["key"] == key), None)
    if linked is None:
        st.html(f'<p class="fs-small strong">This link names {say.escaped(key)}, which is not among them.</p>')
    return group, linked


def _query(group: str, key: str) -> dict[str, str]:
    return {"method": key} if group == "methods" else {"group": GROUPS[group], "card": key}


def _cards(group: str, entries: Sequence[Mapping[str, Any]]) -> None:
    families = sorted({entry["card"]["family"] for entry in entries if entry["card"]["family"]})
    reads = sorted({what for entry in entries for what in _reads(entry)})
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        search = st.text_input(
            "Search", key="search", bind="query-params", placeholder="name, paper, formula", max_chars=80, width=220
        )
        kinds = _several("Family", families, "family")
        looks = _several("Reads", reads, "reads")
    shown = [entry for entry in entries if _fits(entry, str(search or ""), kinds, looks)]
    if not shown:
        st.html('<p class="fs-lead">Nothing fits. Take a filter away, or search for less.</p>')
        return
    best = view.best(measured.table()) if group == "methods" else {}
    for start in range(0, len(shown), 2):
        for place, entry in zip(st.columns(2, gap="large"), shown[start : start + 2], strict=False):
            with place:
                _card(group, entry, best.get(entry["key"]))


def _several(label: str, options: Sequence[str], key: str) -> list[str]:
    if len(options) < 2:
        return []
    return list(st.multiselect(label, options, key=key, bind="query-params", placeholder="any", width=220))


def _reads(entry: Mapping[str, Any]) -> list[str]:
    return list(entry["card"]["reads"]) or ["nothing"]


def _fits(entry: Mapping[str, Any], search: str, kinds: Sequence[str], looks: Sequence[str]) -> bool:
    card = entry["card"]
    text = " ".join(str(card[name]) for name in ("name", "summary", "family", "formula", "paper", "fails", "departs"))
    words = f"{entry['key']} {text}".casefold()
    return (
        all(word in words for word in search.casefold().split())
        and (not kinds or card["family"] in kinds)
        and (not looks or any(what in _reads(entry) for what in looks))
    )


def _card(group: str, entry: Mapping[str, Any], best: pd.Series | None) -> None:
    card = entry["card"]
    with st.container(key=f"card-{group}-{entry['key']}", gap="xsmall"):
        st.html(
            f'<div class="fs-card"><p class="fs-step">{say.escaped(card["name"])}'
            f'<span class="fs-quiet"> {say.escaped(card["family"])}</span></p>'
            f"<p>{say.escaped(card['summary'])}</p></div>"
        )
        formula.draw(card["formula"])
        quiet = [f"reads {', '.join(_reads(entry))}"] if group == "methods" else []
        quiet += [f"{card['paper']}, {card['year']}"] if card["paper"] else []
        st.html(f'<p class="fs-small">{say.escaped(" · ".join(quiet))}</p>')
        if best is not None:
            st.html(f'<p class="fs-small strong">{say.escaped(_best(best))}</p>')
        _open(group, entry)


def _open(group: str, entry: Mapping[str, Any]) -> None:
    with st.container(horizontal=True, gap="small"):
        if st.button("Open", key=f"open-{group}-{entry['key']}", type="tertiary"):
            st.switch_page(runs.METHODS_PAGE, query_params=_query(group, entry["key"]))
        if group == "methods":
            _try(entry)


def _best(row: pd.Series) -> str:
    floor = "" if pd.isna(row["floor"]) else f" against a floor of {row['floor']:.1f}"
    return f"Best here: forget set {headline().title()} {row['klom']:.1f}{floor} ({view.about(row)})"


def _try(entry: Mapping[str, Any]) -> None:
    """Offer to put the method, with its defaults, into what the visitor is setting up.

    Methods that were chosen before stay; without any this one is put beside doing nothing.
    """
    if not st.button("Try it", key=f"try-{entry['key']}", type="tertiary"):
        return
    setup, key = draft.current(), entry["key"]
    chosen = [dict(method) for method in setup["methods"]] if setup["methods"] != draft.default()["methods"] else []
    known = {method["key"] for method in chosen}
    nothing = [] if chosen else [k for k, kind in references(workspace.words()).items() if kind == "do nothing"]
    added = [k for k in (*nothing, key) if k not in known]
    defaults = {e["key"]: {f["name"]: f["default"] for f in e["fields"]} for e in workspace.words()["methods"]}
    draft.update(methods=[*chosen, *({"key": k, **defaults[k]} for k in dict.fromkeys(added) if k in defaults)])
    st.switch_page(runs.UNLEARN_PAGE, query_params={"draft": draft.link()})


def _whole(group: str, entry: Mapping[str, Any]) -> None:
    """Show one card with everything on it."""
    card = entry["card"]
    if st.button(f"All {GROUPS[group].lower()}", key="all-cards", type="tertiary"):
        st.switch_page(runs.METHODS_PAGE, query_params={} if group == "methods" else {"group": GROUPS[group]})
    st.title(card["name"], anchor=False)
    st.html(f'<p class="fs-lead">{say.escaped(card["summary"])}</p>')
    formula.draw(card["formula"])
    facts = [("Family", card["family"]), *((title, _fact(entry, name)) for title, name in _FACTS)]
    facts.append(("Paper", _paper(card)))
    rows = "".join(f"<dt>{say.escaped(k)}</dt><dd>{say.escaped(v)}</dd>" for k, v in facts if v)
    st.html(f'<dl class="fs-facts">{rows}</dl>')
    with st.container(horizontal=True, gap="small"):
        if group == "methods":
            _try(entry)
    if entry["fields"]:
        st.html('<p class="fs-step">Knobs</p>')
        st.table(_knobs(entry["fields"]), hide_index=True, border="horizontal", alt=f"Knobs of {card['name']}")
    if group == "methods":
        _measured(entry)


def _fact(entry: Mapping[str, Any], name: str) -> str:
    value = entry["card"][name]
    if name in ("reads", "claims"):
        return ", ".join(value)
    return _BETTER.get(value, "") if name == "better" else str(value)


def _paper(card: Mapping[str, Any]) -> str:
    if not card["paper"]:
        return ""
    arxiv = f", arXiv {card['arxiv']}" if card["arxiv"] else ""
    return f"{card['paper']}, {card['year']}{arxiv}"


def _knobs(fields: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the knobs as one row each: name, default, range, meaning."""
    return pd.DataFrame(
        [
            {
                "Knob": field["label"] + (f" ({field['unit']})" if field["unit"] else ""),
                "Default": _value(field["default"]),
                "Range": _range(field),
                "Meaning": field["help"],
                "Advanced": "yes" if field["advanced"] else "",
            }
            for field in fields
        ]
    )


def _range(field: Mapping[str, Any]) -> str:
    if field["choices"]:
        return ", ".join(field["choices"])
    ends = [_value(field[end]) for end in ("low", "high") if field[end] is not None]
    return " to ".join(ends) if len(ends) == 2 else ""


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measured(entry: Mapping[str, Any]) -> None:
    table = measured.table()
    table = table[table["key"] == entry["key"]].reset_index(drop=True)
    show.heading(view.CARD)
    if table.empty:
        st.html('<p class="fs-small">No finished run of this store used it yet.</p>')
        return
    shown = table.head(_MOST)

    figure = partial(view.figure, shown)

    def choose(data: Sequence[Any]) -> None:
        st.session_state["to-run"] = (str(data[0]), str(data[1]))

    st.html(f'<p class="fs-small strong">{say.escaped(_best(table.iloc[0]))}. Click a dot to open its run.</p>')
    show.chart(figure, "measured", on_click=choose, alt=f"KLOM of {entry['card']['name']} in the runs of this store")
    numbers, name = table.drop(columns=["key"]), entry["card"]["name"]
    show.behind(view.CARD, "measured", numbers, figure, subject=name, meanings=view.COLUMNS)
    if "to-run" in st.session_state:
        run, _ = st.session_state.pop("to-run")
        runs.show(run)
