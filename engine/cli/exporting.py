"""What the numbers rest on, as files: margins, logits or weights of one role of a recipe's networks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.cli import recipes, running
from engine.cli.common import open_store
from engine.jobs import part_models
from engine.knobs import BadSetting
from engine.records import EARLIER
from engine.specs import Evaluation, ForgetSet, Trained, Unlearned
from engine.store import Store

ROLES = {"original": "original", "unlearned": "unlearned", "oracle": "oracle", "second_oracle": "floor"}
"""Names of the ensembles on the command line, and in an evaluation."""
KINDS = {"margins": (".npy", ".npz"), "logits": (".npy", ".npz"), "weights": (".safetensors", ".npz")}
"""What can be exported, and the endings of its files."""


class _Quiet:
    def progress(self, share: float, message: str) -> None:
        """Say nothing: a cached data set is read in a moment."""

    def frame(self, frame: object) -> None:
        """Show nothing."""


def export(arguments: argparse.Namespace) -> int:
    """Run a recipe if it is not done, and write what its numbers rest on into one file.

    Margins are float32 (M, P), logits float32 (M, P, C), at the training points and then the test points; weights one
    array (M, ...) per parameter. An .npz of the first two also holds ``labels`` (P,), ``models`` (M,) and the numbers
    of the points of each split.

    Raises:
        BadSetting: an ending that does not fit, a method that is missing or not the recipe's.
    """
    what, out = arguments.what, Path(arguments.out)
    if out.suffix not in KINDS[what]:
        raise BadSetting(f"--out must end in {' or '.join(KINDS[what])} for {what}, not {out.suffix or 'nothing'}")
    recipe = recipes.read(arguments.recipe)
    names = recipe.methods_ids()
    method = arguments.method or (names[0] if arguments.role != "unlearned" or len(names) == 1 else None)
    if method not in names:
        raise BadSetting(f"--method must be one of {', '.join(names)}")
    row, queue = running.complete(arguments, recipe)
    results = [result for result in queue.results(row.id) if result.method_id == method]
    if not results:
        raise BadSetting(f"{method} stopped before there were networks; the run says why")
    payload = max(results, key=lambda result: len(result.payload["parts"])).payload
    spec, store = Evaluation.from_json(payload["spec"]).ensembles[ROLES[arguments.role]], open_store(arguments)
    arrays = _arrays(what, store, row.recipe["dataset"], spec, payload["parts"])
    if out.suffix == ".npz" and what != "weights":
        arrays |= _places(store, row.recipe["dataset"], spec, payload)
    _write(out, arrays)
    shapes = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:6])
    print(f"{out}: {what} of the {arguments.role} networks, {shapes}{', ...' if len(arrays) > 6 else ''}")
    return 0


def _arrays(
    what: str, store: Store, dataset: Mapping[str, object], spec: Trained | Unlearned, parts: Sequence[str]
) -> dict[str, np.ndarray]:
    if what == "margins":
        artefact = spec.artefact(store)
        return {"margins": np.concatenate([artefact.read(part).array("margins") for part in parts])}  # (M, P)
    import torch

    from engine.ensemble import Ensemble
    from engine.images import Images
    from engine.stored import load_data, load_ensemble

    original = spec.original if isinstance(spec, Unlearned) else spec
    data, cpu = load_data(store, dataset, original.data, _Quiet()), torch.device("cpu")
    networks = Ensemble.join([load_ensemble(store, data, spec, part, cpu)[0] for part in parts])
    if what == "weights":
        return {name: tensor.numpy() for name, tensor in networks.tensors().items()}
    points = Images.of(data, "points", cpu)
    spans = networks.spans(len(points))
    logits = torch.cat([networks.logits_shared(points.pictures(span)).float() for span in spans], dim=1)  # (M, P, C)
    return {"logits": logits.numpy()}


def _places(
    store: Store, dataset: Mapping[str, object], spec: Trained | Unlearned, payload: Mapping[str, object]
) -> dict[str, np.ndarray]:
    """Return the labels of all points, the numbers of the networks, and the points of each split."""
    from engine.stored import load_data, removed

    original = spec.original if isinstance(spec, Unlearned) else spec
    data = load_data(store, dataset, original.data, _Quiet())
    forget, earlier = removed(store, ForgetSet.from_json(payload["forget"]))  # (F,), (E,)
    train = len(data.y_train)
    return {
        "labels": np.concatenate([data.y_train, data.y_test]),
        "models": np.array([i for part in payload["parts"] for i in part_models(part)]),
        "forget": forget,
        "retain": np.setdiff1d(np.arange(train), np.union1d(forget, earlier)),
        "test": np.arange(train, data.points),
        **({EARLIER: earlier} if len(earlier) else {}),
    }


def _write(out: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write one file whole or not at all: beside its place first, then into it.

    Raises:
        BadSetting: the file cannot be written.
    """
    from safetensors.numpy import save as safetensors

    writers: Mapping[str, Callable[[BinaryIO], object]] = {
        ".npy": lambda file: np.save(file, next(iter(arrays.values())), allow_pickle=False),
        ".npz": lambda file: np.savez(file, **arrays),
        ".safetensors": lambda file: file.write(safetensors({k: np.ascontiguousarray(v) for k, v in arrays.items()})),
    }
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            writers[out.suffix](file)
        aside.replace(out)
    except OSError as error:
        raise BadSetting(f"--out {out} cannot be written: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)
