"""A real server, its compute process and a real browser, on a store of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.launch import compute_running
from engine.queue import Queue
from engine.store import Store, process_exists

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


PATIENCE = 400.0
"""Seconds to wait for any state: far more than an idle machine needs, for a machine with ten times its load."""


def pytest_collection_modifyitems(items) -> None:
    """Let a browser test wait for several states, each with all patience, before it counts as stuck."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(1500))


def chromium() -> str | None:
    """Return the system's Chromium, None when there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Server:
    """The app on a free port; ``restart`` kills the server and leaves the compute process alone."""

    store: Path
    port: int = 0
    process: subprocess.Popen | None = None
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def queue(self) -> Queue:
        return Queue(Store.open(self.store).queue_path)

    def start(self) -> None:
        """Start the server and wait until it answers; on another port if some other program took the first."""
        for _ in range(3):
            if self.port == 0:
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    self.port = free.getsockname()[1]
            self._launch()
            until(lambda: self._healthy() or self.process.poll() is not None, "the server answers")
            if self.process.poll() is None:
                return
            self.port = 0
        raise AssertionError(f"the server ended: {(self.store.parent / 'server.log').read_text()}")

    def _launch(self) -> None:
        env = {**os.environ, "FORGETSCOPE_STORE": str(self.store), "FORGETSCOPE_DATA": str(self.store.parent / "data")}
        # -X names the store on the command line, by which tests/watchdog.py knows whose the server is.
        line = [sys.executable, "-X", f"store={self.store}", "-m", "pages.server.serve", "--server.port"]
        with (self.store.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*line, str(self.port)], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _healthy(self) -> bool:
        url = f"{self.url}/_stcore/health"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
            return answer.status == 200
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None

    def stop(self) -> None:
        """End the server, then the compute process it started."""
        self.kill()
        row = self.queue.compute()
        if row is not None and compute_running(Store.open(self.store)) and process_exists(row.pid):
            os.kill(row.pid, signal.SIGTERM)
            until(lambda: not compute_running(Store.open(self.store)), "the compute process ends")


def until(true, what: str) -> None:
    """Wait until ``true()``; fail naming ``what`` when patience is at its end."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE:g} s in vain: {what}"
        time.sleep(0.05)


def open_tab(context) -> object:
    """Return a new tab that waits for every state with all patience."""
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE * 1000)
    return tab


def settled(page) -> None:
    """Wait until the page's script has ended and nothing that it did not draw again is left of the run before."""
    page.wait_for_function(
        """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === "notRunning"
          && !document.querySelector('[data-stale="true"]')"""
    )


def fits(page) -> bool:
    """Return whether nothing sticks out to the right."""
    return page.evaluate(
        "document.querySelector('.stMain').scrollWidth <= document.querySelector('.stMain').clientWidth"
    )


def choose(box, option) -> None:
    """Choose ``option`` from the list that a click on ``box`` opens; a page that is still busy closes it again."""
    from playwright.sync_api import TimeoutError as NotYet

    def chosen() -> bool:
        with contextlib.suppress(NotYet):
            if not option.is_visible():
                box.click(timeout=20_000)
            option.click(timeout=5000)
            return True
        return False

    until(chosen, "the option is chosen")


def press(button, leads_to) -> None:
    """Press ``button`` until ``leads_to`` is there: a page that runs again under a press can lose it."""
    from playwright.sync_api import TimeoutError as NotYet

    def there() -> bool:
        with contextlib.suppress(NotYet):
            if button.is_visible():
                button.click(timeout=5000)
        with contextlib.suppress(NotYet):
            leads_to.wait_for(timeout=20_000)
            return True
        return False

    until(there, "the press leads somewhere")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here; install it with: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="install it with: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory) -> Iterator[Server]:  # no server without a browser
    made = Server(tmp_path_factory.mktemp("server") / "store")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def page(browser, server) -> Iterator[object]:
    """A tab in a fresh profile; every request it makes is noted in ``server.requests``."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    tab = open_tab(context)
    tab.on("request", lambda request: server.requests.append(request.url))
    yield tab
    context.close()
