"""Bringing pictures: dragged in, looked at, chosen, run; refused when they are bad; seen by others when shared."""

import hashlib
import io
import re
import zipfile

import numpy as np
import pytest
from conftest import open_tab, settled, until
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]

NAME = "My <i>birds.zip"


def archive(**classes):
    """Return a zip with 24 small pictures of each class, every class in a colour of its own."""
    rng, out = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, colour in classes.items():
            for number in range(24):
                pixels = (rng.integers(0, 50, (8, 8, 3)) + colour).astype(np.uint8)  # (8, 8, 3)
                picture = io.BytesIO()
                Image.fromarray(pixels).save(picture, "PNG")
                packed.writestr(f"{name}/{number}.png", picture.getvalue())
    return out.getvalue()


def uploads(server):
    """The files that visitors brought and that were kept."""
    return set((server.store / "uploads").glob("*"))


def unfold(page):
    """Open the part of the page that takes files, if it is closed."""
    title = page.locator(".st-key-bring summary")
    title.wait_for()
    if not title.evaluate("node => node.closest('details').open"):
        title.click()


def drop(page, name, data, *, place=0):
    """Drop a file where the page takes one."""
    unfold(page)
    field = page.locator(".st-key-bring input[type=file]").nth(place)
    field.wait_for(state="attached")
    settled(page)
    field.set_input_files([{"name": name, "mimeType": "application/zip", "buffer": data}])


def test_a_bad_archive_is_refused_in_words(page, server):
    slip = io.BytesIO()
    with zipfile.ZipFile(slip, "w") as packed:
        packed.writestr("../../evil.png", b"x")
    before = uploads(server)
    page.goto(server.url)
    page.locator(".st-key-card-data").wait_for()
    said = page.locator(".st-key-bring [role=alert]")
    drop(page, "birds.zip", b"this is no archive" * 40)
    said.filter(has_text="birds.zip: This is not a .zip").wait_for()
    drop(page, "slip.zip", slip.getvalue())
    said.filter(has_text="names a place outside the archive").wait_for()
    assert str(server.store) not in page.content(), "no path of this machine is shown"
    assert uploads(server) == before, "what was refused is not kept"
    assert not (server.store.parent / "evil.png").exists()


def test_an_archive_is_looked_at_and_run_and_others_see_it_once_it_is_shared(page, browser, server):
    data = archive(red=(180, 20, 20), blue=(20, 20, 180))
    page.goto(f"{server.url}/?models=4&training-epochs=2&random-n=3&methods=Do+nothing")
    page.locator(".st-key-card-data").wait_for()
    drop(page, NAME, data)
    preview = page.locator(".fs-preview", has_text="blue 19")
    preview.locator("i").nth(5).wait_for()
    assert preview.locator("i").count() == 6
    page.locator(".fs-line", has_text=NAME).wait_for()
    page.get_by_text(re.compile(r"About .* of disk")).wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile(r"run=[0-9a-f]{16}"))
    run = re.search(r"run=([0-9a-f]{16})", page.url)[1]
    kept = server.store / "uploads" / f"{hashlib.sha256(data).hexdigest()}.zip"
    assert kept in uploads(server), "named by its content, not by its name"
    assert server.queue.run(run).recipe["dataset"]["path"] == str(kept)

    other = browser.new_context()
    theirs = open_tab(other)

    def offered():
        theirs.goto(server.url)
        theirs.get_by_text(re.compile(r"About .* of disk")).wait_for()  # a page that is still busy closes the list
        theirs.get_by_role("combobox", name="Data set").click()
        theirs.get_by_role("option").filter(has_text="FashionMNIST").wait_for()
        return [text for text in theirs.get_by_role("option").all_inner_texts() if "birds" in text]

    assert offered() == [], "another visitor's upload is not listed"
    page.goto(server.url)
    unfold(page)
    page.locator(".st-key-bring").get_by_text("Shared").click()
    page.locator(".st-key-bring input[aria-checked=true], .st-key-bring input:checked").first.wait_for(state="attached")
    until(lambda: offered() == [f"{NAME} (shared)"], "a shared upload is listed for others")
    other.close()

    page.goto(f"{server.url}/runs")
    row = page.locator(f".st-key-run-{run}")
    row.filter(has_text="Done").wait_for()
    row.get_by_text(f"{NAME}, random 3").wait_for()
    row.get_by_role("button", name="More").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Oracles", exact=True).click()
    assert saved.value.suggested_filename == f"forgetscope-{run[:6]}-oracle.safetensors"
    assert saved.value.path().stat().st_size > 1000
