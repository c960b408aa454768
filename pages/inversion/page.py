"""Inversion: what can be drawn from the weights, and does it take networks that saw the pictures?"""

from pages.inversion import parts
from pages.ui import subject

here = subject.choose(
    "Inversion", "What can be drawn from the weights now, and what from networks that never saw the pictures?"
)
if here is not None:
    parts.draw(here)
