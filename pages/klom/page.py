"""KLOM: can the unlearned networks be told from networks that never saw the forget set?"""

import streamlit as st

from pages.klom import parts
from pages.ui import frame, live, results, runs
from pages.unlearn import sequence

run, missing = runs.chosen()
frame.line(run.recipe if run is not None else None)
if run is None:
    parts.nothing(missing)
else:
    if st.query_params.get("run") != run.id:
        st.query_params["run"] = run.id
    drawn = results.version(run)
    measured = results.results(run)
    parts.title(run)
    where = sequence.place(run)
    sequence.line(where, runs.KLOM_PAGE)
    if not run.over:
        live.panel(run, drawn=drawn)
    parts.ending(run)
    if measured:
        parts.measured_part(run, measured)
    elif not run.over:
        parts.waiting(run)
    sequence.draw(run, where)
