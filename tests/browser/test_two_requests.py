"""Two requests in a row, from the list that is set up to the picture of both: one press, and only waiting."""

import time

import pytest
from conftest import press, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]

SETUP = {
    "format": 1,
    "dataset": {"key": "digits"},
    "model": {"key": "mlp", "hidden": 8, "depth": 1},
    "training": {"epochs": 1},
    "forget": {"key": "class", "classes": "3"},
    "then": [{"key": "random", "n": 40}],
    "methods": [{"key": "do_nothing"}, {"key": "gradient_descent", "epochs": 1}],
    "ensemble": {"models": 4, "chunk": 4, "strategy": "stacked"},
    "measuring": {"bootstrap": 20},
    "seed": 7,
}
DRAFT = "5e90e4ce5e90e4ce"


def drawn(page):
    """Return how many lines the picture has and how many requests the longest covers."""
    found = page.evaluate(
        """() => {
          const plot = document.querySelector(".st-key-requests-part .js-plotly-plot");
          return (plot?._fullData ?? []).filter(t => t.mode === "lines+markers").map(t => t.x.length);
        }"""
    )
    return len(found), max(found, default=0)


def test_two_requests_run_after_one_press_and_fill_one_picture(page, server):
    server.queue.remember(f"draft:{DRAFT}", {"setup": SETUP, "at": time.time()})
    page.goto(f"{server.url}/unlearn?draft={DRAFT}")
    page.get_by_text("random 40", exact=True).wait_for()
    settled(page)
    press(page.locator(".st-key-run-own button:enabled"), page.get_by_text("Request 1 of 2:"))

    def both():
        rows = server.queue.runs(limit=2)
        return len(rows) == 2 and all(row.status == "done" for row in rows)

    until(both, "both requests are done")
    page.get_by_text("Request 1 of 2:").wait_for()
    settled(page)
    page.locator(".st-key-requests-part .js-plotly-plot").first.wait_for()
    until(lambda: drawn(page) == (8, 2), "two lines in each of four panels, over both requests")
    page.get_by_role("link", name="2. random 40").click()
    page.get_by_text("Request 2 of 2:").wait_for()
