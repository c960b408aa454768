"""Runs: what is running, what did I run, what does it take on disk?"""

import streamlit as st

from pages.runs import listing
from pages.ui import frame, runs

run, _ = runs.chosen()
frame.line(run.recipe if run is not None else None)
st.title("Runs", anchor=False)
listing.compute_line()
listing.show()
