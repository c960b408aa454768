"""Formulas from cards, which are plain text, in the letters and signs of print."""

from __future__ import annotations

import re

import streamlit as st

from pages.ui import say

_SIGNS = (
    (r"<-", "←"),
    (r"\|\|", "‖"),
    (r"\bgrad\b\s*", "∇"),
    (r"\btheta_0\b", "θ₀"),
    (r"\btheta(?![a-zA-Z])", "θ"),
    (r"\balpha(?![a-zA-Z])", "α"),
    (r"\bbeta(?![a-zA-Z])", "β"),
    (r"\bgamma(?![a-zA-Z])", "γ"),
    (r"\blambda(?![a-zA-Z])", "λ"),
    (r"\bsum\b", "Σ"),
    (r"\^2\b", "²"),
    (r"(?<=\s)x(?=\s)", "×"),
    (r"(?<=\s)-(?=\s)", "−"),
    (r"\blr\b", "η"),
)


def in_print(text: str) -> str:
    """Return a plain formula with Greek letters and signs: "theta <- theta - lr grad CE(F)" is "θ ← θ − η ∇CE(F)"."""
    for pattern, sign in _SIGNS:
        text = re.sub(pattern, sign, text)
    return text


def draw(text: str) -> None:
    """Show a formula: LaTeX where it is written in LaTeX, else plain text in print."""
    if "\\" in text:
        st.latex(text)
    elif text:
        lowered = re.sub(r"_(\w+)", r"<sub>\1</sub>", say.escaped(in_print(text)))
        st.html(f'<p class="fs-formula">{lowered}</p>')
