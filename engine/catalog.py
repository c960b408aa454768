"""What the registries hold, as plain data: for documents, the command line, and pages, which must not import torch."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.cards import MethodFacts
from engine.knobs import Configured
from engine.records import Recipe, digest
from engine.store import Store, StoreError
from engine.store.files import replace_file
from engine.training import EnsembleSize, Measuring, Training

ENGINE = Path(__file__).resolve().parent
EXTRAS = (
    "order",
    "starts",
    "called",
    "tuned",
    "suits",
    "reference",
    "needs",
    "last_convolution",
    "smallest",
    "forms",
    "exhibits",
    "tabular",
    "about",
    "over",
    "requires",
)


def describe() -> dict[str, Any]:
    """Return every plug-in's key, card and knobs by family, and the knobs of training, ensemble and measuring.

    Imports every plug-in, and so torch: about two seconds in a fresh process.
    """
    from engine.analyses import analyses
    from engine.data import datasets
    from engine.forget import selectors
    from engine.metrics import metrics
    from engine.models import architectures
    from engine.prerequisites import prerequisites
    from engine.unlearners import unlearners

    families = {
        "datasets": datasets(),
        "models": architectures(),
        "forget": selectors(),
        "methods": unlearners(),
        "metrics": metrics(),
        "analyses": analyses(),
        "prerequisites": prerequisites(),
    }
    entries: dict[str, Any] = {name: [_plugin(p) for p in plugins.values()] for name, plugins in families.items()}
    for name, settings in (("training", Training), ("ensemble", EnsembleSize), ("measuring", Measuring)):
        entries[name] = [field.describe() for field in settings.fields()]
    return entries


def load(store: Store) -> dict[str, Any]:
    """Return :func:`describe` without importing torch: from the store, or from a process of its own once per change.

    Raises:
        StoreError: the engine cannot describe itself; the text holds the last line it printed.
    """
    cached = store.path / f"catalog-{_fingerprint()}.json"
    try:
        return json.loads(cached.read_text())
    except (OSError, ValueError):
        pass  # not there yet, or cut short by a full disk: made again below
    text = _run_catalog()
    catalog = json.loads(text)
    # A cache that cannot be written costs two seconds next time, nothing else.
    with contextlib.suppress(OSError):
        replace_file(cached, text.encode(), temporary=store.path / "unfinished")
        for old in store.path.glob("catalog-*.json"):
            if old != cached:
                old.unlink(missing_ok=True)
    return catalog


def references(words: Mapping[str, Any]) -> dict[str, str]:
    """Return the kind of each method that is a reference, by its key: "do nothing", "retrain" or "partial retrain"."""
    return {entry["key"]: entry["reference"] for entry in words["methods"] if entry["reference"]}


def method_facts(words: Mapping[str, Any], recipe: Recipe) -> dict[str, MethodFacts]:
    """Return what views need of a recipe's methods, by their ids; an unknown method counts as no reference."""
    entries = {entry["key"]: entry for entry in words["methods"]}
    facts = {}
    for method_id, choice in zip(recipe.methods_ids(), recipe.methods, strict=True):
        facts[method_id] = MethodFacts(choice.key)
        if entry := entries.get(choice.key):
            knobs = {field["name"]: field["default"] for field in entry["fields"]} | dict(choice.settings)
            starts = str(knobs.get(entry["starts"], entry["starts"]))
            facts[method_id] = MethodFacts(choice.key, starts, entry["reference"])
    return facts


def _run_catalog() -> str:
    """Return what ``python -m engine catalog`` prints.

    Raises:
        StoreError: it failed, or took over five minutes.
    """
    try:
        process = subprocess.run(
            [sys.executable, "-m", "engine", "catalog"],
            cwd=ENGINE.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"The engine could not list its methods: {error}") from error
    if process.returncode != 0:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise StoreError(f"The engine could not list its methods: {last}")
    return process.stdout


def _plugin(plugin: type[Configured]) -> dict[str, Any]:
    extras = {name: getattr(plugin, name, None) for name in EXTRAS}
    if hasattr(plugin, "presets"):
        extras["presets"] = {kind: preset.describe() for kind, preset in plugin.presets().items()}
    return {
        "key": plugin.key,
        "card": plugin.card.describe(),  # type: ignore[attr-defined]
        "fields": [field.describe() for field in plugin.fields()],
        **{n: _plain(v) for n, v in extras.items() if v is not None and not callable(v)},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _fingerprint() -> str:
    files = sorted([*ENGINE.rglob("*.py"), *ENGINE.rglob("*.json")])
    stats = [(str(f.relative_to(ENGINE)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return digest([sys.version, stats])[:16]
