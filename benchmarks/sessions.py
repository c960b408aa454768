"""Many visitors watching one running job: how long does a tick take? Targets with ten: median 300 ms, 95 % under 1 s.

    python benchmarks/sessions.py [--sessions 10,30] [--seconds 30] [--page klom] [--json]

Starts the app on an empty store, submits a run long enough to outlast the measurement, and opens sessions over the
protocol browsers speak (WebSocket and protocol buffers): each loads the page and then, like a browser, asks for every
fragment as often as the server told it to. A tick is from asking for a fragment to the message that it is finished.
Then one session runs the page ``--reruns`` times and the server's memory is read along the way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.demo import demo_recipe  # noqa: E402 - the engine lies beside this folder
from engine.queue import Queue  # noqa: E402
from engine.store import Store  # noqa: E402

ARRIVING = 5.0
"""Seconds over which a crowd arrives, evenly: browsers do not tick in step."""


class Visitor:
    """One session: loads a page, then ticks its fragments until told to stop."""

    def __init__(self, port: int, page: str, query: str) -> None:
        self._port, self._page, self._query = port, page, query
        self.load = 0.0
        self.ticks: list[float] = []
        self.bytes = 0
        self._timers: dict[str, float] = {}

    async def open(self) -> ClientConnection:
        """Connect and load the page once."""
        socket_ = await connect(
            f"ws://127.0.0.1:{self._port}/_stcore/stream",
            subprotocols=["streamlit"],
            origin=f"http://127.0.0.1:{self._port}",
            max_size=None,
        )
        start = time.perf_counter()
        await self._rerun(socket_)
        await self._until_finished(socket_)
        self.load = time.perf_counter() - start
        return socket_

    async def watch(self, seconds: float) -> None:
        """Open the page and tick for so long."""
        socket_ = await self.open()
        end = time.perf_counter() + seconds
        try:
            while time.perf_counter() < end:
                if not self._timers:
                    await self._rerun(socket_)  # the page runs again as a whole, as after a change
                    await self._until_finished(socket_)
                    await asyncio.sleep(0.5)
                    continue
                for fragment, every in list(self._timers.items()):
                    await asyncio.sleep(every / max(1, len(self._timers)))
                    if fragment not in self._timers:
                        continue  # the page has run since, without it
                    start = time.perf_counter()
                    await self._rerun(socket_, fragment)
                    await self._until_finished(socket_, fragment)
                    self.ticks.append(time.perf_counter() - start)
        except ConnectionClosed as error:
            raise SystemExit(f"the server closed a connection: {error}") from error
        finally:
            await socket_.close()

    async def again(self, socket_: ClientConnection) -> None:
        """Run the whole page once more."""
        await self._rerun(socket_)
        await self._until_finished(socket_)

    async def _rerun(self, socket_: ClientConnection, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = self._query
        message.rerun_script.page_name = self._page
        if fragment:
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
        await socket_.send(message.SerializeToString())

    async def _until_finished(self, socket_: ClientConnection, fragment: str = "") -> None:
        """Read until the script has finished; a page that asks to be run again is followed to its end."""
        whole = not fragment
        while True:
            raw = await socket_.recv()
            self.bytes += len(raw)
            message = ForwardMsg()
            message.ParseFromString(raw)
            kind = message.WhichOneof("type")
            if kind == "new_session" and whole:
                self._timers.clear()  # whatever ticks says so again in each run of the page
            elif kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                whole = True  # the fragment asked for the page to run again
            elif kind == "auto_rerun":
                self._timers[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            elif kind == "stop_auto_rerun":
                self._timers.pop(message.stop_auto_rerun.fragment_id, None)
            elif kind == "page_not_found":
                raise SystemExit(f"there is no page {self._page!r}")
            elif kind == "script_finished":
                return


@contextlib.contextmanager
def app(store: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Serve the app on a free port and give the port and the server's process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "FORGETSCOPE_STORE": str(store)}
    server = subprocess.Popen(
        [sys.executable, "-m", "pages.server.serve", "--server.port", str(port)],
        cwd=ROOT,
        env=env,
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
        yield port, psutil.Process(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        row = Queue(Store.open(store).queue_path).compute()
        if row is not None and psutil.pid_exists(row.pid):
            os.kill(row.pid, signal.SIGTERM)
            psutil.Process(row.pid).wait(60)


async def crowd(port: int, page: str, query: str, sessions: int, seconds: float) -> dict[str, Any]:
    """Watch with so many sessions at once and return their ticks in milliseconds."""
    visitors = [Visitor(port, page, query) for _ in range(sessions)]

    async def arrive(number: int, visitor: Visitor) -> None:
        await asyncio.sleep(ARRIVING * number / sessions)
        await visitor.watch(seconds)

    await asyncio.gather(*(arrive(number, visitor) for number, visitor in enumerate(visitors)))
    ticks = sorted(1000 * tick for visitor in visitors for tick in visitor.ticks)
    if len(ticks) < 2:
        raise SystemExit("no fragment ticked: is the run over already?")
    return {
        "sessions": sessions,
        "ticks": len(ticks),
        "tick_ms_median": statistics.median(ticks),
        "tick_ms_p95": ticks[int(0.95 * (len(ticks) - 1))],
        "tick_ms_max": ticks[-1],
        "load_s_median": statistics.median(visitor.load for visitor in visitors),
        "kilobytes_per_session": statistics.mean(visitor.bytes for visitor in visitors) / 1000,
    }


async def memory(port: int, page: str, query: str, server: psutil.Process, reruns: int) -> list[tuple[int, float]]:
    """Run the page again and again in one session; return (runs, megabytes of the server) on the way."""
    visitor = Visitor(port, page, query)
    socket_ = await visitor.open()
    seen = []
    for run in range(reruns + 1):
        if run % max(1, reruns // 5) == 0:
            seen.append((run, server.memory_info().rss / 1e6))
        await visitor.again(socket_)
    await socket_.close()
    return seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", default="10,30")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--page", default="klom,unlearn")
    parser.add_argument("--reruns", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a killed benchmark leaves no server behind
    found: dict[str, Any] = {"cores": os.cpu_count(), "seconds": asked.seconds, "crowds": []}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        queue = Queue(Store.open(store).queue_path)
        recipe = demo_recipe().to_json()
        recipe["ensemble"]["models"] = 2000  # outlasts the measurement
        run = queue.submit(recipe, session="benchmark", label="a long run")
        with app(store) as (port, server):
            query = f"run={run}"
            warm = Visitor(port, "klom", query)
            asyncio.run(warm.watch(2))
            print("waiting for the first results", file=sys.stderr)
            while not queue.results(run):
                if (row := queue.run(run)).over:
                    raise SystemExit(f"the run {row.status} before anything was measured: {row.error}")
                time.sleep(0.5)
            for page in asked.page.split(","):
                for sessions in map(int, asked.sessions.split(",")):
                    found["crowds"].append(
                        {"page": page, **asyncio.run(crowd(port, page, query, sessions, asked.seconds))}
                    )
                    print(json.dumps(found["crowds"][-1]), file=sys.stderr)
            queue.request_cancel(run)
            queue.request_cancel(run)
            if asked.reruns:
                found["memory_mb"] = asyncio.run(memory(port, "klom", query, server, asked.reruns))
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for row in found["crowds"]:
        print(
            f"{row['page']}, {row['sessions']} sessions: tick median {row['tick_ms_median']:.0f} ms, "
            f"p95 {row['tick_ms_p95']:.0f} ms, longest {row['tick_ms_max']:.0f} ms ({row['ticks']} ticks), "
            f"page {row['load_s_median']:.2f} s"
        )
    for runs, megabytes in found.get("memory_mb", []):
        print(f"after {runs} reruns the server holds {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
