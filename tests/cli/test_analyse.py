"""`analyse` from a shell: runs the recipe if need be, prints the view's table, writes the arrays."""

import json

import numpy as np
import pytest

from engine.cli import main

TINY = ("--models", "4", "--chunk", "2", "--epochs", "1", "--model", "mlp:hidden=8", "--strategy", "stacked")


@pytest.fixture
def recipe(tmp_path, capsys):
    assert main(["recipe", *TINY, "--methods", "do_nothing,gradient_ascent:epochs=1"]) == 0
    path = tmp_path / "recipe.json"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.alone
def test_an_analysis_is_measured_printed_and_written(recipe, tmp_path, serving, command):
    def shell(*arguments):
        said = command(*arguments)
        assert said.status == 0, said.err
        return said.out

    store = serving
    file = tmp_path / "arrays.npz"
    line = ["analyse", recipe, "--store", store.path, "--method", "gradient_ascent"]
    line += ["--analysis", "membership:fpr=0.1"]
    printed = json.loads(shell(*line, "--json", "--out", file))
    assert (printed["analysis"], printed["method"], printed["models"]) == ("membership", "gradient_ascent", 4)
    assert printed["facts"]["fpr"] == 0.1
    rows = {row["role"]: row for row in printed["rows"]}
    assert set(rows) == {"original", "unlearned", "oracle", "second oracle"}
    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["auc"].shape == (4, 4)
        assert rows["unlearned"]["auc"] == pytest.approx(arrays["auc"][:, 1].mean())
        assert json.loads(str(arrays["facts"])) == printed["facts"]
    made = {piece for piece in store.pieces() if piece.kind == "analysis"}
    assert len(made) == 2, "one for each chunk"
    assert all(row["membership"] == row["auc"] for row in printed["rows"]), "the answer under the analysis's own name"
    assert shell(*line).splitlines()[0].split() == [name for name in printed["rows"][0] if name != "membership"]
    assert {piece for piece in store.pieces() if piece.kind == "analysis"} == made, "answered from the store"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--analysis", "cka"], "--method must be one of do_nothing, gradient_ascent"),
        (["--analysis", "cka", "--method", "scrub"], "--method must be one of"),
        (["--analysis", "nonsense", "--method", "do_nothing"], "unknown analysis 'nonsense'"),
        (["--analysis", "cka:sample=1", "--method", "do_nothing"], "at least 2"),
    ],
)
def test_mistakes_are_named_before_anything_runs(recipe, tmp_path, capsys, flags, said):
    assert main(["analyse", str(recipe), "--store", str(tmp_path / "store"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_analyses_are_listed_with_their_knobs(capsys):
    assert main(["analyses", "--json"]) == 0
    listed = {plugin["key"]: plugin for plugin in json.loads(capsys.readouterr().out)}
    assert listed["cka"]["card"]["arxiv"] == "1905.00414"
    assert [field["name"] for field in listed["membership"]["fields"]] == ["fpr"]
    assert listed["map"]["about"] == "data"
    assert main(["analyses"]) == 0
    assert "membership: Tells forgotten points from test points" in capsys.readouterr().out
