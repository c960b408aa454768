"""Downloads of a run's networks as safetensors: one file per ensemble, streamed from disk by a route of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from engine.queue import Queue, RunRow, Shelf
from engine.queue.access import visible, visitor_of
from engine.specs import Evaluation, Spec
from engine.store import Store, StoreError, default_store
from engine.store.bundles import Bundle

PATH = "weights"
_ROLES = {"original": "Originals", "oracle": "Oracles", "floor": "Second oracles"}
_ID = re.compile(r"[0-9a-f]{16}")
_WHICH = re.compile(r"[a-z][a-z0-9_]*(?:-[0-9a-f]{6})?")


def bundles(queue: Queue, store: Store, run: RunRow, names: Mapping[str, str]) -> dict[str, tuple[str, Bundle]]:
    """Return the title and the files of a run's networks, by role or method id.

    ``names`` are the methods' names by id. Only methods that were measured are there.

    Raises:
        StoreError: a part of the store cannot be read.
    """
    by_role: dict[str, tuple[str, Bundle]] = {}
    for row in queue.results(run.id):
        ensembles, parts = Evaluation.from_json(row.payload["spec"]).ensembles, row.payload["parts"]
        if not by_role:
            for role, title in _ROLES.items():
                by_role[role] = (title, _bundle(store, ensembles[role], parts, run, role))
        title = names.get(row.method_id, row.method_id)
        by_role[row.method_id] = (title, _bundle(store, ensembles["unlearned"], parts, run, row.method_id))
    return {which: (title, bundle) for which, (title, bundle) in by_role.items() if bundle.files}


def address(run: RunRow, which: str) -> str:
    """Return the link, relative to a page, under which the networks are fetched."""
    return f"{PATH}/{run.id}/{which}"


def route() -> Route:
    """Return the route that serves :func:`address`."""
    return Route(f"/{PATH}/{{run}}/{{which}}", _answer, methods=["GET"])


def strategy(queue: Queue, store: Store, run: RunRow) -> str:
    """Return how the run's networks were trained in fact, stacked or looped; empty when nothing was."""
    for row in queue.results(run.id):
        artefact = Evaluation.from_json(row.payload["spec"]).unlearned.original.artefact(store)
        for part in row.payload["parts"]:
            if artefact.has(part):
                files = artefact.read(part)
                return str(files.json("meta").get("strategy", "")) if "meta.json" in files.files else ""
    return ""


def _bundle(store: Store, spec: Spec, parts: list[str], run: RunRow, which: str) -> Bundle:
    artefact = spec.artefact(store)
    files = []
    for part in parts:
        path = artefact.path / part / "weights.safetensors"
        if artefact.has(part) and path.is_file():
            files.append((f"models-{part}.safetensors", path))
    manifest = {
        "run": run.id,
        "which": which,
        "models": "the first axis of every tensor; files hold the half-open ranges of models in their names",
        "spec": spec.plain,
        "files": [name for name, _ in files],
    }
    return Bundle(f"forgetscope-{run.id[:6]}-{which}", tuple(files), manifest)


def _answer(request: Request) -> Response:
    run_id, which = request.path_params["run"], request.path_params["which"]
    if not _ID.fullmatch(run_id) or not _WHICH.fullmatch(which):
        return PlainTextResponse("There is no such run.", status_code=404)
    store = Store(default_store())
    try:
        queue = Queue(store.queue_path)
        seen = visible(store, Shelf(store.queue_path), visitor_of(request.cookies), [queue.run(run_id)])
        bundle = bundles(queue, store, seen[0], {})[which][1]
    except (StoreError, KeyError, IndexError):
        return PlainTextResponse("These networks are not in the store. They may have been deleted.", status_code=404)
    headers = {"content-disposition": f'attachment; filename="{bundle.file_name}"', "content-encoding": "identity"}
    if not bundle.zipped:
        headers["content-length"] = str(bundle.size)
    kind = "application/zip" if bundle.zipped else "application/octet-stream"
    return StreamingResponse(bundle.blocks(), media_type=kind, headers=headers)
