"""Predictions: what is it called now, and what would networks call it that never saw it?"""

from pages.predictions import parts
from pages.ui import subject

here = subject.choose(
    "Predictions", "What do the networks call the pictures now, and what would they had they never seen them?"
)
if here is not None:
    parts.draw(here)
