"""`export` hands over what the numbers rest on: margins, logits and weights that give the run's own numbers."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from engine.cli import main
from engine.data.digits import Digits
from engine.ensemble import margins

TINY = ("--models", "4", "--chunk", "2", "--epochs", "1", "--model", "mlp:hidden=8", "--strategy", "stacked")


@pytest.fixture
def recipe(tmp_path, capsys):
    assert main(["recipe", *TINY, "--methods", "do_nothing,gradient_ascent:epochs=1"]) == 0
    path = tmp_path / "recipe.json"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.alone
def test_what_is_exported_gives_the_numbers_of_the_run(recipe, tmp_path, serving, command):
    def shell(*arguments):
        said = command(*arguments)
        assert said.status == 0, said.err
        return said.out

    store = ("--store", serving.path)
    run = json.loads(shell("run", recipe, *store, "--json"))
    for role in ("oracle", "unlearned"):
        out = ("--out", tmp_path / f"{role}.npz")
        shell("export", recipe, *store, "--what", "margins", "--role", role, "--method", "gradient_ascent", *out)
    files = ("--oracle", tmp_path / "oracle.npz", "--unlearned", tmp_path / "unlearned.npz")
    measured = json.loads(shell("klom", *files, "--json"))["splits"]
    for row in run["results"]:
        if row["method"] == "gradient_ascent":
            assert measured[row["split"]]["p95"] == pytest.approx(row["klom_p95"], rel=1e-6)
    about = ("export", recipe, *store, "--role", "oracle")
    shell(*about, "--what", "logits", "--out", tmp_path / "logits.npy")
    shell(*about, "--what", "weights", "--out", tmp_path / "weights.safetensors")
    logits = torch.from_numpy(np.load(tmp_path / "logits.npy", allow_pickle=False))  # (M, P, C)
    with np.load(tmp_path / "oracle.npz", allow_pickle=False) as arrays:
        assert arrays["models"].tolist() == [0, 1, 2, 3]
        labels = torch.from_numpy(arrays["labels"])
        assert np.allclose(margins(logits, labels).numpy(), arrays["margins"], atol=1e-4)
    weights = load_file(tmp_path / "weights.safetensors")
    data = Digits().load(tmp_path, lambda *_: None)
    assert logits.shape == (4, data.points, 10)
    assert {array.shape[0] for array in weights.values()} == {4}
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--what", "weights", "--role", "oracle", "--out", "w.pt"], "must end in .safetensors or .npz"),
        (["--what", "margins", "--role", "oracle", "--out", "m"], "must end in .npy or .npz for margins, not nothing"),
        (["--what", "margins", "--role", "unlearned", "--out", "m.npy"], "--method must be one of do_nothing"),
        (["--what", "margins", "--role", "oracle", "--method", "no", "--out", "m.npy"], "--method must be one of"),
        (["--what", "secrets", "--role", "oracle", "--out", "m.npy"], "invalid choice"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_runs(refused, recipe, tmp_path, flags, said):
    assert said in refused("export", recipe, "--store", tmp_path / "store", *flags)
    assert not (tmp_path / "store").exists()
