"""How the measurement of an analysis is named and lies in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.measurement import Measurement
from engine.store.artefact import Artefact
from engine.store.parts import PartWriter
from engine.store.pieces import Piece
from engine.store.root import Store

ANALYSIS, EXPLORATION = "analysis", "exploration"
"""Kinds of artefacts: of a run's networks, freed with the last run that made them; of the data, for all who come."""


def exploration_spec(
    analysis: Mapping[str, Any], data_hash: str, *, original: Mapping[str, Any] | None = None, part: str = ""
) -> dict[str, Any]:
    """Return what names an analysis of a data set, ``analysis`` with its key and every setting.

    ``original`` is the spec of the networks it looks through, in the chunk ``part``, if it does.
    """
    of: dict[str, Any] = {"data": data_hash}
    if original is not None:
        of |= {"original": dict(original), "part": part}
    return {"analysis": dict(analysis), "of": of}


def analysis_spec(
    analysis: Mapping[str, Any], of: Mapping[str, Any], *, parts: Sequence[str] = (), point: int | None = None
) -> dict[str, Any]:
    """Return what names an analysis of networks ``of`` an evaluation.

    ``parts`` are the chunks that are looked at together; none where each is a part of the artefact by itself.
    """
    return {
        "analysis": dict(analysis),
        "of": dict(of),
        **({"parts": list(parts)} if parts else {}),
        **({} if point is None else {"point": point}),
    }


def networks_of(store: Store, spec: Mapping[str, Any], part: str) -> list[Piece]:
    """Return the networks that one part of an analysis belongs to: the unlearned ones, of a run as such its oracles."""
    of = spec["of"]
    kind, networks = ("unlearned", of["unlearned"]) if "unlearned" in of else ("trained", of["oracle"])
    key = store.artefact(kind, networks).key
    return [Piece(kind, key, each) for each in spec.get("parts", [part])]


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
