"""The Methods page: everything in the registries, as cards."""

import pytest

from engine.metrics.scores import Scores
from pages.methods import formula

GROUPS = {
    "methods": "Methods",
    "metrics": "Metrics",
    "models": "Models",
    "datasets": "Data sets",
    "forget": "Forget sets",
}


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def cards(app):
    return [b.key.split("-")[-1] for b in app.button if (b.key or "").startswith("open-")]


def escaped(said):
    return (
        said.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("'", "&#x27;")
        .replace('"', "&quot;")
    )


@pytest.mark.parametrize("group", list(GROUPS))
def test_every_plug_in_of_every_registry_has_its_card(visit, words, group):
    app = visit("methods", group=GROUPS[group])
    assert cards(app) == [entry["key"] for entry in words[group]]
    for entry in words[group]:
        assert escaped(entry["card"]["summary"]) in text(app)


def test_a_new_plug_in_has_a_card_without_a_line_of_code(visit, words, monkeypatch):
    new = {**words["methods"][-1], "key": "brand_new", "card": {**words["methods"][-1]["card"], "name": "Brand <b>new"}}
    monkeypatch.setitem(words, "methods", [*words["methods"], new])
    app = visit("methods")
    assert cards(app)[-1] == "brand_new"
    assert "Brand &lt;b&gt;new" in text(app), "and its words are never markup"
    assert "Brand &lt;b&gt;new" not in text(visit("methods", method="scrub"))


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("theta <- theta - lr grad CE(F)", "θ ← θ − η ∇CE(F)"),
        ("KL(p || q), lambda x |w|^2", "KL(p ‖ q), λ × |w|²"),
        ("f(x; theta_0) and lrs, gradual", "f(x; θ₀) and lrs, gradual"),
        ("theta_s <- A(D_s minus F)", "θ_s ← A(D_s minus F)"),
    ],
)
def test_formulas_are_read_as_in_print(written, printed):
    assert formula.in_print(written) == printed


def test_a_formula_in_latex_is_set_as_such_and_plain_text_is_never_markup(visit, words, monkeypatch):
    card = words["methods"][-1]["card"]
    for written, latex in ((r"\frac{a}{b}", True), ("a_i < <b>b</b>", False)):
        monkeypatch.setitem(words, "methods", [{**words["methods"][-1], "card": {**card, "formula": written}}])
        app = visit("methods")
        assert [part.value for part in app.latex] == ([f"$$\n{written}\n$$"] if latex else [])
        assert ("a<sub>i</sub> &lt; &lt;b&gt;b" in text(app)) is not latex


def test_search_family_and_what_it_reads_narrow_the_cards(visit, words):
    gradient = [e for e in words["methods"] if e["card"]["family"] == "gradient"]
    both = [e["key"] for e in gradient if "forget" in e["card"]["reads"]]
    assert 0 < len(both) < len(gradient) < len(words["methods"])
    app = visit("methods")
    app.text_input("search").input("unbounded").run()
    assert cards(app) == ["neg_grad_plus", "scrub"]
    app.text_input("search").input("").run()
    app.multiselect("family").set_value(["gradient"]).run()
    assert cards(app) == [e["key"] for e in gradient]
    app.multiselect("reads").set_value(["forget"]).run()
    assert cards(app) == both
    app.text_input("search").input("no such thing").run()
    assert "Nothing fits" in text(app)


@pytest.mark.parametrize("key", ["scrub", "oracle_matching", "do_nothing"])
def test_a_link_opens_one_card_with_all_there_is_to_know(visit, words, key):
    app = visit("methods", method=key)
    entry = next(e for e in words["methods"] if e["key"] == key)
    card = entry["card"]
    assert [t.value for t in app.title] == [card["name"]]
    for name in ("summary", "cost", "fails", "departs", "paper"):
        assert escaped(card[name]) in text(app), name
    assert str(card["year"]) in text(app)
    knobs = [table.value for table in app.table]
    assert len(knobs) == (1 if entry["fields"] else 0)
    if knobs:
        assert knobs[0]["Knob"].tolist() == [field["label"] for field in entry["fields"]]
    if key == "scrub":
        row = knobs[0].set_index("Knob").loc["learning rate"]
        assert (row["Default"], row["Range"]) == ("0.002", "1e-07 to 1")


def test_open_and_back(visit):
    app = visit("methods")
    app.button("open-methods-scrub").click().run()
    assert [t.value for t in app.title] == ["SCRUB"]
    app.button("all-cards").click().run()
    assert [t.value for t in app.title] == ["Methods"]
    models = visit("methods", group="Models", card="mlp")
    assert [t.value for t in models.title] == ["MLP"]
    models.button("all-cards").click().run()
    assert models.segmented_control("group").value == "models"


def test_a_link_to_what_is_not_there_says_so(visit):
    app = visit("methods", method="<script>")
    assert "not among them" in text(app)
    assert "<script>" not in text(app)
    assert cards(app)


def test_try_it_puts_the_method_into_the_setup(visit, queue, store):
    app = visit("methods")
    app.button("try-scrub").click().run()
    assert not app.exception
    assert app.title[0].value == "Unlearn", "and goes where it is run"
    (kept,) = set(_methods(queue))
    assert kept == ("do_nothing", "scrub")
    again = visit("methods", draft=_link(queue))
    again.button("try-gradient_ascent").click().run()
    assert ("do_nothing", "scrub", "gradient_ascent") in _methods(queue), "what was chosen stays"


def _drafts(queue):
    rows = queue._database.look("SELECT name FROM notes WHERE name LIKE 'draft:%'")
    return [row["name"] for row in rows]


def _link(queue):
    return _drafts(queue)[-1].removeprefix("draft:")


def _methods(queue):
    return [tuple(m["key"] for m in queue.recall(key)["setup"]["methods"]) for key in _drafts(queue)]


def test_measured_figures_name_their_data_floor_and_number_of_models(visit, filled, queue):
    scores = next(r.payload["scores"] for r in queue.results(filled[0]) if r.method_id == "scrub")
    row = Scores.from_json(scores).wide()[0]
    said = (
        f"Best here: forget set KLOM p95 {row['klom_p95']:.1f} against a floor of {row['klom_p95_floor']:.1f} "
        "(Handwritten digits, MLP, random 50, 20 models)"
    )
    assert said in text(visit("methods"))
    app = visit("methods", method="scrub")
    assert said in text(app)
    assert [chart.key for chart in app.get("plotly_chart")] == ["measured"]
    unused = visit("methods", method="gradient_ascent")
    assert "No finished run of this store used it yet" in text(unused)
    assert not unused.get("plotly_chart")
