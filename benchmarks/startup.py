"""How long until a newcomer sees the first page, and how long a change of page takes. Targets: 8 s and 1 s.

Starts the app on an empty store with a warm disk, opens it in Chromium, and measures (a) server start to the demo
button being there, (b) a click in the navigation to the next page being there. ``--json`` prints plain data.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.queue import Queue  # noqa: E402 - the engine lies beside this folder
from engine.store import Store  # noqa: E402

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
MARKS = {"Start": "[class*=st-key-demo] button", "KLOM": ".st-key-to-start button", "Runs": ".st-key-to-start button"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium here; install it with: apt-get install chromium")
    starts: list[float] = []
    switches: list[float] = []
    memory: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(asked.repeats):
            page = browser.new_context().new_page()
            start, switch, megabytes = once(page)
            starts.append(start)
            switches.extend(switch)
            memory.append(megabytes)
            page.context.close()
        browser.close()
    found: dict[str, Any] = {
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "repeats": asked.repeats,
        "first_page_seconds": {"median": statistics.median(starts), "worst": max(starts), "target": 8.0},
        "page_switch_seconds": {"median": statistics.median(switches), "worst": max(switches), "target": 1.0},
        "server_memory_mb": max(memory),
    }
    if asked.json:
        print(json.dumps(found))
        return
    print(found["hardware"])
    for name in ("first_page_seconds", "page_switch_seconds"):
        row = found[name]
        print(f"{name}: median {row['median']:.2f}, worst {row['worst']:.2f}, target {row['target']:g}")
    print(f"server_memory_mb: {found['server_memory_mb']:.0f}")


def once(page: Page) -> tuple[float, list[float], float]:
    """Return seconds to the first page, seconds of each page change, and the server's memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {**os.environ, "FORGETSCOPE_STORE": f"{folder}/store"}
        begun = time.perf_counter()
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "pages.server.serve", "--server.port", str(port)],
                cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            while True:
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1),
                ):
                    break
                time.sleep(0.02)
            page.goto(f"http://127.0.0.1:{port}")
            page.locator(MARKS["Start"]).wait_for(timeout=60_000)
            first = time.perf_counter() - begun
            page.locator(".st-key-runbar").wait_for()
            switches = []
            for name in ("KLOM", "Runs", "Start", "KLOM", "Start"):
                then = time.perf_counter()
                page.get_by_role("link", name=name, exact=True).click()
                page.locator(MARKS[name]).wait_for()
                page.wait_for_url("**/" if name == "Start" else f"**/{name.lower()}*")
                switches.append(time.perf_counter() - then)
            return first, switches, resident(server.pid)
        finally:
            server.kill()
            server.wait()
            row = Queue(Store.open(Path(folder) / "store").queue_path).compute()
            if row is not None and row.alive:
                os.kill(row.pid, signal.SIGTERM)
                while row.alive and Path(f"/proc/{row.pid}").exists():
                    time.sleep(0.05)


def resident(pid: int) -> float:
    """Return a process's resident memory in MB; 0 where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
