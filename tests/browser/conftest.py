"""A real server, its compute process and a real browser, on a store of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
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


def pytest_collection_modifyitems(items) -> None:
    """Give a browser test that fails a second go: a busy machine's clock is not the app's fault.

    The summary still counts it ("1 rerun"), and one that needs it more than once in a while is a race to be mended.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=2))


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
        if self.port == 0:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        env = {**os.environ, "FORGETSCOPE_STORE": str(self.store), "FORGETSCOPE_DATA": str(self.store.parent / "data")}
        with (self.store.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pages.server.serve", "--server.port", str(self.port)],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(lambda: self._healthy(), 60, "the server answers")

    def _healthy(self) -> bool:
        url = f"{self.url}/_stcore/health"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own
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
            until(lambda: not compute_running(Store.open(self.store)), 30, "the compute process ends")


def until(true, seconds: float, what: str) -> None:
    """Wait until ``true()``; fail naming ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.05)


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
def server(browser) -> Iterator[Server]:  # no server without a browser
    with tempfile.TemporaryDirectory() as folder:
        made = Server(Path(folder) / "store")
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def page(browser, server) -> Iterator[object]:
    """A tab in a fresh profile; every request it makes is noted in ``server.requests``."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    tab.on("request", lambda request: server.requests.append(request.url))
    yield tab
    context.close()
