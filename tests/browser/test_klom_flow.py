"""KLOM as an instrument and the Methods gallery in a browser, on toy runs; neighbours come from the real engine."""

import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Server, fits, open_tab, until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pages"))

import toy

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def shown(browser, tmp_path_factory):
    """A server of its own, on a store with one finished run; returns the server and the run."""
    own = Server(tmp_path_factory.mktemp("shown") / "store")
    run = toy.fill(own.store, models=40)
    try:
        own.start()
        yield own, run
    finally:
        own.stop()


def query(page):
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def test_two_methods_a_click_shows_the_picture_and_the_link_shows_the_same(page, shown, browser):
    server, run = shown
    page.goto(f"{server.url}/klom?run={run}&method=SCRUB")
    page.get_by_role("radio", name="Two methods").click()
    dots = page.locator(".st-key-versus .scatterlayer .point")
    dots.nth(5).wait_for()
    page.wait_for_function("document.querySelector('.st-key-versus .js-plotly-plot')._fullLayout !== undefined")
    dots.nth(5).click(force=True)
    page.wait_for_url(re.compile(r"point=\d+"))
    point = query(page)["point"]
    picture = page.locator("#fs-point img")
    page.locator("#fs-point dd", has_text=re.compile(rf"^{point}, forget set")).wait_for()
    src = picture.get_attribute("src")

    other = browser.new_context(viewport={"width": 900, "height": 900})
    tab = open_tab(other)
    tab.goto(page.url)
    tab.locator("#fs-point dd", has_text=re.compile(rf"^{point}, forget set")).wait_for()
    tab.locator(f"#fs-point img[src='{src}']").wait_for()
    tab.locator(".st-key-versus .scatterlayer .point").first.wait_for()
    tab.locator(".st-key-enough .scatterlayer path").first.wait_for()
    until(lambda: fits(tab), "nothing sticks out to the right")
    other.close()


def test_statistic_shape_and_convention_stay_through_a_reload(page, shown):
    server, run = shown
    page.goto(f"{server.url}/klom?run={run}")
    page.get_by_role("radio", name="Violin").click()
    page.locator(".st-key-statistic").get_by_role("radio", name="Median").click()
    page.get_by_role("radio", name="easydub").click()
    page.get_by_text("this run asked for paper").wait_for()
    page.reload()
    page.get_by_text("this run asked for paper").wait_for()
    page.locator(".st-key-distribution .violinlayer path").first.wait_for()
    page.get_by_text("KLOM, median over points (nats)").wait_for()


def test_neighbours_are_found_by_the_compute_process_and_can_be_walked_to(page, shown):
    server, run = shown
    page.goto(f"{server.url}/klom?run={run}&point=7")
    page.get_by_role("button", name="Find the pictures most like it").click()
    near = page.locator(".st-key-alike button")
    near.first.wait_for()
    near.nth(5).wait_for()
    assert near.count() == 6
    target = near.first.get_attribute("data-point")
    near.first.click()
    page.locator("#fs-point dd", has_text=re.compile(rf"^{target}, ")).wait_for()
    until(lambda: query(page).get("point") == target, "the link names the neighbour")


def test_next_is_reached_with_the_keyboard(page, shown):
    server, run = shown
    page.goto(f"{server.url}/klom?run={run}")
    first = page.locator("#fs-point dd").first
    first.wait_for()
    before = first.inner_text()
    page.get_by_role("button", name="Next", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"point=\d+"))
    page.locator("#fs-point dd", has_text=re.compile(rf"^{query(page)['point']}, ")).first.wait_for()
    page.wait_for_function("old => document.querySelector('#fs-point dd').innerText !== old", arg=before)


def test_from_a_card_to_its_run(page, shown):
    server, run = shown
    page.goto(f"{server.url}/methods")
    page.get_by_label("Search").fill("unbounded")
    page.get_by_label("Search").press("Enter")
    page.locator(".st-key-card-methods-retrain").wait_for(state="detached")
    page.locator(".st-key-card-methods-scrub").get_by_role("button", name="Open").click()
    page.wait_for_url(re.compile(r"method=scrub"))
    page.get_by_role("heading", name="SCRUB").wait_for()
    page.set_viewport_size({"width": 900, "height": 1000})
    dot = page.locator(".st-key-measured .scatterlayer .point").first
    dot.wait_for()
    until(lambda: fits(page), "nothing sticks out to the right")
    page.wait_for_function("document.querySelector('.st-key-measured .js-plotly-plot')._fullLayout !== undefined")
    dot.click(force=True)
    page.wait_for_url(re.compile(rf"/klom\?.*run={run}"))
    page.locator(".st-key-headline .scatterlayer .point").first.wait_for()


def test_the_inspector_opens_over_a_page_walks_with_the_url_and_closes_with_escape(page, shown):
    server, _ = shown
    page.goto(f"{server.url}/forget?point=7")
    dialog = page.get_by_role("dialog")
    dialog.locator("#fs-point dd", has_text=re.compile(r"^7, ")).wait_for()
    # Until its map is there the page asks for it every second, and a tick that carries the old URL may undo a click.
    page.locator(".st-key-map .map[data-ready]").wait_for(state="attached")
    dialog.locator("#fs-point dd", has_text=re.compile(r"^7, ")).wait_for()
    dialog.get_by_role("button", name="Next", exact=True).click()
    dialog.locator("#fs-point dd", has_text=re.compile(r"^8, ")).wait_for()
    until(lambda: query(page).get("point") == "8", "the link names the next point")
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.wait_for_function("!location.search.includes('point=')")


def test_the_ways_of_pictures_fit_every_width_and_the_subject_goes_along(page, shown):
    server, run = shown
    page.goto(f"{server.url}/missing?run={run}&method=SCRUB")
    chart = page.locator(".st-key-missing-missing .js-plotly-plot .scatterlayer .trace").first
    chart.wait_for(state="attached")
    page.locator(".st-key-moment-margins .js-plotly-plot").first.wait_for()
    for width in (1440, 900, 390):
        page.set_viewport_size({"width": width, "height": 900})
        until(lambda: fits(page), f"nothing sticks out at {width}")
    page.emulate_media(color_scheme="dark")
    chart.wait_for(state="attached")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name="Next").first.click()
    page.wait_for_url(re.compile(r"point=\d+"))
    page.get_by_role("button", name="Look closer").click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text="Layers").click()
    page.get_by_role("heading", name="Layers").wait_for()
    page.wait_for_url(re.compile(f"run={run}"))
    assert page.get_by_role("radio", name="SCRUB").is_checked(), "the method goes along"
