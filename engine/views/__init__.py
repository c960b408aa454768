"""Pictures of results: each module has a ``CARD``, a ``frame`` (the numbers, tidy) and a ``figure`` (the drawing).

Both are pure functions of plain arrays, so a picture can be tested without a page. numpy, pandas and plotly only.
"""
