"""Layers: where did the method change the networks, and what do their inner layers still know?"""

import streamlit as st

from pages.layers import parts
from pages.ui import subject

here = subject.choose("Layers", "Where in the networks did it change, and what do the layers inside still know?")
if here is not None:
    with st.container(key="layers"):
        parts.draw(here)
