import pytest

from engine.records import SPLITS
from engine.theme import DARK, DASH, LIGHT, MARKER, fade, look, template


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_data_and_words_can_be_seen_on_their_paper(colours):
    for role in ("original", "unlearned", "oracle"):
        assert contrast(colours.hue(role), colours.paper) >= 3.0, role
    assert contrast(colours.ink, colours.paper) >= 7.0
    assert contrast(colours.quiet, colours.paper) >= 4.5


def test_splits_differ_in_line_and_marker_and_roles_in_hue():
    assert len({DASH[s] for s in SPLITS}) == len({MARKER[s] for s in SPLITS}) == 3
    for colours in (LIGHT, DARK):
        assert len({colours.hue(r) for r in ("original", "unlearned", "oracle")}) == 3


def test_the_page_colours_and_the_chart_colours_agree():
    import tomllib
    from pathlib import Path

    theme = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())["theme"]
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        assert theme[name]["backgroundColor"] == colours.paper
        assert theme[name]["textColor"] == colours.ink
        assert theme[name]["borderColor"] == colours.line
    assert look(dark=True) is DARK
    assert look(dark=False) is LIGHT


def test_charts_let_the_page_shine_through():
    made = template(DARK)
    assert made.layout.paper_bgcolor == made.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert made.layout.font.color == DARK.ink
    assert fade("#0072B2", 0.5) == "rgba(0,114,178,0.5)"
