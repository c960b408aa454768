"""A table in a browser: a CSV is brought, its target picked, run, and a point's row read on the KLOM page."""

import contextlib
import random
import re

import pytest
from conftest import choose, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]


def people():
    """Return 80 rows: two columns of numbers, one of categories, and who earns much; five ages are missing."""
    draw = random.Random(0)
    lines = ["age,hours,job,income"]
    for i in range(80):
        age, hours, job = draw.randint(18, 80), draw.randint(5, 60), draw.choice(("nurse", "smith", "=1+1"))
        lines.append(f"{age if i % 16 else ''},{hours},{job},{'high' if age + hours > 80 else 'low'}")
    return "\n".join(lines).encode()


def test_a_csv_is_brought_its_target_picked_run_and_a_row_read(page, server):
    from playwright.sync_api import TimeoutError as NotYet

    page.goto(f"{server.url}/?models=4&training-epochs=2&random-n=3&methods=Do+nothing&model=Logistic+regression")
    page.locator(".st-key-card-data").wait_for()
    page.get_by_text("Bring your own data").click()
    field = page.locator(".st-key-bring input[type=file]").first
    field.wait_for(state="attached")
    settled(page)
    target = page.get_by_role("combobox", name="Column to predict")

    def brought() -> bool:  # a connection that a busy machine drops takes the dropped file with it
        settled(page)
        if not target.is_visible():
            field.set_input_files([{"name": "people.csv", "mimeType": "text/csv", "buffer": people()}])
        with contextlib.suppress(NotYet):
            target.wait_for(timeout=60_000)
            settled(page)
        return target.is_visible()

    until(brought, "the file is brought")
    preview = page.locator(".fs-first")
    preview.get_by_text("=1+1", exact=True).first.wait_for()
    choose(target, page.get_by_role("option", name="income (high, low)"))
    preview.get_by_text("to predict").wait_for()
    page.get_by_text("5 rows had no age: filled with").wait_for()
    page.get_by_text(re.compile(r"About .* of disk")).wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile(r"run=[0-9a-f]{16}"))
    tile = page.locator(".st-key-gallery button").nth(1)
    tile.wait_for()
    point = tile.get_attribute("data-point")
    tile.click()
    page.wait_for_url(re.compile(rf"point={point}\b"))
    page.locator("#fs-point", has_text=re.compile(rf"{point}, forget set, label (high|low)")).wait_for()
    row = page.locator(".fs-row:not(.fs-first)")
    for column in ("age", "hours", "job"):
        row.get_by_role("rowheader", name=column, exact=True).wait_for()
    assert page.locator("#fs-point img").count() == 0, "a row has no picture"
