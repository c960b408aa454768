"""Forgetscope: `make app` serves it. The router and the frame; every page is a file in ``pages``."""

from pathlib import Path

import streamlit as st

from engine.store import StoreError
from pages.ui import frame, workspace

st.set_page_config(
    page_title="Forgetscope",
    page_icon=str(frame.ASSETS / "icon.png"),
    layout="wide",
    menu_items={"Get help": None, "Report a bug": None, "About": None},
)
BETWEEN = (("forget", "Forget set"), ("unlearn", "Unlearn"), ("klom", "KLOM"), ("methods", "Methods"))
st.logo(str(frame.ASSETS / "icon.png"))
page = st.navigation(
    [
        st.Page("pages/start/page.py", title="Start", default=True),
        *(
            st.Page(f"pages/{name}/page.py", title=title, url_path=name)
            for name, title in BETWEEN
            if (Path(__file__).parent / "pages" / name / "page.py").exists()
        ),
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
