"""The demo of looking closer: each page's row holds the numbers of its own analyses."""

import benches
import pytest

from engine.analyses import make_analysis
from engine.cli.looking import PAGES, _markdown

QUICK = {"inversion": {"steps": 3}}


def measure(choice):
    plugin = make_analysis({**choice, **QUICK.get(choice["key"], {})})
    return plugin.measure(benches.bench(plugin), seed=0, progress=benches.quiet)


@pytest.mark.parametrize("page", PAGES)
def test_a_row_stands_beside_the_oracles_and_the_floor(page):
    row = PAGES[page](measure)
    assert any("floor" in name for name in row)
    assert any("now" in name for name in row)
    assert any("before" in name for name in row)
    assert all(row.values()), "no cell is empty"
    text = _markdown(page, {"scrub": row, "unsir": row})
    assert text.splitlines()[0] == f"**{page}**"
    assert {line.count("|") for line in text.splitlines()[2:]} == {len(row) + 2}
