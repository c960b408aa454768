"""Which pictures are chosen on the Forget set page: stored under the hash of their content, named in the URL.

Every state of the selection is a saved set, so every state is a link, and going back is undoing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from engine.forget.base import ForgetError
from engine.forget.indices import read_numbers
from engine.knobs import BadSetting
from engine.pictures import Pictures
from engine.queue import SavedSet
from engine.records import Choice
from engine.specs import DataSpec
from engine.store import StoreError, default_store
from pages.forget.sets import combine
from pages.ui import asking, draft, nouns, runs, say, workspace

_ID = re.compile(r"[0-9a-f]{16}")
_STEPS = 100
"""Steps that can be undone."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The training pictures to choose from: their data set's choice, name and hash, labels (N,), class names."""

    dataset: Mapping[str, Any]
    name: str
    hash: str
    labels: np.ndarray
    classes: tuple[str, ...]
    pictures: Pictures

    def __len__(self) -> int:
        """Return the number of training pictures."""
        return len(self.labels)

    @property
    def noun(self) -> str:
        """What one of them is called: "picture" or "row"."""
        return self.pictures.data.noun

    def describe(self, number: int) -> str:
        """Return the alternative text of a picture: its number and label."""
        return f"{self.noun} {number}, label {self.classes[int(self.labels[number])]}"


@dataclass(frozen=True, eq=False)
class Selection:
    """The pictures chosen now, int64 (F,) sorted; its id in the URL, its name if it has one, how it was chosen."""

    id: str
    numbers: np.ndarray
    name: str = ""
    how: str = ""

    def __len__(self) -> int:
        """Return the number of chosen pictures."""
        return len(self.numbers)


def pool() -> Pool | None:
    """Return the pictures of the data set being set up; while they are not decoded yet, draw the progress."""
    dataset = draft.current()["dataset"]
    info = _facts(dataset)
    if info is None:
        reply = asking.ask({"kind": "data", "dataset": dataset}, key="forget-data")
        if reply.error:
            st.error(f"{nouns.spoken('These pictures')} cannot be read: {say.plain(say.named(reply.error))}")
            _back()
            return None
        if not reply.ready or reply.answer is None:
            asking.wait(reply, what=nouns.spoken("Reading the pictures"), key="forget-data")
            return None
        info = reply.answer["info"]
    pictures = workspace.pictures(info["hash"])
    if pictures is None:
        st.error(nouns.spoken("The pictures are not at hand any more: their file was moved, changed or deleted."))
        _back()
        return None
    name = say.dataset_name(workspace.words(), dataset)
    return Pool(dataset, name, info["hash"], pictures.data.y_train, pictures.data.classes, pictures)


def _back() -> None:
    if st.button(nouns.spoken("Choose other pictures on Start"), key="to-start"):
        st.switch_page(runs.START_PAGE, query_params={"draft": draft.link()})


def _facts(dataset: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        artefact = DataSpec(Choice.from_json(dict(dataset), "dataset")).artefact(workspace.store())
        return artefact.read("whole").json("info") if artefact.has("whole") else None
    except (StoreError, BadSetting):
        return None


def selection(pool: Pool) -> Selection:
    """Return what is chosen: the set in the URL, else the one this session left, else that of the setup, else nothing.

    A link that cannot be followed draws a warning and changes nothing.
    """
    set_id = st.query_params.get("set", "")
    saved = workspace.shelf().saved(set_id) if _ID.fullmatch(set_id) else None
    if set_id and saved is None:
        st.warning("This link's forget set is not in this store. Sets without a name are kept for a week.")
    elif saved is not None and saved.data_hash != pool.hash:
        st.warning(
            f"This link's forget set belongs to other {pool.noun}s ({say.plain(saved.data_name)}). "
            "Choose those on the Start page to see it."
        )
        saved = None
    if saved is None:
        left = st.session_state.get(f"forget-left-{pool.hash}", "")
        saved = workspace.shelf().saved(left) if left else None
    if saved is None:
        numbers = _of_setup(pool)
        saved = _save(pool, numbers if numbers is not None else np.empty(0, np.int64))
    _remember(pool, saved.id)
    return Selection(saved.id, _numbers(str(default_store()), saved.id, saved.indices), saved.name, saved.how)


def choose(pool: Pool, numbers: np.ndarray, *, how: str = "") -> str:
    """Choose exactly ``numbers`` and return the selection's id; it goes into the URL."""
    saved = _save(pool, numbers, how=how)
    st.query_params["set"] = saved.id
    _history(pool).push(saved.id)
    st.session_state[f"forget-left-{pool.hash}"] = saved.id
    return saved.id


def change(pool: Pool, chosen: Selection, named: np.ndarray, mode: str, *, how: str = "") -> None:
    """Combine ``named`` with what is chosen by a mode of :data:`pages.forget.sets.MODES`."""
    choose(pool, combine(chosen.numbers, named, mode), how=how if mode == "replace" else "")


def toggle(pool: Pool, chosen: Selection, number: int) -> None:
    """Choose a picture, or no longer choose it."""
    here = bool(np.isin(number, chosen.numbers))
    change(pool, chosen, np.array([number]), "remove" if here else "add")


def step(pool: Pool, by: int) -> None:
    """Undo (-1) or redo (1)."""
    set_id = _history(pool).step(by)
    if set_id:
        st.query_params["set"] = set_id
        st.session_state[f"forget-left-{pool.hash}"] = set_id


def steps(pool: Pool) -> tuple[bool, bool]:
    """Return whether there is something to undo, and to redo."""
    history = _history(pool)
    return history.at > 0, history.at + 1 < len(history.ids)


def problem(text: str) -> None:
    """Store a sentence for the visitor until the page is drawn."""
    st.session_state["forget-problem"] = text


@dataclass
class History:
    """The selections of one session in their order, and which of them is now."""

    ids: list[str]
    at: int = -1

    def push(self, name: str) -> None:
        """Make ``name`` the newest selection and drop what was undone."""
        if self.ids and self.ids[self.at] == name:
            return
        self.ids[self.at + 1 :] = [name]
        del self.ids[:-_STEPS]
        self.at = len(self.ids) - 1

    def step(self, by: int) -> str:
        """Go ``by`` steps and return the selection there, "" if there is none."""
        if not 0 <= self.at + by < len(self.ids):
            return ""
        self.at += by
        return self.ids[self.at]

    def follow(self, name: str) -> None:
        """Follow the URL: the browser's back and forward are undo and redo, anything else is a new step."""
        for by in (0, -1, 1):
            if 0 <= self.at + by < len(self.ids) and self.ids[self.at + by] == name:
                self.at += by
                return
        self.push(name)


def _history(pool: Pool) -> History:
    return st.session_state.setdefault(f"forget-steps-{pool.hash}", History([]))


def _remember(pool: Pool, name: str) -> None:
    if st.query_params.get("set") != name:
        st.query_params["set"] = name
    st.session_state[f"forget-left-{pool.hash}"] = name
    _history(pool).follow(name)


def _of_setup(pool: Pool) -> np.ndarray | None:
    """Return the pictures of the setup's forget set if it names them one by one and there are such pictures."""
    forget = draft.current()["forget"]
    if forget.get("key") != "indices":
        return None
    try:
        numbers = read_numbers(str(forget.get("indices", "")))
    except ForgetError:
        return None
    return numbers if not len(numbers) or numbers[-1] < len(pool) else None


def _save(pool: Pool, numbers: np.ndarray, *, how: str = "") -> SavedSet:
    return workspace.shelf().save(
        data_hash=pool.hash, data_name=pool.name, indices=numbers, how=how, owner=workspace.visitor()
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _numbers(_path: str, _id: str, indices: str) -> np.ndarray:
    numbers = read_numbers(indices)
    numbers.flags.writeable = False
    return numbers
