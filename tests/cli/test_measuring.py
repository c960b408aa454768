"""KLOM between two files: the same numbers as the metric, and nothing but plain arrays is read."""

import json

import numpy as np
import pytest

from engine.metrics.klom import klom


@pytest.fixture
def margins(tmp_path):
    rng = np.random.default_rng(3)
    arrays = {"oracle": rng.normal(size=(40, 9)), "unlearned": rng.normal(size=(50, 9)) + np.arange(9)}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return arrays


@pytest.mark.parametrize("convention", ["paper", "easydub"])
def test_files_give_what_the_metric_gives(command, margins, tmp_path, convention):
    files = ("--oracle", tmp_path / "oracle.npy", "--unlearned", tmp_path / "unlearned.npy")
    said = command("klom", *files, "--convention", convention, "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)
    wanted = klom(**margins, convention=convention)
    assert found.keys() == {"per_point", "mean", "p95", "splits"}
    assert found["per_point"] == wanted.tolist()
    assert found["mean"] == pytest.approx(wanted.mean())
    assert found["p95"] == pytest.approx(np.quantile(wanted, 0.95))
    text = command("klom", *files, "--convention", convention).out
    assert f"({convention}) of 40 oracle and 50 unlearned models at 9 points" in text
    assert f"furthest: point {wanted.argmax()} " in text


def test_the_same_file_twice_is_zero(command, margins, tmp_path):
    path = tmp_path / "oracle.npy"
    found = json.loads(command("klom", "--oracle", path, "--unlearned", path, "--json").out)
    assert found == {"per_point": [0.0] * margins["oracle"].shape[1], "mean": 0.0, "p95": 0.0, "splits": {}}


def edited(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def truncated(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: p.unlink(), "No such file"),
        (lambda p: (p.unlink(), p.mkdir()), "directory"),
        (lambda p: p.write_bytes(b""), "not an .npy or .npz file"),
        (lambda p: p.write_text("1 2 3\n4 5 6\n"), "not an .npy or .npz file"),
        (truncated, "not an .npy or .npz file"),
        (lambda p: edited(p, b"(40, 9)", b"(9999999, 9)"), "not an .npy or .npz file"),
        (lambda p: edited(p, b"{'descr'", b"{(((((((("[:8]), "not an .npy or .npz file"),
        (lambda p: np.save(p, np.array([[object()]]), allow_pickle=True), "not an .npy or .npz file"),
        (lambda p: np.save(p, np.ones(9)), "must be an array (models, points)"),
        (lambda p: np.save(p, np.ones((4, 8))), "measured at 8 points"),
        (lambda p: np.save(p, np.ones((4, 9), complex)), "must be numbers"),
        (lambda p: np.save(p, np.full((4, 9), np.nan)), "not finite"),
        (lambda p: np.save(p, np.full((4, 9), "a")), "must be numbers"),
        (lambda p: np.save(p, np.ones((0, 9))), "oracle"),
    ],
    ids=["absent", "folder", "empty", "text", "cut", "lying", "header", "objects", "flat", "points", "complex", "nan",
         "letters", "no models"],
)  # fmt: skip
@pytest.mark.usefixtures("margins")
def test_a_bad_file_is_refused_in_one_line(refused, tmp_path, spoil, says):
    path = tmp_path / "oracle.npy"
    spoil(path)
    assert says in refused("klom", "--oracle", path, "--unlearned", tmp_path / "unlearned.npy", "--json")


def test_an_exported_file_is_measured_per_split(command, margins, tmp_path):
    splits = {"forget": np.array([8, 7]), "retain": np.arange(5), "test": np.array([], np.int64)}
    np.savez(tmp_path / "unlearned.npz", margins=margins["unlearned"], **splits)
    files = ("--oracle", tmp_path / "oracle.npy", "--unlearned", tmp_path / "unlearned.npz")
    found = json.loads(command("klom", *files, "--json").out)
    per_point = klom(**margins)
    assert list(found["splits"]) == ["forget", "retain"], "an empty split has no number"
    assert found["splits"]["forget"]["p95"] == pytest.approx(np.quantile(per_point[[8, 7]], 0.95))
    assert "retain: mean" in command("klom", *files).out


@pytest.mark.parametrize("numbers", [np.array([0, 9]), np.array([-1]), np.array([[0]]), np.array([0.5])])
def test_splits_that_name_no_points_are_refused(refused, margins, tmp_path, numbers):
    np.savez(tmp_path / "unlearned.npz", margins=margins["unlearned"], forget=numbers)
    said = refused("klom", "--oracle", tmp_path / "oracle.npy", "--unlearned", tmp_path / "unlearned.npz")
    assert "points that are not there" in said


def test_an_archive_of_other_things_is_refused(refused, margins, tmp_path):
    (tmp_path / "no.npz").write_bytes(b"PK not an archive")
    np.savez(tmp_path / "other.npz", weights=margins["oracle"])
    np.savez(tmp_path / "pickled.npz", margins=np.array([{}], dtype=object))
    for name in ("no", "other", "pickled"):
        assert "is not an .npy or .npz file" in refused(
            "klom", "--oracle", tmp_path / "oracle.npy", "--unlearned", tmp_path / f"{name}.npz"
        )
