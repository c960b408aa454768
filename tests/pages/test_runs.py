import asyncio

import numpy as np

from engine.queue import Shelf
from engine.queue.queue import USES
from engine.specs import Evaluation


def get(path, *, cookie=""):
    """Ask the route for networks; return status, headers and body."""
    from starlette.applications import Starlette

    from pages.server import weights

    sent = []

    async def receive():
        return await asyncio.Event().wait()  # nobody hangs up

    async def send(message):
        sent.append(message)

    headers = [(b"cookie", cookie.encode())] if cookie else []
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b"", "root_path": "",
             "http_version": "1.1", "scheme": "http"}  # fmt: skip
    asyncio.run(Starlette(routes=[weights.route()])(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent)


def text(app):
    return " ".join([m.value for m in app.markdown] + [h.value for h in app.html] + [t.value for t in app.title])


def test_an_empty_store_invites_to_start(visit):
    app = visit("runs")
    assert "No runs yet" in [s.value for s in app.subheader]
    app.button("to-start").click().run()
    assert app.title[0].value == "What does the network still remember?"


def test_every_run_is_there_with_its_state_error_and_progress(visit, filled):
    app = visit("runs")
    said = text(app)
    for part in ("Done in", "Failed in", "MLP, 20 models", "MLP, 60 models", "Oracle matching", "on disk"):
        assert part in said, part
    assert "The network diverged &lt;b&gt;; lower the learning rate" in said, "shown, and not as markup"
    assert app.get("progress")[0].proto.value == 40


def test_open_goes_to_the_run(visit, filled):
    app = visit("runs")
    app.button(f"open-{filled[0]}").click().run()
    assert app.query_params["run"] == filled[0]
    assert app.title[0].value == "KLOM"


def opened(app, run):
    """Open a run's menu, as a press on it does."""
    app.session_state[f"more-{run}"] = True
    return app.run()


def test_cancel_and_run_again(visit, filled, queue):
    app = visit("runs")
    app.button(f"cancel-runs-{filled[2]}").click().run()
    assert queue.run(filled[2]).cancel == 1
    opened(app, filled[0]).button(f"again-{filled[0]}").click().run()
    newest = queue.runs()[0]
    assert newest.id not in filled
    assert newest.recipe == queue.run(filled[0]).recipe


def test_delete_asks_once_says_what_it_frees_and_frees_it(visit, filled, queue, store):
    queue.request_cancel(filled[2])
    queue.set_status(filled[2], "cancelled")
    before = sum(store.pieces().values())
    app = opened(visit("runs"), filled[0])
    app.button(f"delete-{filled[0]}").click().run()
    assert filled[0] in [row.id for row in queue.runs()], "asked first"
    assert f"Deleting it frees {before / 1e6:.0f} MB." in text(app)
    app.button(f"keep-{filled[0]}").click().run()
    assert "Deleting it" not in text(app)
    opened(app, filled[0]).button(f"delete-{filled[0]}").click().run()
    app.button(f"really-{filled[0]}").click().run()
    assert filled[0] not in [row.id for row in queue.runs()]
    assert not store.pieces()


def test_what_runs_share_is_counted_as_shared_and_stays(visit, filled, queue, store):
    twin = queue.submit(queue.run(filled[0]).recipe, session="x", label="twin")
    queue.set_status(twin, "running")
    for row in queue.results(filled[0]):
        queue.put_result(twin, row.method_id, row.models, row.payload)
    queue.remember(USES + twin, queue.recall(USES + filled[0]))
    queue.set_status(twin, "done")
    pieces = store.pieces()
    app = opened(visit("runs"), filled[0])
    assert "0 bytes, 2 MB shared" in text(app)
    app.button(f"delete-{filled[0]}").click().run()
    assert "Deleting it frees nothing. 2 MB stay, because other runs use them." in text(app)
    app.button(f"really-{filled[0]}").click().run()
    assert store.pieces() == pieces


def test_results_of_no_run_are_offered_to_be_freed(visit, filled, queue, store):
    from engine.queue.uses import note_uses

    note_uses(queue, filled[2], [], complete=True)
    with store.artefact("trained", {"role": "nobody's"}).write("00000-00020") as out:
        out.json("meta", {"much": "x" * 500_000})
    kept = {piece for piece in store.pieces() if "nobody" not in str(piece)}
    app = visit("runs")
    assert "500 kB of results belong to no run any more." in text(app)
    app.button("free-unused").click().run()
    assert len(store.pieces()) == len(kept) - 1
    assert "belong to no run" not in text(app)


def test_runs_are_found_by_words_tags_and_state(visit, filled, queue):
    from engine.queue import Shelf

    Shelf(queue.path).put_note(filled[0], tags=["for the <i>paper"], text="use this one")
    app = visit("runs", search="oracle PAPER")
    assert [b.key for b in app.button if (b.key or "").startswith("open-")] == [f"open-{filled[0]}"]
    assert "for the &lt;i&gt;paper" in text(app)
    app.text_input("search").set_value("").run()
    app.pills("states").set_value(["failed", "running"]).run()
    assert {b.key for b in app.button if (b.key or "").startswith("open-")} == {f"open-{r}" for r in filled[1:]}
    app.text_input("search").set_value("no such thing").run()
    assert "No run is like that" in text(app)


def test_waiting_runs_say_their_place_in_the_queue(visit, filled, queue):
    recipe = queue.run(filled[0]).recipe
    for label in ("second", "third"):
        queue.submit(recipe, session="toy", label=label)
    said = text(visit("runs"))
    assert "Number 2 in the queue" in said
    assert "Number 3 in the queue" in said


def test_the_trace_is_folded_away_for_whoever_mends_it(visit, filled):
    app = visit("runs")
    assert not app.code
    assert any("Traceback ..." in c.value for c in opened(app, filled[1]).code)


def test_the_recipe_names_the_strategy_that_was_used(filled, queue, store, monkeypatch):
    import json

    from pages.runs import acts
    from pages.ui import workspace

    spec = queue.results(filled[0])[0].payload["spec"]["unlearned"]["original"]
    artefact = store.artefact("trained", spec)
    artefact.discard("00000-00020")
    with artefact.write("00000-00020") as out:
        out.json("meta", {"strategy": "looped"})
    monkeypatch.setattr(workspace, "queue", lambda: queue)
    monkeypatch.setattr(workspace, "store", lambda: store)
    assert json.loads(acts.recipe_text(queue.run(filled[0])))["ensemble"]["strategy"] == "looped"


def test_networks_are_streamed_as_safetensors_by_role_and_method(filled, queue, store):
    import io
    import json
    import zipfile

    import safetensors.numpy

    from pages.server import weights

    run = queue.run(filled[0])
    spec = queue.results(filled[0])[0].payload["spec"]
    for kind, whose in (("trained", spec["oracle"]), ("unlearned", spec["unlearned"])):
        artefact = store.artefact(kind, whose)
        artefact.discard("00000-00020")
        with artefact.write("00000-00020") as out:
            out.tensors("weights", {"w": np.full((20, 3), 7, np.float32)})
    offered = weights.bundles(queue, store, run, {"do_nothing": "Do nothing"})
    assert {which: title for which, (title, _) in offered.items()} == {"oracle": "Oracles", "do_nothing": "Do nothing"}
    status, headers, content = get("/" + weights.address(run, "oracle"))
    assert status == 200
    assert headers["content-disposition"] == f'attachment; filename="forgetscope-{run.id[:6]}-oracle.safetensors"'
    assert int(headers["content-length"]) == offered["oracle"][1].size == len(content)
    assert safetensors.numpy.load(content)["w"].tolist() == [[7.0] * 3] * 20
    for bad in (f"weights/{run.id}/floor", f"weights/{run.id}/../spec", "weights/0000000000000000/oracle"):
        assert get("/" + bad)[0] == 404

    for row in queue.results(filled[0]):
        queue.put_result(run.id, row.method_id, row.models, {**row.payload, "parts": ["00000-00020", "00020-00040"]})
    with store.artefact("trained", spec["oracle"]).write("00020-00040") as out:
        out.tensors("weights", {"w": np.full((20, 3), 8, np.float32)})
    packed = zipfile.ZipFile(io.BytesIO(get("/" + weights.address(run, "oracle"))[2]))
    assert packed.testzip() is None
    assert json.loads(packed.read("manifest.json"))["spec"] == spec["oracle"]
    assert safetensors.numpy.load(packed.read("models-00020-00040.safetensors"))["w"][0].tolist() == [8.0] * 3
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in packed.infolist())


def test_many_runs_are_paged(visit, queue, filled):
    recipe = queue.run(filled[0]).recipe
    for number in range(30):
        queue.submit(recipe, session="x", label=f"run {number}")
    app = visit("runs")
    assert len([b for b in app.button if (b.key or "").startswith("open-")]) == 12
    app.segmented_control("page").set_value(3).run()
    assert f"open-{filled[0]}" in [b.key for b in app.button]


def test_another_visitors_run_on_a_private_upload_is_nowhere(visit, filled, queue, store):
    """Not in the list, not by its link, not as a choice on other pages, not by the route of its networks."""
    shelf, sha, owner = Shelf(queue.path), "a" * 64, "1" * 32
    shelf.add_upload(sha, owner=owner, name="faces.zip", kind=".zip", size=7)
    recipe = {**queue.run(filled[0]).recipe, "dataset": {"key": "folder", "path": str(store.uploads / f"{sha}.zip")}}
    run = queue.submit(recipe, session=owner, label="faces.zip, random 50")
    queue.set_status(run, "running")
    for row in queue.results(filled[0]):
        queue.put_result(run, row.method_id, row.models, row.payload)
    queue.set_status(run, "done")
    for page in ("runs", "klom", "unlearn", "start", "predictions", "missing"):
        app = visit(page)
        options = [option for box in app.selectbox for option in box.options]
        assert "faces.zip" not in " ".join([text(app), *options]), page
    for page in ("klom", "unlearn"):
        said = text(visit(page, run=run)) + " ".join(m.value for m in visit(page, run=run).markdown)
        assert "or one on pictures that are not shared with you" in said, page
        assert "faces.zip" not in said
    spec = Evaluation.from_json(queue.results(run)[0].payload["spec"])
    artefact = spec.ensembles["oracle"].artefact(store)
    artefact.discard("00000-00020")
    with artefact.write("00000-00020") as out:
        out.tensors("weights", {"w": np.full((20, 3), 7, np.float32)})
    assert get(f"/weights/{run}/oracle")[0] == 404
    assert get(f"/weights/{run}/oracle", cookie=f"forgetscope_visitor={owner}")[0] == 200
    shelf.share_upload(sha, owner=owner, shared=True)
    assert "faces.zip, random 50" in text(visit("runs"))
    assert get(f"/weights/{run}/oracle")[0] == 200


def test_another_visitors_run_cannot_be_deleted(visit, filled, queue):
    run = queue.submit(queue.run(filled[0]).recipe, session="1" * 32, label="theirs")
    queue.request_cancel(run)
    queue.set_status(run, "cancelled")
    app = opened(visit("runs"), run)
    assert f"delete-{run}" not in [button.key for button in app.button]
    assert "Only the visitor who started it can delete it." in text(app)
    app.session_state["deleting"] = run
    assert f"really-{run}" not in [button.key for button in app.run().button]
