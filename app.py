"""The router and the frame around every page, a folder of ``pages`` each; ``make app`` serves it."""

import streamlit as st

from engine.store import StoreError
from pages.ui import frame, workspace

st.set_page_config(
    page_title="Forgetscope",
    page_icon=str(frame.ASSETS / "icon.png"),
    layout="wide",
    menu_items={"Get help": None, "Report a bug": None, "About": None},
)
st.logo(str(frame.ASSETS / "icon.png"))
page = st.navigation(
    {
        "": [
            st.Page("pages/start/page.py", title="Start", default=True),
            st.Page("pages/forget/page.py", title="Forget set", url_path="forget"),
            st.Page("pages/unlearn/page.py", title="Unlearn", url_path="unlearn"),
            st.Page("pages/klom/page.py", title="KLOM", url_path="klom"),
            st.Page("pages/methods/page.py", title="Methods", url_path="methods"),
            st.Page("pages/runs/page.py", title="Runs", url_path="runs"),
        ],
        "Look closer": [
            st.Page("pages/missing/page.py", title="Missing targets", url_path="missing"),
            st.Page("pages/predictions/page.py", title="Predictions", url_path="predictions"),
            st.Page("pages/attention/page.py", title="Attention", url_path="attention"),
            st.Page("pages/inversion/page.py", title="Inversion", url_path="inversion"),
            st.Page("pages/layers/page.py", title="Layers", url_path="layers"),
        ],
    },
    position="top",
)
frame.style()
try:
    workspace.keeper().ensure()
    workspace.remember()
    page.run()
except StoreError as error:
    st.error(frame.say.plain(error))
