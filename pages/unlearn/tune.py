"""Tune: one press tries a few settings of a method and puts the best into its form, measured on fresh networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from engine import tuning
from engine.catalog import references
from engine.knobs import BadSetting
from engine.metrics import headline
from engine.metrics.scores import Scores
from engine.queue import RunRow
from engine.records import Choice, Recipe, digest
from engine.sweep import described
from pages.ui import asking, draft, live, results, runs, say, workspace

Use = Callable[[dict[str, Any]], None]


def popover(entry: Mapping[str, Any], number: int, values: Mapping[str, Any], use: Use) -> None:
    """Offer to tune a method, show how far a tuning is, and what it chose; ``use`` is given the settings."""
    with st.popover("Tune", key=f"tune-{number}", on_change="rerun", help="Find settings for this forget set.") as menu:
        if not menu.open:
            return
        state = workspace.queue().recall(_name(entry["key"])) or {}
        first = runs.find(state.get("first", ""))
        if first is None:
            _offer(entry, number, values)
        else:
            st.fragment(run_every=live.EVERY)(_watch)(entry, number, use)


def _offer(entry: Mapping[str, Any], number: int, values: Mapping[str, Any]) -> None:
    """Say what a press does and takes."""
    st.html(
        f'<p class="fs-small">Tries up to {tuning.MOST} settings on {tuning.CHOOSE} networks, ranked by the larger of '
        f"forget and retain KLOM, and measures the best again on {tuning.MEASURE} other networks, which played no part "
        "in the choice. A setting that breaks networks is never chosen.</p>"
    )
    try:
        whole, method = _whole(), _tunable(entry)
        recipe = tuning.choosing(whole, method, values)
        again = tuning.measuring(whole, method, values, recipe.methods[-1])
    except BadSetting as error:
        st.html(f'<p class="fs-small">{say.escaped(say.sentence(str(error)))}</p>')
        return
    total, unknown = 0.0, False
    for name, one in (("first", recipe), ("again", again)):
        reply = asking.ask({"kind": "estimate", "recipe": one.to_json()}, key=f"tune-{name}-{number}")
        if reply.error:
            st.html(f'<p class="fs-small">{say.escaped(say.sentence(reply.error))}</p>')
            return
        if reply.answer is None:
            asking.wait(reply, key=f"tune-{name}-{number}", **asking.MEASURING)
            unknown = True
        else:
            total += 0.0 if reply.answer.get("cached") else float(reply.answer["seconds"])
    price = "" if unknown else f"About {say.duration(total)} on this computer: {len(recipe.methods) - 1} settings."
    st.html(f'<p class="fs-small strong">{say.escaped(price)}</p>')

    def go() -> None:
        state = {"first": runs.start(recipe.to_json()), "values": dict(values)}
        workspace.queue().remember(_name(entry["key"]), state)

    st.button("Tune", key=f"tune-go-{number}", type="primary", on_click=go, disabled=unknown)


def _watch(entry: Mapping[str, Any], number: int, use: Use) -> None:
    """Follow the two runs, begin the second when the first is done, and show what they chose."""
    workspace.keeper().ensure()
    queue, name = workspace.queue(), _name(entry["key"])
    state = queue.recall(name) or {}
    first = runs.find(state.get("first", ""))
    second = runs.find(state.get("second", ""))

    def forget() -> None:
        queue.remember(name, {})

    if first is None:
        st.rerun()
    elif not (second or first).over:
        step = "Measuring the best on fresh networks" if second else "Trying settings"
        _progress(second or first, f"{step}. The page may be left; come back to go on.", number)
    elif (second or first).status != "done":
        st.html('<p class="fs-small">This tuning was stopped. What it had finished is kept.</p>')
        st.button("Tune again", key=f"tune-again-{number}", on_click=forget)
    elif second is None:
        recipe = Recipe.from_json(first.recipe)
        chosen = tuning.best(recipe, _idle(), _scores(first))
        if chosen is None:
            st.html('<p class="fs-small">No setting could be ranked: each stopped or broke networks.</p>')
            st.button("Tune again", key=f"tune-again-{number}", on_click=forget)
            return
        pictures, _ = results.results(first)[0].removed()
        base = replace(recipe, ensemble=_whole().ensemble)
        again = tuning.measuring(base, _tunable(entry), state["values"], chosen, pictures=pictures)
        queue.remember(name, {**state, "chosen": chosen.to_json(), "second": runs.start(again.to_json())})
        st.rerun(scope="fragment")
    else:
        _result(entry, number, state, first, second, use, forget)


def _progress(row: RunRow, sentence: str, number: int) -> None:
    share = min(1.0, max(0.0, float(row.progress.get("share") or 0.0)))
    st.progress(share, text=live.headline(row))
    st.html(f'<p class="fs-small">{say.escaped(sentence)}</p>')
    live.cancel(row, key=f"tune-{number}")


def _result(
    entry: Mapping[str, Any],
    number: int,
    state: Mapping[str, Any],
    first: RunRow,
    second: RunRow,
    use: Use,
    forget: Callable[[], None],
) -> None:
    """Show what was chosen, with its numbers on the fresh networks, beside what the form had."""
    ranked = tuning.ranked(Recipe.from_json(second.recipe), _idle(), _scores(second))
    chosen = {name: value for name, value in state["chosen"].items() if name != "key"}
    one = next((one for one in ranked if dict(one.settings) == chosen), None)
    if one is None:
        st.html('<p class="fs-small">The best of the first networks broke or stopped on the fresh ones.</p>')
        st.button("Tune again", key=f"tune-again-{number}", on_click=forget)
        return
    written = headline().written
    before = next((other for other in ranked if other is not one), None)
    ends = f" ({written(one.interval[0])} to {written(one.interval[1])})" if one.interval else ""
    text = (
        f"{headline().title()} on {tuning.MEASURE} fresh networks: forget {written(one.forget)}{ends}, retain "
        f"{written(one.retain)}; doing nothing {written(one.nothing)}, floor {written(one.floor)}."
    )
    if before is not None:
        text += f" The settings it began with: forget {written(before.forget)}, retain {written(before.retain)}"
        text += ", no farther: the choice was chance." if before.worse <= one.worse else "."
    changed = [f"{f['label']} {chosen[f['name']]}" for f in entry["fields"] if chosen[f["name"]] != f["default"]]
    st.html(f'<p class="fs-small strong">{say.escaped(", ".join(changed) or "The defaults are the best.")}</p>')
    st.html(f'<p class="fs-small">{say.escaped(text)}</p>')
    with st.container(horizontal=True, gap="small"):
        if st.button("Use these settings", key=f"tune-use-{number}", type="primary"):
            use(chosen)
            st.rerun()
        st.button("Tune again", key=f"tune-again-{number}", on_click=forget)
        for label, row in (("All settings", first), ("Fresh networks", second)):
            st.page_link(runs.KLOM_PAGE, label=label, query_params={"run": row.id})


def _whole() -> Recipe:
    """Return the recipe being set up, without its methods.

    Raises:
        BadSetting: something else is missing.
    """
    recipe, reason = draft.complete({**draft.current(), "methods": [{"key": _idle()}]})
    if recipe is None:
        raise BadSetting(reason)
    return Recipe.from_json(recipe)


def _tunable(entry: Mapping[str, Any]) -> tuning.Tunable:
    fields = [described(field) for field in entry["fields"]]
    return tuning.Tunable(entry["key"], fields, entry["tuned"], Choice(_idle()))


def _idle() -> str:
    return next(key for key, kind in references(workspace.words()).items() if kind == "do nothing")


def _scores(row: RunRow) -> dict[str, Scores]:
    return {one.method_id: Scores.from_json(one.payload["scores"]) for one in workspace.queue().results(row.id)}


def _name(key: str) -> str:
    """Return the note that a visitor's tuning of a method on this data and forget set is kept under."""
    setup = draft.current()
    about = {part: setup[part] for part in ("dataset", "model", "training", "forget", "seed")}
    return f"tune:{workspace.visitor()}:{key}:{digest(about)[:16]}"
