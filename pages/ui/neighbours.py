"""The pictures most like one picture, small and to click on: computed once per data set by the compute process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st

from engine.pictures import Pictures
from engine.queue import RunRow
from engine.records import Choice
from engine.specs import WHOLE, Explored
from engine.store import StoreError
from pages.ui import analysis, asking, draft, nouns, say, workspace
from pages.ui.gallery import gallery, tile

SplitOf = Callable[[int], str]
_MOST = 6
_CHOICE = {"key": "columns", "through": "pixels"}


def draw(
    run: RunRow | None,
    images: Pictures | None,
    number: int,
    *,
    data_hash: str,
    split_of: SplitOf,
    pick: Callable[[int], None],
    key: str,
) -> None:
    """Show the nearest training pictures of a training picture, or a button that has them computed.

    ``split_of`` says where a picture belongs, "" where that is not known; ``pick`` is called with one that is clicked.
    """
    if images is None or number >= len(images.data.y_train):
        return
    # The spec is the same as in the answer to the question below, so that a stored artefact costs nothing.
    spec: Mapping[str, Any] = Explored(Choice.from_json(_CHOICE, "analysis"), data_hash).plain
    if not workspace.store().artefact(Explored.kind, spec).has(WHOLE):
        spec = _spec(run, key)
        if not spec or spec["data"] != data_hash:
            return
    try:
        part = workspace.store().artefact(Explored.kind, spec).read(WHOLE)
        ids, far = np.array(part.array("neighbours")[number]), np.array(part.array("distance")[number])
        near = float(part.json("facts")["near"])
    except (StoreError, KeyError) as error:
        st.html(f'<p class="fs-small">Its neighbours cannot be shown: {say.escaped(error)}</p>')
        return
    st.html(
        nouns.spoken(
            '<p class="fs-small">Most alike, by pixels. Below each how far (0 the same, 1 black against white); '
            f"closer than {near:.2f} counts as nearly the same.</p>"
        )
    )
    tiles = []
    for other, distance in zip(ids[:_MOST].tolist(), far[:_MOST].tolist(), strict=True):
        label, split = images.class_name(other), split_of(other)
        same = ", nearly the same" if distance < near else ""
        where = f", {split} set" if split else ""
        tiles.append(
            tile(
                other,
                src=images.url(other),
                label=split or label,
                value=f"{distance:.2f}",
                title=f"point {other}, label {label}{where}, {distance:.3f} away{same}",
                lines=nouns.lines(images, other),
            )
        )
    gallery(tiles, key=key, pick=pick, across=_MOST if not images.data.tabular else 0)


def _spec(run: RunRow | None, key: str) -> Mapping[str, Any]:
    """Return the spec of the data set's neighbours; empty until the visitor asks for them and they are computed."""
    pressed = f"{key}-pressed"
    if not st.session_state.get(pressed):

        def want() -> None:
            st.session_state[pressed] = True

        st.button(nouns.spoken("Find the pictures most like it"), key=f"{key}-find", type="tertiary", on_click=want)
        return {}
    dataset = run.recipe["dataset"] if run is not None else draft.current()["dataset"]
    reply = asking.ask(analysis.question(_CHOICE, {"dataset": dataset}), key=key)
    if reply.error:
        st.html(f'<p class="fs-small">Its neighbours cannot be found: {say.escaped(reply.error)}</p>')
    elif reply.answer is not None:
        return dict(reply.answer["spec"])
    else:
        asking.wait(reply, what=nouns.spoken("Comparing pictures"), key=key)
    return {}
