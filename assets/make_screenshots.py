"""Draw the pictures of every page, light and dark, wide and narrow: ``make screenshots``.

Serves the app on a store of its own, runs the demo (a minute or two), and photographs each page in Chromium into
``assets/screenshots``. ``FORGETSCOPE_STORE`` names a store to use instead, whose newest finished run is shown.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.demo import demo_recipe  # noqa: E402 - the engine lies beside this folder
from engine.experiment import resolve  # noqa: E402
from engine.queue import Queue, Shelf  # noqa: E402
from engine.store import Store  # noqa: E402

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--force-color-profile=srgb",
]
COLOURS = 256
"""Colours kept in a picture: flat pages need few, and the files stay small."""


@dataclass(frozen=True)
class Shot:
    """One page: where it is, what must be there before it is photographed, and how much of its height to show."""

    name: str
    path: str
    mark: str
    height: int = 1000
    press: str = ""
    """A button to press first, where what the mark shows is measured on request."""
    within: str = "body"
    """Where on the page that button is, as a CSS selector."""


def shots(run: str, forget: str) -> list[Shot]:
    """Return the pages, on the run and the forget set with these ids."""
    return [
        Shot("start", "/", "[class*=st-key-demo] button"),
        Shot("forget", f"/forget?set={forget}", "canvas", 1200),
        Shot("unlearn", f"/unlearn?run={run}", ".js-plotly-plot .scatterlayer .trace", 1400),
        Shot("klom", f"/klom?run={run}", ".st-key-margins .js-plotly-plot", 1500),
        Shot("missing", f"/missing?run={run}", ".st-key-moment-margins .js-plotly-plot", 2000),
        Shot("predictions", f"/predictions?run={run}", ".st-key-answers-confusion .js-plotly-plot", 1900, "Measure"),
        Shot("attention", f"/attention?run={run}", ".fs-maps img", 1500, "Measure"),
        Shot("inversion", f"/inversion?run={run}", ".fs-maps img", 1300, "Measure"),
        Shot(
            "layers",
            f"/layers?run={run}",
            ".st-key-look-twins-chart .js-plotly-plot",
            2150,
            "Measure",
            ".st-key-look-twins-part",
        ),
        Shot("methods", "/methods", "h1", 1200),
        Shot("runs", "/runs", "[class*=st-key-run-]", 800),
    ]


@contextlib.contextmanager
def served(store: Path) -> Iterator[str]:
    """Serve the app on a free port and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "pages.server.serve", "--server.port", str(port)],
        cwd=ROOT,
        env={**os.environ, "FORGETSCOPE_STORE": str(store)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
            time.sleep(0.1)
        else:
            raise SystemExit("the server did not answer within a minute")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        row = Queue(Store.open(store).queue_path).compute()
        if row is not None and row.alive:
            os.kill(row.pid, signal.SIGTERM)


def demo(browser: Browser, address: str, store: Path) -> tuple[str, str]:
    """Have a finished run and a saved forget set; return their ids."""
    queue, shelf = Queue(Store.open(store).queue_path), Shelf(Store.open(store).queue_path)
    done = [row.id for row in queue.runs() if row.status == "done"]
    if not done:
        done = [
            queue.submit(
                resolve(demo_recipe()).recipe.to_json(), session="pictures", label="Handwritten digits, random 50"
            )
        ]
        page = browser.new_page()
        page.goto(address)  # somebody looks, so a compute process starts
        while not queue.run(done[0]).over:
            time.sleep(0.5)
        page.close()
    result = queue.results(done[0])[0].payload
    data = result["spec"]["unlearned"]["original"]["data"]
    indices = Store.open(store).artefact("forget", result["forget"]).read("whole").array("indices")
    saved = shelf.save(data_hash=data, data_name="Handwritten digits", indices=indices, name="Demo: random 50")
    return done[0], saved.id


def photograph(page: Page, address: str, shot: Shot, *, width: int, dark: bool) -> bytes:
    """Return the page as PNG once it has settled."""
    page.set_viewport_size({"width": width, "height": shot.height})
    page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
    page.goto(address + shot.path)
    if shot.press:
        button = page.locator(shot.within).get_by_role("button", name=shot.press, exact=True).first
        for _ in range(120):  # what was measured before is there after a moment, in which the button is seen
            if page.locator(shot.mark).count():
                break
            with contextlib.suppress(PlaywrightError):
                button.click(timeout=1000)
    page.locator(shot.mark).first.wait_for(timeout=120_000)
    page.locator("[data-testid=stStatusWidget]").wait_for(state="detached", timeout=120_000)
    page.locator("[data-stale=true]").first.wait_for(state="detached", timeout=60_000)
    page.wait_for_timeout(1500)  # charts draw after they are there, and nothing tells when they have
    return page.screenshot()


def main() -> None:
    """Draw all pictures, or those whose name matches ``--only``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a regular expression of names, such as klom-light")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium here; install it with: apt-get install chromium")
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = Path(os.environ.get("FORGETSCOPE_STORE") or Path(folder) / "store").absolute()
        with served(store) as address:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            for shot in shots(*demo(browser, address, store)):
                for width in (1440, 900):
                    for look in ("light", "dark"):
                        name = f"{shot.name}-{look}-{width}"
                        if not re.search(asked.only, name):
                            continue
                        page = browser.new_context().new_page()
                        raw = photograph(page, address, shot, width=width, dark=look == "dark")
                        page.context.close()
                        picture = Image.open(io.BytesIO(raw)).convert("RGB")
                        picture = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
                        picture.save(asked.out / f"{name}.png", optimize=True)
                        print(asked.out / f"{name}.png")
            browser.close()


if __name__ == "__main__":
    main()
