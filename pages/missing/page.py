"""Missing targets: when does each picture pass its target, and does one stopping point suit them all?"""

from pages.missing import parts
from pages.ui import subject

here = subject.choose(
    "Missing targets", "When does each forgotten picture come to where networks that never saw it stand, and stay?"
)
parts.advance()
if here is not None:
    parts.draw(here)
