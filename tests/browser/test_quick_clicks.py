"""Clicks on a page that is still loading: none of what was chosen before is lost."""

import pytest
from conftest import open_tab, settled, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.alone]

CARDS = '[class*="st-key-card-method-"]'


def test_a_method_clicked_while_unlearn_loads_joins_the_others(browser, server):
    for _ in range(4):
        context = browser.new_context(viewport={"width": 1440, "height": 1000})
        tab = open_tab(context)  # a visitor of its own, with the methods that a setup begins with
        tab.goto(f"{server.url}/unlearn")
        pill = tab.locator(".st-key-pick button", has_text="SalUn").first
        pill.wait_for()

        def joined(tab=tab, pill=pill) -> bool:
            settled(tab)
            names = tab.locator(CARDS).all_inner_texts()
            assert sum("SalUn" not in name for name in names) >= 5, "the methods of the setup are still there"
            if any(name.startswith("SalUn") for name in names):
                return True
            pill.click()
            return False

        pill.click()
        until(joined, "SalUn has a card")
        context.close()
