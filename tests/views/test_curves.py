import itertools
import json
import math

import known
import pytest
from measured import scores

from engine.queue import FramesRow
from engine.records import SPLITS
from engine.theme import DARK, LIGHT
from engine.views import compare, curves, palette, standing

NAMES = {"scrub": "SCRUB", "gradient_ascent": "Gradient ascent"}


def stand(margin, sd=0.5, **more):
    return {
        "margin": margin,
        "margin_sd": sd,
        "accuracy": 0.9,
        "accuracy_sd": 0.01,
        "loss": 0.2,
        "loss_sd": 0.1,
        **more,
    }


def frame(step, margin, total=10, **more):
    return {
        "step": step,
        "total": total,
        "seen": 64 * step,
        "cost": 300.0 * step,
        "seconds": 0.5 * step,
        "losses": {"loss": 1.0},
        **{split: stand(margin) for split in SPLITS},
        **more,
    }


def reference(role, margin, chunk="00000-00004", cost=6000.0):
    level = {split: stand(margin, sd=1.0) for split in SPLITS}
    return FramesRow("r", f"@{role}", chunk, ({**level, "cost": cost, "seconds": 20.0},))


def rows(*, second=True):
    found = [
        reference("oracle", 2.0),
        reference("original", 8.0),
        FramesRow("r", "scrub", "00000-00004", (frame(0, 8.0), frame(5, 4.0), frame(10, 2.5))),
    ]
    if second:
        found.append(FramesRow("r", "scrub", "00004-00016", (frame(0, 8.0), frame(5, 6.0))))
    return found


def at(found, step, split="forget", method="scrub"):
    ways = curves.ways(found)
    return ways[(ways["method"] == method) & (ways["split"] == split) & (ways["step"] == step)].iloc[0]


def test_chunks_weigh_by_their_networks_and_the_spread_is_that_of_all_together():
    here = at(curves.frame(rows(), NAMES), 5)
    assert here["margin"] == pytest.approx((4 * 4.0 + 12 * 6.0) / 16)
    between = (4 * (4.0 - 5.5) ** 2 + 12 * (6.0 - 5.5) ** 2) / 16
    assert here["margin_sd"] == pytest.approx(math.sqrt(0.25 + between))
    assert here["models"] == 16
    assert at(curves.frame(rows(), NAMES), 10)["models"] == 4, "a chunk that is not as far does not count"


def test_compute_and_time_are_shares_of_a_retrain_once_an_oracle_is_there():
    found = curves.frame(rows(), NAMES)
    assert at(found, 10)["share"] == pytest.approx(3000 / 6000)
    without = curves.frame([row for row in rows() if row.method_id == "scrub"], NAMES)
    assert math.isnan(at(without, 10)["share"])
    assert standing.now(found).iloc[0]["time_share"] == pytest.approx(2.5 / 20), "where most networks are"


def test_methods_keep_the_recipes_order_and_unknown_ones_stay_out():
    some = [*rows(), FramesRow("r", "gradient_ascent", "00000-00004", (frame(0, 8.0),)),
            FramesRow("r", "else", "00000-00004", (frame(0, 1.0),))]  # fmt: skip
    assert list(dict.fromkeys(curves.ways(curves.frame(some, NAMES))["method"])) == list(NAMES)


def test_a_frame_without_a_quantity_leaves_a_gap_and_no_zero():
    old = frame(0, 8.0)
    for split in SPLITS:
        del old[split]["loss"], old[split]["loss_sd"]
    found = curves.frame([FramesRow("r", "scrub", "00000-00004", (old,))], NAMES)
    assert math.isnan(at(found, 0)["loss"])
    drawn = curves.figure(found, LIGHT, quantities=("loss",))
    assert [trace.y for trace in drawn.data] == [(None,)] * 3


def test_nothing_measured_is_an_empty_figure_and_not_an_error():
    found = curves.frame([], NAMES)
    assert found.empty
    assert standing.now(found).empty
    assert len(curves.figure(found, LIGHT).data) == 0
    only = curves.frame([reference("oracle", 2.0)], NAMES)
    assert {trace.uid for trace in curves.figure(only, LIGHT).data} >= {"@oracle|margin|forget", "@band|margin|test"}


def test_the_band_is_mean_and_sd_of_the_oracles_and_spans_the_axis():
    drawn = curves.figure(curves.frame(rows(), NAMES), LIGHT)
    band = next(trace for trace in drawn.data if trace.uid == "@band|margin|forget")
    assert set(band.y) == {1.0, 3.0}
    assert max(band.x) == 10, "to where the method will end, from its first frame on"
    early = [r for r in rows(second=False) if r.method_id != "scrub"]
    early.append(FramesRow("r", "scrub", "00000-00004", (frame(0, 8.0), frame(5, 4.0))))
    for axis, end in (("step", 10), ("seen", 640), ("share", 0.5)):
        drawn = curves.figure(curves.frame(early, NAMES), LIGHT, axis=axis)
        assert max(next(t for t in drawn.data if t.uid == "@band|margin|forget").x) == pytest.approx(end), axis


def test_every_trace_keeps_its_name_while_methods_come_in_so_that_hidden_lines_stay_hidden():
    first = curves.figure(curves.frame(rows(second=False), NAMES), LIGHT, revision="a")
    more = [*rows(), FramesRow("r", "gradient_ascent", "00000-00004", (frame(0, 8.0),))]
    second = curves.figure(curves.frame(more, NAMES), LIGHT, revision="a")
    assert {trace.uid for trace in first.data} < {trace.uid for trace in second.data}
    assert len({trace.uid for trace in second.data}) == len(second.data)
    assert first.layout.uirevision == second.layout.uirevision == "a"


def test_a_tick_carries_little():
    names = {f"m{i}": f"Method {i}" for i in range(8)}
    whole = [reference("oracle", 2.0), reference("original", 8.0)]
    for method in names:
        frames = tuple(frame(i, 8.0 / 3 - i / 7, total=12) for i in range(13))
        whole += [FramesRow("r", method, f"{20 * i:05d}-{20 * i + 20:05d}", frames) for i in range(5)]
    drawn = curves.figure(curves.frame(whole, names), LIGHT)
    assert len(json.dumps(drawn.to_plotly_json(), default=str)) < 40_000


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    lin = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * lin[0] + 0.7152 * lin[1] + 0.0722 * lin[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_method_colours_are_legible_and_never_an_originals_or_an_oracles(colours):
    shades = [palette.hue(place, colours) for place in range(-3, 8)]
    assert len(set(shades)) == len(shades)
    assert all(contrast(shade, colours.paper) >= 3 for shade in shades)
    assert not set(shades) & {colours.original, colours.oracle}

    def distance(one, other):
        return sum((int(one[i : i + 2], 16) - int(other[i : i + 2], 16)) ** 2 for i in (1, 3, 5)) ** 0.5

    for shade in shades:
        assert min(distance(shade, colours.original), distance(shade, colours.oracle)) > 60, shade
    assert all(distance(a, b) > 60 for a, b in itertools.combinations(shades[3:8], 2)), "the first five"


def test_references_are_grey_and_methods_count_without_them():
    found = palette.places(known.facts(["do_nothing", "scrub", "retrain", "oracle_matching"]))
    assert found == {"do_nothing": -1, "scrub": 0, "retrain": -2, "oracle_matching": 1}


def test_the_sentence_names_who_is_inside_and_who_passed():
    some = [*rows(second=False), FramesRow("r", "gradient_ascent", "00000-00004", (frame(10, -3.0),))]
    summary = standing.sentence(standing.now(curves.frame(some, NAMES)))
    assert summary == "Among the oracles on the forget set: SCRUB. Below them: Gradient ascent."
    assert "No method" in standing.sentence(standing.now(curves.frame([rows()[0], rows()[3]], NAMES)))


RECIPE = {
    "dataset": {"key": "digits"},
    "model": {"key": "mlp", "hidden": 32},
    "training": {"epochs": 2, "lr": 0.1},
    "forget": {"key": "random", "n": 50},
    "methods": [{"key": "scrub", "lr": 5e-4}, {"key": "scrub", "lr": 1e-3}],
    "ensemble": {"models": 8},
    "measuring": {},
    "seed": 0,
}


def test_only_settings_that_differ_are_listed():
    assert compare.differences({"A": RECIPE, "B": RECIPE}).empty
    other = {
        **RECIPE,
        "training": {"epochs": 3, "lr": 0.1},
        "methods": [{"key": "scrub", "lr": 5e-4}, {"key": "gradient_ascent", "lr": 0.1}],
        "seed": 4,
    }
    found = compare.differences({"A": RECIPE, "B": other})
    told = {(row["part"], row["setting"]): (row["A"], row["B"]) for row in found.to_dict("records")}
    assert told == {
        ("Training", "epochs"): ("2", "3"),
        ("method:scrub:2", ""): ("yes", "–"),
        ("method:gradient_ascent", ""): ("–", "yes"),
        ("Seed", ""): ("0", "4"),
    }
    changed = {**RECIPE, "methods": [RECIPE["methods"][0], {"key": "scrub", "lr": 2e-3}]}
    (row,) = compare.differences({"A": RECIPE, "B": changed}).to_dict("records")
    assert (row["part"], row["setting"], row["A"], row["B"]) == ("method:scrub:2", "lr", "0.001", "0.002")


def test_numbers_side_by_side_put_the_best_on_the_forget_set_first():
    def numbers(klom):
        return scores(*({"split": split, "klom_p95": klom, "accuracy": 0.9} for split in SPLITS), models=8)

    entries = [compare.Entry("A", "scrub", "SCRUB", numbers(5.0)), compare.Entry("B", "scrub", "SCRUB", numbers(2.0))]
    found = compare.frame(entries)
    assert list(found["run"]) == ["B"] * 3 + ["A"] * 3
    assert compare.frame([]).empty
    drawn = compare.figure(found, LIGHT)
    assert [list(bar.y) for bar in drawn.select_traces({"type": "bar"})] == [[2.0, 5.0]] * 3
    assert list(next(drawn.select_traces({"type": "bar"})).x) == ["B SCRUB", "A SCRUB"]
    assert len(compare.figure(compare.frame([]), LIGHT).layout.annotations) == 1, "one panel, empty"


def test_curves_of_several_runs_lie_over_each_other():
    one, two = curves.frame(rows(), NAMES), curves.frame(rows(second=False), NAMES)
    whole = compare.overlaid({"A": one, "B": two})
    assert list(dict.fromkeys(whole["name"])) == ["A SCRUB", "B SCRUB", "Original", "Oracle"]
    assert len({t.uid for t in curves.figure(whole, DARK).data}) == len(curves.figure(whole, DARK).data)
    assert compare.overlaid({"A": curves.frame([], NAMES)}).empty


@pytest.mark.parametrize("key", ["partial_retrain", "deltagrad"])
@pytest.mark.parametrize("compared", [False, True])
def test_a_method_that_starts_from_scratch_does_not_press_the_others_into_one_line(key, compared):
    """Catches a list of such methods that DeltaGrad is missing from, and ids that a comparison of runs makes longer."""
    fresh = FramesRow("r", key, "00000-00004", (frame(0, -300.0), frame(5, 1.0), frame(10, 1.5)))
    names = {**NAMES, key: "A fresh one"}
    table = curves.frame([*rows(), fresh], names, known.facts(names))
    picture = curves.figure(compare.overlaid({"A": table}) if compared else table, LIGHT)
    low, high = picture.layout.yaxis.range
    assert -5 < low < 1.0, "the oracle's band and the end of the retrain are in view, its start is not"
    assert high > 9.0, "the original's band as well"
    assert curves.figure(curves.frame(rows(), NAMES), LIGHT).layout.yaxis.range is None


def test_of_many_methods_the_closest_to_the_oracle_are_drawn():
    found = curves.frame(rows(), NAMES, known.facts(NAMES))
    methods = list(dict.fromkeys(curves.ways(found)["method"]))
    away = standing.now(found).set_index("method")["off_forget"].abs()
    fewer = standing.nearest(found, len(methods) - 1)
    (left_out,) = set(methods) - set(fewer["method"])
    assert away[left_out] == away[[m for m in methods if m not in known.REFERENCES]].max()
    assert standing.nearest(found, 99) is found
