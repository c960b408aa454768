"""Methods: what everything in the registries is, as cards; a card is a link."""

from pages.methods import cards
from pages.ui import draft, frame

frame.line(draft.current())
cards.page()
