"""Two methods live: zoom that stays, cancel and kill, a reload, a second browser, and two runs side by side."""

import contextlib
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import open_tab, settled, until

from engine.records import Recipe

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]


def recipe(methods, **parts):
    """A small experiment whose networks take a second and whose methods take as long as they are given epochs."""
    return Recipe.from_json(
        {
            "format": 1,
            "dataset": {"key": "digits"},
            "model": {"key": "mlp", "hidden": 16},
            "training": {"epochs": 1},
            "forget": {"key": "random", "n": 50},
            "methods": methods,
            "ensemble": {"models": 4, "chunk": 4, "strategy": "stacked"},
            "measuring": {},
            "seed": 3,
            **parts,
        }
    ).to_json()


def query(page):
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def ranges(page):
    """The x and y ranges of the first panel, and how many points its longest line has."""
    return page.evaluate(
        """() => {
          const box = document.querySelector(".st-key-curves .fs-live");
          return {x: box._fullLayout.xaxis.range, y: box._fullLayout.yaxis.range,
                  hidden: box._fullData.filter(t => t.visible === "legendonly").map(t => t.legendgroup),
                  points: Math.max(...box.data.filter(t => !t.uid.startsWith("@")).map(t => t.x.length))};
        }"""
    )


def wait_for_curves(page):
    page.locator(".st-key-curves .fs-live .scatterlayer .trace").first.wait_for()


def two_methods(server, *, batch):
    slow = {"key": "gradient_descent", "epochs": 100, "batch_size": batch, "lr": 1e-5}
    methods = [{"key": "gradient_ascent"}, slow]
    return server.queue.submit(recipe(methods), session="test", label="Handwritten digits, random 50")


@pytest.fixture(scope="module")
def long_run(server):
    """Two methods, one of which takes minutes."""
    return two_methods(server, batch=4)


def test_zoom_and_hidden_lines_stay_while_new_data_come(page, server):
    run = two_methods(server, batch=10)
    page.goto(f"{server.url}/unlearn?run={run}")
    wait_for_curves(page)
    page.wait_for_function(
        "document.querySelector('.st-key-curves .fs-live').data.some(t => t.legendgroup === 'gradient_descent')"
    )
    panel = page.locator(".st-key-curves .fs-live .subplot.xy").first.bounding_box()
    before = ranges(page)
    page.mouse.move(panel["x"] + 0.2 * panel["width"], panel["y"] + 0.25 * panel["height"])
    page.mouse.down()
    page.mouse.move(panel["x"] + 0.6 * panel["width"], panel["y"] + 0.7 * panel["height"], steps=6)
    page.mouse.up()
    page.wait_for_function(
        "old => document.querySelector('.st-key-curves .fs-live')._fullLayout.xaxis.range[1] < 0.9 * old",
        arg=before["x"][1],
    )
    page.locator(".st-key-curves .legendtoggle").nth(1).click()
    page.wait_for_function(
        "document.querySelector('.st-key-curves .fs-live')._fullData.some(t => t.visible === 'legendonly')"
    )
    zoomed = ranges(page)
    page.wait_for_function(
        """old => Math.max(...document.querySelector('.st-key-curves .fs-live').data
            .filter(t => !t.uid.startsWith("@")).map(t => t.x.length)) > old""",
        arg=zoomed["points"],
    )
    after = ranges(page)
    assert after["x"] == zoomed["x"]
    assert after["y"] == zoomed["y"]
    assert set(after["hidden"]) == set(zoomed["hidden"]) == {"@original"}

    server.queue.request_cancel(run)
    server.queue.request_cancel(run)
    page.get_by_text("This run was cancelled").wait_for()
    assert ranges(page)["x"] == zoomed["x"], "also when the run is over"
    assert set(ranges(page)["hidden"]) == {"@original"}
    page.locator(".st-key-curves .fs-live").press("Escape")
    page.wait_for_function(
        "old => document.querySelector('.st-key-curves .fs-live')._fullLayout.xaxis.range[1] > old", arg=zoomed["x"][1]
    )


def test_a_reload_and_a_second_browser_show_the_same_run_under_way(page, browser, server, long_run):
    page.goto(f"{server.url}/unlearn?run={long_run}&curve=Accuracy")
    wait_for_curves(page)
    page.reload()
    wait_for_curves(page)
    page.locator(".st-key-live").wait_for()
    other = browser.new_context(viewport={"width": 900, "height": 900})
    tab = open_tab(other)
    tab.goto(page.url)
    wait_for_curves(tab)
    tab.get_by_role("radio", name="Accuracy").and_(tab.locator('[aria-checked="true"]')).wait_for()
    tab.locator('.st-key-curves .fs-live[aria-label^="Curves of accuracy"]').wait_for()
    other.close()
    assert not server.queue.run(long_run).over


def test_cancel_then_stop_at_once_is_said_in_words(page, server, long_run):
    page.goto(f"{server.url}/unlearn?run={long_run}")
    page.locator(".st-key-live").get_by_role("button", name="Cancel").click()
    until(lambda: server.queue.run(long_run).cancel == 1, "the first press arrives")
    again = page.locator(".st-key-live").get_by_role("button", name="Stop at once")
    page.get_by_text("This run was cancelled").or_(again).first.wait_for()
    if again.count() and again.first.is_visible():
        from playwright.sync_api import Error

        with contextlib.suppress(Error):  # the run may end, and the button with it, before it is pressed
            again.first.click(timeout=2000, no_wait_after=True)
    page.get_by_text("This run was cancelled").wait_for()
    assert server.queue.run(long_run).status == "cancelled"
    wait_for_curves(page)
    page.locator(".st-key-live").wait_for(state="detached")  # what was measured stays, and nothing ticks


def test_two_finished_runs_side_by_side_say_what_was_set_differently(page, server):
    ids = [
        server.queue.submit(recipe([{"key": "gradient_ascent", "lr": lr}]), session="test", label=f"rate {lr}")
        for lr in (1e-3, 1e-2)
    ]
    page.goto(f"{server.url}/unlearn?compare={','.join(ids)}")
    until(lambda: all(server.queue.run(i).status == "done" for i in ids), "both runs finish")
    page.reload()
    wait_for_curves(page)
    table = page.locator(".st-key-differences table")
    for said in ("learning rate", "0.001", "0.01"):
        table.locator("td", has_text=said).first.wait_for(state="attached")  # drawn on a canvas, read by readers
    assert table.locator("td", has_text="Seed").count() == 0, "only what differs"
    for name in ("A Gradient ascent", "B Gradient ascent"):
        page.wait_for_function(
            "name => document.querySelector('.st-key-curves .fs-live').data.some(t => t.name === name)", arg=name
        )


def test_the_form_runs_and_the_back_button_returns_to_it(page, server):
    page.goto(f"{server.url}/?models=4&training-epochs=1&seed=11")
    page.get_by_text(re.compile("About|Already")).first.wait_for()
    page.get_by_role("link", name="Unlearn", exact=True).click()
    page.locator('[class*="st-key-card-method-"]').first.wait_for()
    while page.get_by_role("button", name="Remove", exact=True).count() > 2:
        count = page.get_by_role("button", name="Remove", exact=True).count()
        page.get_by_role("button", name="Remove", exact=True).last.click()
        until(lambda c=count: page.get_by_role("button", name="Remove", exact=True).count() < c, "one goes")
        settled(page)  # while a page runs again, cards of before may still be counted
    page.get_by_text(re.compile("About|Already")).first.wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile(r"/unlearn\?.*run=[0-9a-f]{16}"))
    run = query(page)["run"]
    assert len(server.queue.run(run).recipe["methods"]) == 2
    assert server.queue.run(run).recipe["ensemble"]["models"] == 4
    wait_for_curves(page)
    page.go_back()
    page.locator('[class*="st-key-card-method-"]').nth(1).wait_for()
    until(lambda: page.get_by_role("button", name="Remove", exact=True).count() == 2, "nothing was lost")
    server.queue.request_cancel(run)


def test_plotly_comes_from_this_server_once(page, server):
    server.requests.clear()
    done = next(row.id for row in server.queue.runs() if row.status == "done")
    page.goto(f"{server.url}/unlearn?run={done}")
    wait_for_curves(page)
    page.get_by_role("radio", name="Loss").click()
    page.wait_for_function(
        "document.querySelector('.st-key-curves .fs-live')._fullLayout.yaxis.title.text.startsWith('cross')"
    )
    loaded = (
        "performance.getEntriesByType('resource').filter(e => e.initiatorType === 'script' && /media/.test(e.name))"
    )
    page.wait_for_function(f"{loaded}.some(e => e.decodedBodySize > 4_000_000)")
    assert page.evaluate(f"{loaded}.length") == 1
    assert {urlsplit(url).hostname for url in server.requests if url.startswith("http")} == {"127.0.0.1"}
