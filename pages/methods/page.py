"""Methods: what everything in the registries is, as cards; a card is a link."""

from pages.ui import draft, frame, method_cards

frame.line(draft.current())
method_cards.page()
