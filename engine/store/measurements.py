"""How the measurement of an analysis lies in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.measurement import Measurement
from engine.store.artefact import Artefact
from engine.store.parts import PartWriter
from engine.store.root import Store


def save(out: PartWriter, measurement: Measurement) -> None:
    """Write a measurement as one part."""
    for name, array in measurement.arrays.items():
        out.arrays(name, array)
    out.json("facts", measurement.facts)


def load(artefact: Artefact, parts: Sequence[str]) -> Measurement:
    """Return the measurement in these parts, joined along the networks where there are several.

    Raises:
        StoreError: one is missing or damaged.
    """
    measured = []
    for part in map(artefact.read, parts):
        names = sorted(name.removesuffix(".npy") for name in part.files if name.endswith(".npy"))
        measured.append(Measurement({name: np.array(part.array(name)) for name in names}, part.json("facts")))
    return Measurement.join(measured)


def answered(store: Store, answer: Mapping[str, Any]) -> Measurement:
    """Return the measurement that the answer to a question of the kind "analysis" names.

    Raises:
        StoreError: it is gone from the store, or damaged.
    """
    return load(store.artefact(answer["kind"], answer["spec"]), answer["parts"])
