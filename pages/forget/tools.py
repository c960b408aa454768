"""Ways to choose pictures other than by looking: the engine's selectors, lists, files and saved sets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import streamlit as st

from engine.forget import make_selector
from engine.forget.base import ForgetError
from engine.forget.indices import LARGEST_FILE, read_bytes, read_numbers
from engine.knobs import BadSetting
from engine.queue import SavedSet
from pages.forget import state
from pages.forget.sets import MODES, outside
from pages.forget.state import Pool, Selection
from pages.ui import asking, draft, knobs, nouns, say, workspace
from pages.ui.controls import switch

_WAYS: Mapping[str, str] = {
    "random": "Random",
    "class": "Class",
    "cluster": "Cluster",
    "nearest": "Nearest to one",
    "margin": "Lowest margin",
    "outliers": "Outliers",
    "list": "A list",
    "file": "A file",
    "saved": "Saved sets",
}
_MOST_CLASSES = 30
_PENDING = "forget-pending"
_DRAW: Mapping[str, Any] = MappingProxyType(
    {
        "name": "draw",
        "label": "draw",
        "kind": "int",
        "unit": "",
        "low": 0,
        "high": 2**31,
        "choices": (),
        "advanced": False,
        "help": "Another number draws other pictures; the same draws the same again.",
    }
)


def tools(pool: Pool, chosen: Selection) -> None:
    """Draw the ways to choose, the form of the one that is picked, and what came of it."""
    st.html('<p class="fs-step">Choose by</p>')
    words = workspace.words()
    known = {entry["key"] for entry in words["forget"]}
    ways = [key for key in _WAYS if key in known or key in ("list", "file", "saved")]
    others = [entry["key"] for entry in words["forget"] if entry["key"] not in _WAYS and entry["key"] != "indices"]
    names = {key: _WAYS.get(key) or say.card_name(words, "forget", key) for key in [*ways[:6], *others, *ways[6:]]}
    way = switch("Choose by", list(names), key="by", default="random", name=lambda key: names[key])
    if way == "list":
        _list(pool, chosen)
    elif way == "file":
        _file(pool, chosen)
    elif way == "saved":
        _saved(pool, chosen)
    else:
        _selector(pool, way)
    _pending(pool, chosen)
    problem = st.session_state.pop("forget-problem", "")
    if problem:
        st.error(say.plain(problem))


def ask(pool: Pool, forget: Mapping[str, Any], mode: str, *, seed: int) -> None:
    """Have a selector of the engine choose; its pictures are combined with what is chosen when the answer is there."""
    recipe = {**draft.current(), "dataset": dict(pool.dataset), "seed": seed, "forget": dict(forget)}
    st.session_state[_PENDING] = {"question": {"kind": "forget", "recipe": recipe}, "mode": mode, "data": pool.hash}


def start(pool: Pool) -> None:
    """Offer the forget set of the setup to begin with, when it is a rule and not a list of pictures."""
    setup = draft.current()
    if setup["forget"].get("key") == "indices":
        return
    st.button(
        f"Start from {say.plain(say.forget_name(setup['forget']))}",
        key="from-setup",
        type="tertiary",
        help="What the setup on the Start page chooses.",
        on_click=ask,
        args=(pool, setup["forget"], "replace"),
        kwargs={"seed": int(setup["seed"])},
    )


def _mode(place: str) -> str:
    """Draw the choice of how to combine with the pictures chosen so far, and return it."""
    modes = list(MODES)
    return str(
        st.segmented_control(
            nouns.spoken("What becomes of the pictures chosen so far"),
            modes,
            format_func=lambda key: MODES[key],
            default="replace",
            required=True,
            key=f"mode-{place}",
            label_visibility="collapsed",
        )
        or "replace"
    )


def _selector(pool: Pool, key: str) -> None:
    entry = next(entry for entry in workspace.words()["forget"] if entry["key"] == key)
    about = nouns.spoken(entry["card"]["summary"])
    if key == "cluster":
        about += " Groups are made with these settings, not those that colour the map; its legend chooses those."
    st.html(f'<p class="fs-small">{say.escaped(about)}</p>')
    seed = draft.current()["seed"]
    if key == "class" and len(pool.classes) <= _MOST_CLASSES:
        settings, missing = _classes(pool)
    else:
        size = {"n": min(50, max(1, len(pool) // 10))}
        defaults = {f["name"]: size[f["name"]] for f in entry["fields"] if f["name"] in size}
        fields = list(entry["fields"])
        if key == "random":
            fields.append({**_DRAW, "default": int(seed)})
        settings, missing = knobs.form(fields, f"pick-{key}", advanced=True, defaults=defaults), ""
        seed = settings.pop("draw", seed)
    needs = _needs(key, settings)
    if "memorisation scores" in needs:
        st.html(
            '<p class="fs-small">This looks at networks on random halves of the data, as many as the setup has; they '
            "are trained before, once, and kept.</p>"
        )
    elif needs:
        st.html(
            '<p class="fs-small">This looks through trained networks; the first are trained before, once, and kept.</p>'
        )

    def apply() -> None:
        mode = str(st.session_state.get(f"mode-{key}") or "replace")
        ask(pool, {"key": key, **settings}, mode, seed=int(seed))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _mode(key)
        st.button("Choose", key=f"apply-{key}", on_click=apply, disabled=bool(missing), help=missing or None)


def _needs(key: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is computed before the selector can choose; none for settings it refuses: the error comes later."""
    try:
        return make_selector({"key": key, **settings}).needs()
    except BadSetting:
        return ()


def _classes(pool: Pool) -> tuple[dict[str, Any], str]:
    # A name with a comma cannot stand in a list with commas; its number can.
    keys = [name if "," not in name and name == name.strip() else str(i) for i, name in enumerate(pool.classes)]
    picked = st.pills(
        "Classes",
        keys,
        selection_mode="multi",
        format_func=lambda key: say.plain(pool.classes[keys.index(key)]),
        key="pick-classes",
        label_visibility="collapsed",
    )
    return {"classes": ",".join(picked)}, "" if picked else "Pick at least one class."


def _pending(pool: Pool, chosen: Selection) -> None:
    """Choose what a selector names as soon as its answer is there."""
    pending = st.session_state.get(_PENDING)
    if pending is None or pending["data"] != pool.hash:
        return
    reply = asking.ask(pending["question"], key="forget-choose")
    if reply.withdrawn:
        st.session_state.pop(_PENDING)
        st.session_state.pop("asked-forget-choose", None)
    elif reply.error:
        st.session_state.pop(_PENDING)
        st.session_state.pop("asked-forget-choose", None)
        state.problem(_sentence(reply.error))
    elif reply.answer is None:
        asking.wait(reply, what=nouns.spoken("Choosing pictures"), key="forget-choose")
    else:
        st.session_state.pop(_PENDING)
        numbers = read_numbers(str(reply.answer["indices"]))
        state.change(pool, chosen, numbers, pending["mode"], how=str(reply.answer["name"]))
        st.rerun()


def _list(pool: Pool, chosen: Selection) -> None:
    st.html(
        f'<p class="fs-small">Numbers of training {pool.noun}s, as the map and the grid name them: 3, 17, 20-25. '
        "Commas, spaces or line breaks between them.</p>"
    )
    text = st.text_area("Numbers", key="pick-list", placeholder="3, 17, 20-25", height=90, label_visibility="collapsed")

    def apply() -> None:
        try:
            _take(pool, chosen, read_numbers(str(st.session_state["pick-list"])), "list")
        except ForgetError as error:
            state.problem(_sentence(str(error)))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _mode("list")
        st.button("Choose", key="apply-list", on_click=apply, disabled=not text.strip())


def _file(pool: Pool, chosen: Selection) -> None:
    st.html(
        '<p class="fs-small">A text or CSV file of numbers without a header line, or a .npy file of whole numbers. '
        f"At most {LARGEST_FILE // 10**6} MB; it is read here and not kept.</p>"
    )
    file = st.file_uploader(
        "File",
        type=["txt", "csv", "npy"],
        key="pick-file",
        max_upload_size=LARGEST_FILE // 10**6,
        label_visibility="collapsed",
    )

    def apply() -> None:
        given = st.session_state.get("pick-file")
        if given is None:
            return
        try:
            _take(pool, chosen, read_bytes(given.getvalue()), "file")
        except ForgetError as error:
            state.problem(f"This file cannot be used: {error}.")

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _mode("file")
        st.button("Choose", key="apply-file", on_click=apply, disabled=file is None)


def _take(pool: Pool, chosen: Selection, numbers: np.ndarray, place: str) -> None:
    """Apply the numbers of a list or file to what is chosen, or say why not."""
    wrong = outside(numbers, len(pool))
    if wrong or not len(numbers):
        state.problem(wrong or "There are no numbers in it.")
        return
    state.change(pool, chosen, numbers, str(st.session_state.get(f"mode-{place}") or "replace"))


def _saved(pool: Pool, chosen: Selection) -> None:
    sets = workspace.shelf().named(pool.hash)
    if not sets:
        st.html(f'<p class="fs-small">No set of these {pool.noun}s has a name yet. Give one to what is chosen now.</p>')
        return
    st.html(
        '<p class="fs-small">Union is “Add”, difference “Take away”, intersection “Keep common”; '
        "“Only these” opens a set.</p>"
    )
    mode = _mode("saved")
    with st.container(key="saved-sets", gap="small"):
        for one in sets[:50]:
            _one(pool, chosen, one, mode)


def _one(pool: Pool, chosen: Selection, one: SavedSet, mode: str) -> None:
    def apply() -> None:
        if mode == "replace":
            state.choose(pool, one.numbers())
        else:
            state.change(pool, chosen, one.numbers(), mode)

    def remove() -> None:
        # It stays as a set without a name for a while, so that links to it and undo still work.
        workspace.shelf().rename(one.id, "")

    now = " · open" if one.id == chosen.id else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"set-{one.id}"):
        st.html(
            f"<b>{say.escaped(one.name)}</b> "
            f'<span class="fs-small">{one.size:,} {pool.noun}s · {say.ago(one.created)}{now}</span>',
            width="stretch",
        )
        st.button("Open" if mode == "replace" else MODES[mode], key=f"open-{one.id}", type="tertiary", on_click=apply)
        st.button("Delete", key=f"delete-{one.id}", type="tertiary", on_click=remove)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
