"""Start the server: what `make app` runs. Arguments are Streamlit's own settings, such as ``--server.port 8502``.

``FORGETSCOPE_HOSTS`` lists further names to answer to, with commas, when the app is served beyond this machine on
purpose: ``FORGETSCOPE_HOSTS=lab.example.org make app``, behind a proxy or with ``--server.address``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.pages_manager import PagesManager

from engine.queue.access import LOOPBACK
from pages.server import weights
from pages.server.guard import Guard

APP = Path(__file__).resolve().parents[2] / "app.py"


def hosts() -> list[str]:
    """Return the server's known host names: loopback, and those listed in ``FORGETSCOPE_HOSTS``."""
    listed = [name.strip() for name in os.environ.get("FORGETSCOPE_HOSTS", "").split(",")]
    return [*LOOPBACK, *(name for name in listed if name)]


def settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Read ``--section.name value`` and ``--section.name=value`` into settings; numbers and truth values as such.

    Raises:
        SystemExit: anything else, in words.
    """
    values: dict[str, Any] = {}
    waiting = list(arguments)
    while waiting:
        name, given, value = waiting.pop(0).partition("=")
        if not name.startswith("--") or "." not in name or (not given and not waiting):
            raise SystemExit(f"{name}: settings look like --server.port 8502")
        text = value if given else waiting.pop(0)
        try:
            values[name.removeprefix("--")] = json.loads(text)
        except ValueError:
            values[name.removeprefix("--")] = text
    return values


def main() -> None:
    """Serve ``app.py`` until a signal.

    Streamlit takes the folder ``pages`` for its older kind of app until ``app.py`` has run once, so a link to /klom
    that is the first thing a fresh server sees would open with "Page not found". Declaring beforehand that it is not
    one avoids that.
    """
    chosen = settings(sys.argv[1:])
    PagesManager.uses_pages_directory = False
    sys.argv = [str(APP)]  # beside it lies .streamlit/config.toml
    app = st.App(APP, routes=[weights.route()], middleware=[Middleware(Guard, hosts=hosts())])
    app.run(config={"server.allowedHosts": hosts(), **chosen})


if __name__ == "__main__":
    main()
