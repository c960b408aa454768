"""A plotly figure that is redrawn in place, so that the visitor's zoom and hidden lines outlive new data.

A small component without a build step. plotly.js is the one inside the plotly package; the browser fetches it once from
this server (:mod:`pages.ui.served`) and a tick carries only the figure's numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st

from engine.views.base import CHART_CONFIG
from pages.ui import served

_CSS = """
.fs-live { width: 100%; }
.fs-live:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 2px; border-radius: 6px; }
.fs-live .failed { font: 14px/1.4 var(--st-font); color: var(--st-text-color); }
"""

_JS = """
function plotly(address) {
  // One copy for all charts and pages of this tab.
  globalThis.forgetscopePlotly ??= new Promise((resolve, reject) => {
    if (globalThis.Plotly) return resolve(globalThis.Plotly);
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      script.remove();
      globalThis.forgetscopePlotly = undefined;
      reject(new Error("not loaded"));
    };
    document.head.appendChild(script);
  });
  return globalThis.forgetscopePlotly;
}

export default function ({ data, parentElement }) {
  let box = parentElement.querySelector(".fs-live");
  if (!box) {
    box = document.createElement("div");
    box.className = "fs-live";
    box.tabIndex = 0;
    box.setAttribute("role", "img");
    parentElement.appendChild(box);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && globalThis.Plotly && box.data) box.reset();
    });
  }
  box.setAttribute("aria-label", data.alt);
  box.style.minHeight = data.figure.layout.height + "px";
  box.latest = data;
  plotly(data.plotly).then((Plotly) => {
    if (box.latest !== data || !box.isConnected) return;
    box.reset = () => {
      const all = {};
      for (const name of Object.keys(box.layout))
        if (/^[xy]axis/.test(name)) {
          const first = data.figure.layout[name].range;
          if (first) all[name + ".range"] = [...first];
          else all[name + ".autorange"] = true;
        }
      Plotly.relayout(box, all);
    };
    const drawn = structuredClone(data.figure);  // plotly writes into what it is given
    Plotly.react(box, drawn.data, drawn.layout, data.config);
    if (!box.watched) {
      box.watched = new ResizeObserver(() => { if (box.data && box.clientWidth) Plotly.Plots.resize(box); });
      box.watched.observe(box);
    }
  }).catch(() => {
    box.innerHTML = '<p class="failed">The chart could not be loaded. Reload the page.</p>';
  });
  return () => {
    // Runs when the chart leaves the page, and not when it only gets new data.
    if (box.isConnected) return;
    box.watched?.disconnect();
    globalThis.Plotly?.purge(box);
  };
}
"""

_chart = st.components.v2.component("forgetscope_curves", css=_CSS, js=_JS, isolate_styles=False)


@st.cache_resource(max_entries=1, show_spinner=False)
def _source() -> bytes:
    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()


def address() -> str:
    """Return where the browser finds plotly.js; call it in every full run of a page that draws live charts."""
    return served.address(_source(), "text/javascript", key="plotly.js")


def draw(figure: go.Figure, *, plotly_js: str, key: str, alt: str) -> None:
    """Draw or redraw a figure; what the visitor zoomed and hid stays while its ``uirevision`` does.

    ``plotly_js`` is :func:`address`; ``alt`` says in words what is shown.
    """
    data: dict[str, Any] = {
        "figure": figure.to_plotly_json(),
        "config": {**CHART_CONFIG, "doubleClick": "reset+autosize", "responsive": False},
        "plotly": plotly_js,
        "alt": alt,
    }
    _chart(key=key, data=data)
