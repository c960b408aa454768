"""Flags to a complete recipe, and recipes read from files."""

import io
import json
from pathlib import Path

import pytest

from engine.cli import recipes
from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.records import Recipe
from engine.training import EnsembleSize, Measuring, Training

SETTINGS = [
    (part, field)
    for part, settings in (("training", Training), ("ensemble", EnsembleSize), ("measuring", Measuring))
    for field in settings.fields()
]


def other(field):
    """Return a value that is allowed and not the default."""
    if field.knob.choices:
        return next(c for c in field.knob.choices if c != field.default)
    if field.kind == "bool":
        return not field.default
    if field.kind == "int":
        return int(field.default) + 1
    return field.default / 2 if field.default else field.knob.high / 2


def made(command, *flags):
    said = command("recipe", *flags)
    assert said.status == 0, said.err
    return json.loads(said.out)


def test_a_bare_recipe_has_every_default_filled_in(command):
    found = made(command)
    assert Recipe.from_json(found).to_json() == found
    assert resolve(Recipe.from_json(found)).recipe.to_json() == found, "nothing is left to fill in"
    assert found["dataset"] == {"key": "digits", "per_class": 0, "flipped": 0.0}
    assert found["model"]["key"] == "mlp"
    assert found["forget"] == {"key": "random", "n": 50, "percent": 0.0}
    assert found["ensemble"]["models"] == 100
    assert found["seed"] == 0
    assert [m["key"] for m in found["methods"]] == [
        *("do_nothing", "gradient_descent", "gradient_ascent", "neg_grad_plus"),
        *("scrub", "oracle_matching"),
    ]


@pytest.mark.parametrize(("part", "field"), SETTINGS, ids=[f"{part}.{field.name}" for part, field in SETTINGS])
def test_every_setting_has_a_flag(command, part, field):
    value = other(field)
    said = str(value).lower() if field.kind == "bool" else value
    found = made(command, f"--{field.name.replace('_', '-')}", said)
    assert found[part][field.name] == value
    plain = made(command)
    del found[part][field.name]
    plain[part].pop(field.name, None)  # some are left out at their defaults
    assert found == plain, "and it changes nothing else"


def test_plug_ins_take_their_settings_behind_colons(command):
    found = made(
        command, "--model", "mlp:hidden=16:depth=2", "--seed", 7,
        "--methods", "scrub:lr=0.001:optimizer=sgd, partial_retrain:share=0.2,partial_retrain:share=5e-1",
    )  # fmt: skip
    assert found["model"] == {"key": "mlp", "hidden": 16, "depth": 2}
    assert found["seed"] == 7
    assert (found["methods"][0]["lr"], found["methods"][0]["optimizer"]) == (0.001, "sgd")
    assert [m.get("share") for m in found["methods"]] == [None, 0.2, 0.5]


def test_bars_make_a_grid_and_ranges_are_drawn(command):
    found = made(command, "--methods", "do_nothing,scrub:lr=1e-4|1e-3:epochs=5|10:gamma=0.5")["methods"]
    assert [(m.get("lr"), m.get("epochs"), m.get("gamma")) for m in found] == [
        (None, None, None), (1e-4, 5, 0.5), (1e-3, 5, 0.5), (1e-4, 10, 0.5), (1e-3, 10, 0.5)]  # fmt: skip
    drawn = made(command, "--seed", 3, "--methods", "scrub*6:lr=1e-5..1e-2")["methods"]
    assert drawn == made(command, "--seed", 3, "--methods", "scrub*6:lr=1e-5..1e-2")["methods"]
    assert len({m["lr"] for m in drawn}) == 6
    assert all(1e-5 <= m["lr"] <= 1e-2 for m in drawn)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("random:7", {"key": "random", "n": 7}),
        ("class:3,5", {"key": "class"}),
        ("cluster:4", {"key": "cluster"}),
        ("outliers:50", {"key": "outliers"}),
    ],
)
def test_forget_forms(command, text, wanted):
    found = made(command, "--forget", text)["forget"]
    assert wanted.items() <= found.items()
    assert resolve(Recipe.from_json(made(command, "--forget", text))).selector.settings() == {
        k: v for k, v in found.items() if k != "key"
    }


def test_a_file_of_indices_is_read_into_the_recipe(command, tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("5\n3\n4\n9\n")
    found = made(command, "--forget", f"indices:{path}")
    path.unlink()
    assert found["forget"] == {"key": "indices", "indices": "3-5,9", "name": ""}


def test_a_path_becomes_a_folder_of_pictures(command, tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    digits = {"key": "digits", "per_class": 0, "flipped": 0.0}
    assert made(command, "--dataset", "digits")["dataset"] == digits, "a key is a key"
    for text in ("./digits", str(tmp_path / "digits")):
        assert made(command, "--dataset", text)["dataset"] == {
            "key": "folder",
            "per_class": 0,
            "path": str(tmp_path / "digits"),
        }


def test_a_recipe_is_read_from_a_file_and_from_standard_input(command, tmp_path, monkeypatch):
    found = made(command, "--models", 4)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(found))
    assert recipes.read(str(path)).to_json() == found
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(found)))
    assert recipes.read("-").to_json() == found
    for settings in ("training", "ensemble", "measuring", "seed"):
        del found[settings]
    path.write_text(json.dumps(found))
    assert recipes.read(str(path)).to_json() == made(command), "what is left out takes its default"


def test_a_relative_path_is_taken_from_where_the_command_runs(command, tmp_path, monkeypatch):
    found = {**made(command), "dataset": {"key": "folder", "path": "pictures"}}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(found))
    monkeypatch.chdir(tmp_path)
    assert recipes.read(str(path)).dataset.settings["path"] == str(Path.cwd() / "pictures")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.update(format=9), "format must be 1"),
        (lambda r: r.pop("format"), "format must be 1"),
        (lambda r: r.update(metod=[]), "unknown part 'metod'"),
        (lambda r: r.update(methods=[]), "at least one method"),
        (lambda r: r.update(methods=[{"key": "amnesia"}]), "unknown method 'amnesia'"),
        (lambda r: r.update(methods=[{"key": "scrub", "lr": 10**400}]), "far out of range"),
        (lambda r: r.update(methods=[{"key": "scrub", "lr": None}]), "must be a number"),
        (lambda r: r.update(dataset="digits"), "must be an object"),
        (lambda r: r.update(dataset={"key": "folder", "path": "\ud800"}), "recipe: "),
        (lambda r: r.update(training=3), "training must be an object"),
        (lambda r: r.update(seed=True), "seed"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(command, refused, tmp_path, change, says):
    wrong = made(command)
    change(wrong)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(wrong))
    assert says in refused("run", path, "--store", tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text", [b"", b"[[", b"\xff\xfe", b"[" * 100_000, b"1" * 5000], ids=range(5))
def test_a_file_that_is_not_json_is_refused(refused, tmp_path, text):
    path = tmp_path / "recipe.json"
    path.write_bytes(text)
    assert "is not JSON" in refused("run", path, "--store", tmp_path / "store")


def test_values_keep_their_kind():
    read = [recipes._scalar(text) for text in ("3", "3.0", "1e-3", "true", "adam", "null")]
    assert [(type(v), v) for v in read] == [
        (int, 3), (float, 3.0), (float, 0.001), (bool, True), (str, "adam"), (str, "null"),
    ]  # fmt: skip
    with pytest.raises(BadSetting, match="is not a setting"):
        recipes.choice("scrub:=3", "--methods")


def test_a_preset_is_written_out_and_settings_behind_it_win(command):
    plain = json.loads(command("recipe", "--methods", "scrub@paper:epochs=4").out)["methods"][0]
    assert plain["optimizer"] == "sgd"
    assert plain["temperature"] == 4.0
    assert plain["epochs"] == 4
    spelled = ":".join(f"{k}={v}" for k, v in plain.items() if k != "key" and v != "")
    assert json.loads(command("recipe", "--methods", f"scrub:{spelled}").out)["methods"][0] == plain
    refused = command("recipe", "--methods", "scrub@best")
    assert refused.status == 2
    assert "scrub@paper" in refused.err
    assert "Traceback" not in refused.err
