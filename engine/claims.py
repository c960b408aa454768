"""What a method's paper claims, and whether a request is of that kind. Torch-free: checked before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

CLAIMS: Mapping[str, str] = MappingProxyType(
    {
        "whole classes": "Made for whole classes",
        "linear models": "Made for logistic regression",
        "SGD": "Made for training with SGD",
    }
)
"""The kinds of request a card may name, with how a sentence about them begins; a card that names none claims all."""
_LINEAR = frozenset({"logistic"})


def off_label(claims: Sequence[str], setup: Mapping[str, Any]) -> str:
    """Return why a request lies outside what a method's paper claims; empty when it does not.

    ``setup`` is a recipe in JSON, of which "before", "forget", "model" and "training" are looked at. Pictures listed by
    number may be whole classes: the sentence leaves that open.
    """
    model = setup["model"]
    others = {one.get("key") for one in (*setup.get("before", ()), setup["forget"])} - {"class"}
    reasons = []
    for claim in claims:
        if claim == "whole classes" and others:
            listed = others == {"indices"}
            reasons.append(CLAIMS[claim] + (": fits if the listed pictures are" if listed else ", and this is not one"))
        if claim == "linear models" and model.get("key") not in _LINEAR:
            reasons.append(f"{CLAIMS[claim]}, elsewhere an approximation")
        if claim == "SGD" and setup.get("training", {}).get("optimizer", "sgd") != "sgd":
            reasons.append(f"{CLAIMS[claim]}, and this recipe trains otherwise")
    return " ".join(f"{one}." for one in reasons)
