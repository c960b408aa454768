"""Start: what is this, and can I see it work now?"""

import streamlit as st

from engine.demo import demo_recipe
from pages.start import choices, estimate, example, resume
from pages.ui import frame, runs

header = st.container()
resume.line()

words, drawn = st.columns([6, 5], gap="large", vertical_alignment="center")
with words:
    st.title("What does the network still remember?", anchor=False)
    st.html(
        '<p class="fs-lead">Forgetscope trains a hundred networks, makes them forget some pictures, and compares them, '
        "picture by picture, with a hundred networks that never saw those pictures.</p>"
    )
    if st.button("Run the demo", type="primary", key="demo"):
        runs.show(runs.start(demo_recipe().to_json()))
    st.html('<p class="fs-small">Real handwritten digits, about a minute; opens at once the second time.</p>')
with drawn:
    example.draw()

with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="own"):
    st.subheader("Your own experiment", anchor=False)
    resume.set_up_before()
chosen = choices.form()
estimate.bar(chosen)

with header:
    frame.line(chosen.recipe)
