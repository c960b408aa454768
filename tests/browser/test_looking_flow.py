"""Looking closer at a real run: each page measured at a press, one subject, stopped, taken away, at every width."""

import re
from pathlib import Path

import pytest
from conftest import fits, settled, until

from engine.records import Recipe

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]

RECIPE = Recipe.from_json(
    {
        "format": 1,
        "dataset": {"key": "digits", "per_class": 20},
        "model": {"key": "cnn", "channels": 2},
        "training": {"epochs": 2},
        "forget": {"key": "class", "classes": "3"},
        "methods": [{"key": "do_nothing"}, {"key": "gradient_descent", "epochs": 1}],
        "ensemble": {"models": 4, "chunk": 4, "strategy": "stacked"},
        "measuring": {"bootstrap": 20},
        "seed": 11,
    }
).to_json()
CHOSEN = "Gradient descent"
PAGES = {
    "Predictions": ".st-key-answers-predictions .js-plotly-plot",
    "Attention": ".st-key-attention-attention .js-plotly-plot",
    "Inversion": ".st-key-inversion-chart .js-plotly-plot",
}
"""Pages that measure at a press, and the first chart of each."""


@pytest.fixture(scope="module")
def run(server):
    made = server.queue.submit(RECIPE, session="looking", label="A few digits")
    return made


def go(page, title: str) -> None:
    """Go to another page of the group, as a visitor does."""
    page.get_by_role("button", name="Look closer").click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=title).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()
    settled(page)


def test_each_page_is_measured_at_a_press_about_one_subject_and_taken_away(page, server, run, tmp_path):
    page.goto(f"{server.url}/missing?run={run}&method={CHOSEN.replace(' ', '+')}")
    until(lambda: server.queue.run(run).over, "the run is done")
    assert server.queue.run(run).status == "done"
    page.locator(".st-key-missing-missing .js-plotly-plot").wait_for()
    settled(page)
    for title, chart in PAGES.items():
        go(page, title)
        assert page.get_by_role("radio", name=CHOSEN).is_checked(), "the method goes along"
        page.get_by_role("button", name="Measure", exact=True).click()
        page.locator(chart).first.wait_for()
        settled(page)
        page.get_by_role("radio", name="Download").first.click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Numbers (CSV)").first.click()
        taken = tmp_path / f"{title}.csv"
        download.value.save_as(taken)
        head = Path(taken).read_text().splitlines()[0]
        assert "role" in head.split(","), head
        page.emulate_media(color_scheme="dark")
        for width in (1440, 900, 390):
            page.set_viewport_size({"width": width, "height": 900})
            until(lambda: fits(page), f"nothing sticks out at {width}")
        page.set_viewport_size({"width": 1440, "height": 1000})
        page.emulate_media(color_scheme="light")
        settled(page)
    assert re.search(f"run={run}", page.url)


def test_an_analysis_is_stopped_and_begun_again(page, server, run):
    page.goto(f"{server.url}/inversion?run={run}&method={CHOSEN.replace(' ', '+')}&inversion-steps=5000")
    until(lambda: server.queue.run(run).over, "the run is done")
    settled(page)
    page.get_by_role("button", name="Measure", exact=True).click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_text("Inversion: stopped.").wait_for()
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_text("Inversion: stopped.").wait_for()


def test_marks_on_the_twin_maps_are_chosen_and_made_a_forget_set(page, server, run):
    page.goto(f"{server.url}/layers?run={run}&method={CHOSEN.replace(' ', '+')}")
    until(lambda: server.queue.run(run).over, "the run is done")
    settled(page)
    page.locator(".st-key-look-twins-part").get_by_role("button", name="Measure").click()
    plot = page.locator(".st-key-look-twins-chart .js-plotly-plot")
    plot.wait_for()
    settled(page)
    plot.scroll_into_view_if_needed()

    def chosen() -> bool:
        box = plot.locator(".nsewdrag").first.bounding_box()
        if box is None:  # the map is being drawn again
            return False
        left, top, right, bottom = box["x"] + 4, box["y"] + 4, box["x"] + box["width"] - 4, box["y"] + box["height"] - 4
        page.mouse.move(left, top)
        page.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 2)):
            page.mouse.move(x, y, steps=4)
        page.mouse.up()
        page.wait_for_timeout(1000)
        return page.get_by_text(re.compile(r"\d+ pictures chosen")).is_visible()

    until(chosen, "pictures are chosen")
    page.get_by_role("button", name="Forget these instead").click()
    page.get_by_text("chosen on a map").first.wait_for()
    page.wait_for_url(re.compile("/unlearn"))
