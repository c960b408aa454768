"""The parts of the Inversion page: what an attack draws of each class, beside what is true, and how like it is."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from engine import heat
from engine.measurement import Measurement
from engine.views import inversion
from pages.ui import analysis, frame, knobs, say, show, workspace
from pages.ui.subject import Subject

_ATTACKS = {
    "data-free": "The attacker has the weights alone, and looks from noise for what the network is surest of.",
    "inverter": "The attacker teaches a small generator what the network takes for each class. With similarity above 0 "
    "the generator also sees training pictures, which flatters it: set it to 0 for weights alone.",
    "difference": "The attacker has the weights before and after, and looks for pictures whose gradient is the change.",
}
_NAMES = {"original": "before", "unlearned": "now", "oracle": "never saw it", "second oracle": "never saw it, again"}


def draw(here: Subject) -> None:
    """Attack the networks of the method in focus, or say what that takes, and draw what comes out."""
    entry = next(entry for entry in workspace.words()["analyses"] if entry["key"] == "inversion")
    settings = knobs.form(entry["fields"], "inversion", advanced=True)
    st.html(f'<p class="fs-small">{say.escaped(_ATTACKS[settings["attack"]])}</p>')
    done = analysis.obtain(here.run, here.result.method, "inversion", settings=settings, models=here.result.models)
    if done is None:
        return
    measurement, answer = done
    count = measurement.arrays["sure"].shape[1]
    networks = f"{analysis.subject(here.run, here.result.method, answer)}, {count} of them attacked"
    about = f"{here.run.label}; {here.run.id}; {networks}; {settings['attack']}"
    table = inversion.frame(measurement)
    if np.isfinite(table["ssim"]).any():
        st.html(f'<p class="fs-lead">{say.escaped(_sentence(measurement))}</p>')
    st.html(f'<p class="fs-small">{say.escaped(networks)}.</p>')
    if measurement.arrays["means"].shape[-1] > 1:
        _rows(measurement)
    show.heading(inversion.CARD)
    made = partial(inversion.figure, table)
    show.chart(made, "inversion-chart", alt=f"{inversion.CARD.title} {inversion.CARD.question}")
    show.behind(inversion.CARD, "inversion", table, made, subject=about, meanings=inversion.COLUMNS)


def _sentence(measurement: Measurement) -> str:
    """Say how like the most forgotten class the drawn pictures are, before, now, and from oracles."""
    table = inversion.frame(measurement)
    name = measurement.facts["classes"][0]
    here = table[(table["class"] == name) & (table["like"] == "mean")].set_index("role")
    parts = [f"{_NAMES[role]} {here.loc[role, 'ssim']:.2f}" for role in _NAMES if role in here.index]
    guessed = measurement.facts["guessed"]
    given = f" The last layer gives away {', '.join(dict.fromkeys(guessed))}." if guessed else ""
    return f"Likeness of what is drawn of {name} to its mean picture: {', '.join(parts)}.{given}"


def _rows(measurement: Measurement) -> None:
    """Show a row for each class: its mean, and what was drawn from each kind of network."""
    facts, arrays = measurement.facts, measurement.arrays
    roles = [role for r, role in enumerate(facts["roles"]) if np.isfinite(arrays["sure"][r]).any()]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("", "true mean", *(_NAMES[role] for role in roles)))
    rows = []
    for c, name in enumerate(facts["classes"]):
        cells = [(_picture(arrays["means"][c]), f"mean picture of {name}", "")]
        for role in roles:
            r = facts["roles"].index(role)
            drawn = arrays["pictures"][r, :, c].mean(axis=0)
            likeness = float(np.nanmean(arrays["ssim"][r, :, c, 0]))
            cells.append((_picture(drawn), f"{name}, drawn from networks: {_NAMES[role]}", f"{likeness:.2f}"))
        tiles = "".join(
            f'<td><img src="{src}" width="110" height="110" alt="{say.escaped(alt)}">{note}</td>'
            for src, alt, note in cells
        )
        gone = int(facts["forgotten"][c])
        note = f"{gone:,} forgotten" if gone else "kept"
        rows.append(f'<tr><th scope="row">{say.escaped(name)}<br><span class="fs-quiet">{note}</span></th>{tiles}</tr>')
    st.html(
        f'<div class="fs-maps"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        '<p class="fs-small">Means over the attacked networks; under each its likeness to the true mean. Good is "now" '
        'like "never saw it".</p>'
    )


def _picture(values: np.ndarray) -> str:
    return heat.plain((255 * values).clip(0, 255).astype(np.uint8).transpose(1, 2, 0), side=110, smooth=frame.smooth())
