"""Choosing what to forget by looking: a lasso on the map, a near-duplicate, a name, a link; in a real browser."""

import io
import re
import time
import zipfile
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import choose, open_tab, settled
from PIL import Image

from engine.queue import Shelf
from engine.records import digest
from engine.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]

PER_CLASS = 20
COPIED = 3
INSIDE = """() => {
  const find = (node) => node.fsMap
    ?? [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.children].map(find).find(Boolean);
  const map = find(document.querySelector(".st-key-map"));
  return WHAT;
}"""
"""Reads something off the map's own state."""


def query(page):
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def png(array):
    file = io.BytesIO()
    Image.fromarray(array.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def archive(path):
    """Write train/ and test/ with two classes of noisy colours; the first three of each have near copies."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as file:
        for c, name in enumerate(("dark", "light")):
            for i in range(PER_CLASS):
                picture = rng.uniform(0, 110, (20, 20, 3)) + 140 * c
                file.writestr(f"train/{name}/{i:02d}.png", png(picture))
                file.writestr(f"test/{name}/{i:02d}.png", png(picture[::-1]))
                if i < COPIED:
                    file.writestr(f"train/{name}/{i:02d}-copy.png", png(picture + rng.normal(0, 2, picture.shape)))


@pytest.fixture(scope="module")
def link(server):
    """A setup that looks at the archive, as its link."""
    data = server.store.parent / "data"
    data.mkdir(exist_ok=True)
    archive(data / "shades.zip")
    setup = {"dataset": {"key": "folder", "path": str(data / "shades.zip")}}
    name = digest(setup)[:16]
    server.queue.remember(f"draft:{name}", {"setup": setup, "at": time.time()})
    return f"{server.url}/forget?draft={name}"


def size(page):
    """The number of chosen pictures that the page states."""
    return int(page.locator("#fs-chosen").inner_text().split(" of ")[0].replace(",", ""))


def changed(page, before):
    """Wait until another number of pictures is chosen, and return it."""
    page.wait_for_function(
        "before => { const said = document.querySelector('#fs-chosen')?.innerText;"
        " return said && parseInt(said.replace(',', '')) !== before; }",
        arg=before,
    )
    return size(page)


def drag(page, corners):
    """Draw a line on the map through corners given as shares of its width and height."""
    box = page.locator(".st-key-map canvas").bounding_box()
    spots = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=4)
    page.mouse.up()


def ready(page):
    page.locator(".st-key-map .map[data-ready]").wait_for()


def test_a_lasso_a_near_duplicate_a_name_and_a_link(page, server, link, browser):
    page.goto(link)
    ready(page)
    assert size(page) == 0
    total = 2 * (PER_CLASS + COPIED)
    page.get_by_text(f"0 of {total} training pictures chosen").wait_for()

    # A lasso around the left part of the map; across is the direction of most variation, so dark or light.
    drag(page, [(0.02, 0.02), (0.4, 0.02), (0.45, 0.5), (0.4, 0.98), (0.02, 0.98)])
    first = changed(page, 0)
    tiles = page.locator(".st-key-grid .picture")
    tiles.nth(min(first, 40) - 1).wait_for()
    one = query(page)["set"]
    saved = Shelf(Store.open(server.store).queue_path).saved(one)
    assert saved.size == first, "what the page says is what is kept"
    labels = {int(n) // (PER_CLASS + COPIED) for n in saved.numbers()}
    assert len(labels) == 1, "one side of the map is one class"

    # Shift adds a box on the other side; the browser's back takes it away again.
    page.locator(".st-key-map").get_by_role("button", name="Box").click()
    page.keyboard.down("Shift")
    drag(page, [(0.55, 0.02), (0.98, 0.98)])
    page.keyboard.up("Shift")
    both = changed(page, first)
    assert both > first
    page.go_back()
    assert changed(page, both) == first
    assert query(page)["set"] == one

    # Unpick one of a pair: its twin is among the chosen, so it is missed at once.
    page.locator(".st-key-twins").wait_for(state="detached")
    shelf = Shelf(Store.open(server.store).queue_path)
    tiles.first.click()  # the first picture of its class, whose copy comes next
    assert changed(page, first) == first - 1
    warning = page.locator(".st-key-twins")
    warning.get_by_text("1 near-duplicate stays in retain").wait_for()
    warning.get_by_role("button", name="See the pairs").click()
    page.locator(".st-key-grid .two .picture").nth(1).wait_for()
    warning.get_by_role("button", name="Choose it too").click()
    assert changed(page, first - 1) == first
    warning.wait_for(state="detached")

    # A name, and a reload.
    settled(page)
    page.get_by_placeholder("Name this set").fill("One side")
    page.get_by_placeholder("Name this set").press("Enter")
    page.locator(".st-key-save button:not([disabled])").click()
    page.get_by_text("“One side”").wait_for()
    assert [s.name for s in shelf.named(saved.data_hash)] == ["One side"]
    page.reload()
    ready(page)
    page.get_by_text("“One side”").wait_for()
    assert size(page) == first

    # Another browser opens the same link.
    other = browser.new_context(viewport={"width": 900, "height": 900}, color_scheme="dark")
    tab = open_tab(other)
    tab.goto(page.url)
    ready(tab)
    tab.get_by_text("“One side”").wait_for()
    assert size(tab) == first
    assert query(tab) == query(page)
    other.close()


def test_recolouring_keeps_the_view_and_hover_shows_the_picture(page, link):
    page.goto(link)
    ready(page)
    canvas = page.locator(".st-key-map canvas")
    canvas.focus()
    for key in ("+", "+", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    said = page.locator(".st-key-map .said")
    view = INSIDE.replace("WHAT", "map.view")
    before = page.evaluate(view)
    colours = page.locator(".st-key-colour [role=combobox], .st-key-colour input").first
    choose(colours, page.get_by_role("option", name="Chosen or not"))
    page.locator(".st-key-map .legend", has_text="everything else").wait_for()
    assert page.evaluate(view) == before
    assert before["s"] > 0

    page.locator(".st-key-map").get_by_role("button", name=re.compile("Show everything")).click()
    canvas.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("node => node.textContent.length > 0", arg=said.element_handle())
    box = canvas.bounding_box()
    first = "[map.w / 2 + (map.xy[0] - map.view.x) * map.view.s, map.h / 2 - (map.xy[1] - map.view.y) * map.view.s]"
    spot = page.evaluate(INSIDE.replace("WHAT", first))
    page.mouse.move(box["x"] + spot[0], box["y"] + spot[1])
    card = page.locator(".st-key-map .card")
    card.get_by_text(re.compile(r"^Picture \d+, label dark")).wait_for()
    url = card.locator(".thumb").evaluate("node => node.style.backgroundImage.slice(5, -2)")
    assert page.request.get(urlsplit(page.url)._replace(path=url, query="").geturl()).headers["content-type"] in (
        "image/png",
        "image/jpeg",
    )
