"""Unlearn: run methods side by side and watch: does it forget before it breaks?"""

import streamlit as st

from pages.start import choices, estimate
from pages.ui import draft, frame, runs
from pages.unlearn import compare, exhibit, forms, parts, requests, run_table, sequence

run_id = st.query_params.get("run", "")
run = runs.find(run_id) if run_id else None
if "compare" in st.query_params:
    rows, missing = compare.selected()
    frame.line(rows[0].recipe if rows else None)
    compare.page(rows, missing)
elif run is not None:
    st.session_state["run"] = run.id
    frame.line(run.recipe)
    parts.heading(run)
    where = sequence.place(run)
    sequence.line(where, runs.UNLEARN_PAGE)
    parts.watch(run)
    exhibit.offer(run)
    sequence.draw(run, where)
    parts.closer(run)
else:
    setup = draft.current()
    frame.line({**setup, "then": draft.then()})
    parts.setting_up(missing=bool(run_id))
    further, problem = requests.form(setup)
    methods = forms.form()
    recipe, reason = draft.complete({**setup, "methods": methods, "then": further})
    reason = problem or forms.twins(methods) or reason
    estimate.bar(choices.Chosen(None if reason else recipe, (reason,) if reason else ()), page=runs.UNLEARN_PAGE)
with st.container(key="switches"):
    run_table.table()
