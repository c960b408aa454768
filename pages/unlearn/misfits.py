"""Methods that cannot work on the networks being set up: on their cards before a run, why and what would help."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import streamlit as st

from pages.ui import asking, draft, knobs, say, workspace


def known(setup: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the methods that do not fit, by key, each with ``why`` and ``remedy``; none before the engine's answer."""
    reply = _ask(setup)
    return reply.answer["misfits"] if reply.ready and reply.answer else {}


def wait(setup: Mapping[str, Any]) -> None:
    """Have the page run again when the engine has answered; draws nothing to look at."""
    reply = _ask(setup)
    if reply.answer is None and not reply.withdrawn:
        st.fragment(run_every=asking.EVERY)(_wait)(reply.id)


def others(entries: Mapping[str, Any], picked: Collection[str], setup: Mapping[str, Any]) -> None:
    """Say in one line which methods that are not picked would not run."""
    misfits = known(setup)
    names = [entry["card"]["name"] for key, entry in entries.items() if key in misfits and key not in picked]
    if names:
        sentence = f"Not for networks trained like these: {', '.join(names)}. Pick one to see why."
        st.html(f'<p class="fs-small">{say.escaped(sentence)}</p>')


def explain(key: str, setup: Mapping[str, Any], *, place: int) -> None:
    """Say on a method's card why it cannot run, and offer to train the networks as it needs them."""
    misfit = known(setup).get(key)
    if not misfit:
        return
    st.html(line(misfit["why"]))
    fields = workspace.words()["training"]
    now = knobs.known(fields, setup["training"])
    changed = {name: value for name, value in misfit["remedy"].items() if now.get(name) != value}
    remedy = [f"{f['label']} to {changed[f['name']]}" for f in fields if f["name"] in changed]
    if remedy:
        st.button(
            f"Set {' and '.join(remedy)}",
            key=f"remedy-{place}",
            on_click=_remedy,
            args=(misfit["remedy"],),
            help="For every method of this run: originals and oracles are trained alike.",
        )


def line(why: str) -> str:
    """Return the sentence as a line with a red dot."""
    return f'<p class="fs-small strong"><span class="fs-dot bad"></span>{say.escaped(why)}</p>'


def _ask(setup: Mapping[str, Any]) -> asking.Reply:
    question = {"kind": "misfits", "model": dict(setup["model"]), "training": dict(setup["training"])}
    return asking.ask(question, key="misfits")


def _remedy(settings: Mapping[str, Any]) -> None:
    draft.update(training={**draft.current()["training"], **settings})


def _wait(question: str) -> None:
    workspace.keeper().ensure()
    if workspace.queue().question_progress(question) is None:
        st.rerun()
