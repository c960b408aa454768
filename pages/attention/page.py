"""Attention: where does it look now, and where would it look had it never seen the picture?"""

from pages.attention import parts
from pages.ui import subject

here = subject.choose(
    "Attention", "Where do the networks look now, and where do networks look that never saw the picture?"
)
if here is not None:
    parts.draw(here)
