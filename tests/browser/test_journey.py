"""What a newcomer does, in a real browser with a real compute process: one story, told in order."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import open_tab, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]


def query(page):
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def test_a_link_into_a_fresh_server_has_its_frame(page, server):
    page.goto(f"{server.url}/klom")
    page.get_by_role("button", name="Go to Start").wait_for()
    page.locator(".fs-line").wait_for()
    assert page.get_by_text("Page not found").count() == 0
    page.get_by_role("button", name="Go to Start").click()
    page.get_by_role("button", name="Run the demo").wait_for()


@pytest.mark.timeout(1800)
def test_from_the_demo_to_one_point_with_a_reload_in_the_middle(page, server):
    before = [row.id for row in server.queue.runs()]
    page.goto(server.url)
    page.get_by_role("button", name="Run the demo").click()
    page.wait_for_url(re.compile(r"/klom\?.*run=[0-9a-f]{16}"))
    run = query(page)["run"]

    dots = page.locator(".st-key-headline .scatterlayer .point")
    dots.first.wait_for(timeout=600_000)
    page.get_by_text(re.compile(r"models of each kind so far, of 100")).wait_for()
    page.locator(".st-key-live").wait_for()

    page.locator(".st-key-gallery button").nth(2).click()
    page.wait_for_url(re.compile(r"point=\d+"))
    point = query(page)["point"]
    page.locator("#fs-point", has_text=re.compile(rf"^.*{point}, forget set, label \d")).wait_for()
    page.locator(".st-key-margins .scatterlayer path").first.wait_for()

    page.reload()
    page.locator("#fs-point", has_text=f"{point}, forget set").wait_for()
    assert query(page)["run"] == run
    assert not server.queue.run(run).over, "the reload came in the middle"

    page.locator(".st-key-live").wait_for(state="detached", timeout=900_000)
    settled(page)
    page.get_by_text("100 models of each kind.").wait_for()
    assert server.queue.run(run).status == "done"
    assert query(page)["point"] == point, "the picture filled in and the point stayed"
    assert [row.id for row in server.queue.runs()] == [run, *before], "reloading started nothing twice"


def test_a_click_on_a_dot_shows_its_point(page, server):
    page.goto(f"{server.url}/klom")
    forget = page.locator(".st-key-distribution .subplot.xy .scatterlayer .point")
    forget.first.wait_for()
    before = page.locator("#fs-point dd").first.inner_text()
    forget.first.click(force=True)
    page.wait_for_url(re.compile(r"point=\d+"))
    page.locator("#fs-point dd", has_text=re.compile(rf"^{query(page)['point']}, forget set")).first.wait_for()
    page.wait_for_function("old => document.querySelector('#fs-point dd').innerText !== old", arg=before)


def test_a_click_on_a_method_looks_closer_at_it(page, server):
    page.goto(f"{server.url}/klom")
    nothing = page.locator(".st-key-headline .subplot.xy .scatterlayer .point").first
    nothing.wait_for()
    page.wait_for_function("document.querySelector('.st-key-headline .js-plotly-plot')._fullLayout !== undefined")
    nothing.click(force=True)
    page.wait_for_url(re.compile(r"method="))
    page.get_by_role("radio", name=query(page)["method"]).and_(page.locator('[aria-checked="true"]')).wait_for()


def test_the_demo_opens_at_once_the_second_time(page, server):
    before = [row.id for row in server.queue.runs()]
    page.goto(server.url)
    page.get_by_role("button", name="Run the demo").click()
    page.wait_for_url(re.compile(r"/klom\?.*run="))
    page.locator(".st-key-headline .scatterlayer .point").first.wait_for()
    assert [row.id for row in server.queue.runs()] == before


def test_an_own_experiment_has_its_price_and_can_be_cancelled(page, server):
    page.goto(f"{server.url}/?models=2000&training-epochs=200&seed=7")
    page.get_by_text(re.compile(r"About .* of disk")).wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile(r"/klom\?.*run="))
    run = query(page)["run"]
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("This run was cancelled").wait_for()
    assert server.queue.run(run).status == "cancelled"
    assert server.queue.run(run).recipe["ensemble"]["models"] == 2000

    page.goto(f"{server.url}/runs")
    page.locator(f".st-key-run-{run}", has_text="Cancelled").wait_for()


def test_a_restarted_server_shows_the_same_run(page, server):
    done = next(row.id for row in server.queue.runs() if row.status == "done")
    server.kill()
    server.start()
    page.goto(f"{server.url}/klom?run={done}")
    page.locator(".st-key-headline .scatterlayer .point").first.wait_for()
    page.locator(".fs-line").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_follow_the_theme(browser, server, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 900})
    tab = open_tab(context)
    done = next(row.id for row in server.queue.runs() if row.status == "done")
    tab.goto(f"{server.url}/klom?run={done}")
    title = tab.locator(".st-key-headline .annotation-text").first
    title.wait_for()

    def bright(read):
        return sum(map(int, re.findall(r"\d+", tab.evaluate(read))[:3])) > 382

    paper = "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    ink = "getComputedStyle(document.querySelector('.st-key-headline .annotation-text')).fill"
    until(lambda: bright(paper) == (scheme == "light"), f"the page is {scheme}")
    until(lambda: bright(ink) == (scheme == "dark"), "and the chart's words stand out from it")
    context.close()


def test_no_request_left_this_machine(page, server):
    for path in ("/", "/klom", "/runs"):
        page.goto(server.url + path)
        page.locator(".fs-line").wait_for()
    hosts = {urlsplit(url).hostname for url in server.requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
