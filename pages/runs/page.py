"""Runs: what is running, what did I run, what does it take on disk?"""

import streamlit as st

from pages.ui import frame, run_list, runs

run, _ = runs.chosen()
frame.line(run.recipe if run is not None else None)
st.title("Runs", anchor=False)
run_list.compute_line()
run_list.show()
