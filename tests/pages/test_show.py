"""What lies behind a figure: its table explains itself."""

import json

from streamlit.testing.v1 import AppTest


def script():
    from functools import partial

    import streamlit as st

    from engine.views import onepoint
    from engine.views.base import tidy
    from pages.ui import show

    table = tidy(onepoint.COLUMNS, [{"method": "scrub", "name": "SCRUB", "klom": 2.0, "reference": ""}])
    columns = {"name": "Method", "floor": st.column_config.NumberColumn("floor", help="Of this run.", format="%.1f")}
    draw = partial(onepoint.figure, table)
    show.behind(onepoint.CARD, "x", table, draw, subject="", meanings=onepoint.COLUMNS, columns=columns)


def test_a_tables_headings_say_what_its_columns_mean(store):
    """Mutations: a column without its meaning, a page's own title or help lost, a format lost."""
    app = AppTest.from_function(script)
    app.session_state["behind-x"] = "Table"
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    columns = json.loads(app.dataframe[0].proto.columns)
    assert columns["klom"]["help"] == "KLOM of this point under the method (nats)."
    assert (columns["name"]["label"], columns["name"]["help"]) == ("Method", "The method with its settings.")
    assert columns["floor"]["help"] == "Of this run."
    assert columns["floor"]["type_config"]["format"] == "%.1f"
