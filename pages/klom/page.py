"""KLOM: can the unlearned networks be told from networks that never saw the forget set?"""

import streamlit as st

from pages.klom import parts
from pages.ui import frame, results, runs, subject
from pages.unlearn import sequence

run, missing = runs.chosen()
frame.line(run.recipe if run is not None else None)
if run is None:
    subject.nothing(missing)
else:
    if st.query_params.get("run") != run.id:
        st.query_params["run"] = run.id
    drawn = results.version(run)
    measured = results.results(run)
    subject.title(
        run,
        "KLOM",
        "Did they forget? 0 means that nobody could tell these networks from ones that never saw the pictures; 11.5 "
        "means that anybody could.",
    )
    where = sequence.place(run)
    sequence.line(where, runs.KLOM_PAGE)
    subject.under_way(run, drawn=drawn)
    with st.container(key="measured"):
        if measured:
            parts.measured_part(run, measured)
        elif not run.over:
            parts.waiting(run)
    sequence.draw(run, where)
