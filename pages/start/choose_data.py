"""Choosing the data of an experiment: included, own or published data sets; and a preview."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from engine.knobs import BadSetting
from engine.launch import ROOT
from engine.records import Choice
from engine.specs import DataSpec
from engine.store import StoreError
from pages.start import target, upload
from pages.ui import asking, nouns, say, workspace

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".csv")
_OWN = "own:"
_MOST_LISTED = 200


def data_folder() -> Path:
    """Return the only folder whose pictures a page offers: ``FORGETSCOPE_DATA``, else ``data`` beside ``engine``."""
    return Path(os.environ.get("FORGETSCOPE_DATA") or ROOT / "data").expanduser().absolute()


def own_pictures() -> dict[str, str]:
    """Return folders, archives and tables in :func:`data_folder` by name; visitors choose one, without paths."""
    try:
        entries = sorted(data_folder().iterdir(), key=lambda path: path.name.lower())
    except OSError:
        return {}
    paths = [p for p in entries if not p.name.startswith(".") and (p.is_dir() or p.name.lower().endswith(_ARCHIVES))]
    return {path.name: str(path) for path in paths[:_MOST_LISTED]}


def facts(choice: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return name, hash, classes, shape and sizes of a data set that was read before, ``None`` of any other."""
    try:
        artefact = DataSpec(Choice.from_json(dict(choice), "dataset")).artefact(workspace.store())
        return artefact.read("whole").json("info") if artefact.has("whole") else None
    except (StoreError, BadSetting):
        return None


def picker(words: Mapping[str, Any], seed: Mapping[str, Any], reasons: list[str]) -> dict[str, Any]:
    """Draw the choice of data set and what is known about it; ``seed`` is what a setup chose before.

    What keeps it from being used is added to ``reasons``.
    """
    own = own_pictures()
    by_family: dict[str, list[Mapping[str, Any]]] = {}
    for entry in words["datasets"]:
        by_family.setdefault(entry["card"]["family"], []).append(entry)
    downloads = [entry["key"] for entry in by_family.get("download", [])]
    uploads = {upload.option(one.id): one for one in upload.listed()}
    linked = upload.of_dataset(dict(seed))
    if linked is not None:
        uploads.setdefault(upload.option(linked.id), linked)
    offered = [entry["key"] for entry in by_family.get("embedded", [])]
    offered += [*uploads, *(_OWN + name for name in own), *downloads]
    labels = _labels(words, offered, uploads, downloads)
    default = _option(seed, own, offered)
    # A new upload is chosen as soon as it was read.
    fresh = st.session_state.pop("pick-data", None)
    if fresh in offered:
        st.session_state["data"] = fresh
    picked = st.selectbox(
        "Data set",
        offered,
        index=offered.index(default),
        format_func=labels.__getitem__,
        key="data",
        bind="query-params",
        label_visibility="collapsed",
    )
    if picked in uploads:
        choice = upload.dataset(uploads[picked])
    elif picked.startswith(_OWN):
        path = own[picked.removeprefix(_OWN)]
        choice = {"key": "folder", "path": path}
        if path.lower().endswith(".csv"):
            choice = {"key": "csv", "path": path, "target": ""}
    else:
        choice = {"key": picked}
    nouns.use({"dataset": choice})
    if choice["key"] == "csv":
        choice["target"] = target.picker(choice["path"], seed, reasons)
        if not choice["target"]:
            return choice
    _about(words, choice, reasons, download=picked in downloads)
    return choice


def _labels(
    words: Mapping[str, Any], offered: list[str], uploads: Mapping[str, Any], downloads: list[str]
) -> dict[str, str]:
    """Return what each choice is called; names are what the URL holds, so no two are the same."""
    labels: dict[str, str] = {}
    for one in offered:
        if one in uploads:
            mine = uploads[one].owner == workspace.visitor()
            name = f"{uploads[one].name} ({'yours' if mine else 'shared'})"
        elif one.startswith(_OWN):
            name = one.removeprefix(_OWN)
        else:
            name = say.card_name(words, "datasets", one) + (" (download)" if one in downloads else "")
        taken = name in labels.values()
        labels[one] = f"{name} {one.removeprefix('up:')[:6]}" if taken else name
    return labels


def _option(seed: Mapping[str, Any], own: Mapping[str, str], offered: list[str]) -> str:
    """Return the choice that a recipe's data set stands for, the first of all when it is not offered."""
    known = upload.of_dataset(dict(seed))
    if known is not None:
        option = upload.option(known.id)
    else:
        name = next((name for name, path in own.items() if path == seed.get("path")), None)
        option = str(seed.get("key")) if name is None else _OWN + name
    return option if option in offered else offered[0]


def _about(words: Mapping[str, Any], choice: dict[str, Any], reasons: list[str], *, download: bool) -> None:
    known = facts(choice)
    if known is not None:
        values, height, width = known["shape"]
        size = f"{width}×{height} pixels"
        if "columns" in known:
            size = say.count(len(known["columns"]), "column")
            size += "" if values == len(known["columns"]) else f" ({values:,} values a row with categories spread out)"
        note(
            f"{known['train']:,} {known.get('noun', 'picture')}s to train on, {known['test']:,} to test, {size}, "
            f"{say.count(len(known['classes']), 'class', 'classes')}."
            + (" Fetched before; needs no network." if download else "")
        )
        return
    entry = next(entry for entry in words["datasets"] if entry["key"] == choice["key"])
    summaries = {"folder": "Your pictures, one folder per class.", "csv": "Your table."}
    note(summaries.get(choice["key"]) or entry["card"]["summary"])
    if download:
        fetching = f"fetch-{choice['key']}"
        if not st.session_state.get(fetching):
            note("Needs the network once; nothing about you is sent.")
            if st.button("Fetch it", key="fetch"):
                st.session_state[fetching] = True
                st.rerun()
            reasons.append(nouns.spoken("Fetch the pictures first; then what the run takes can be said."))
            return
    elif choice["key"] not in ("folder", "csv") and not entry.get("tabular"):
        return  # included in a package: the estimate reads it
    reply = asking.ask({"kind": "data", "dataset": choice}, key="data")
    if reply.ready:
        st.rerun()
    elif reply.error:
        if download:
            st.session_state.pop(f"fetch-{choice['key']}", None)
        reasons.append(say.sentence(reply.error))
    else:
        asking.wait(reply, what="Fetching" if download else nouns.spoken("Reading the pictures"), key="data")
        reasons.append(nouns.spoken("The pictures are being read."))


def note(text: str) -> None:
    """Draw a small line of text."""
    st.html(f'<p class="fs-small">{say.escaped(text)}</p>')
