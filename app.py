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
    [
        st.Page("pages/start/page.py", title="Start", default=True),
        st.Page("pages/forget/page.py", title="Forget set", url_path="forget"),
        st.Page("pages/unlearn/page.py", title="Unlearn", url_path="unlearn"),
        st.Page("pages/klom/page.py", title="KLOM", url_path="klom"),
        st.Page("pages/methods/page.py", title="Methods", url_path="methods"),
        st.Page("pages/runs/page.py", title="Runs", url_path="runs"),
    ],
    position="top",
)
frame.style()
try:
    workspace.keeper().ensure()
    workspace.remember()
    page.run()
except StoreError as error:
    st.error(frame.say.plain(error))
