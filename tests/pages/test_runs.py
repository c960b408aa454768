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
    assert "the network diverged &lt;b&gt;; lower the learning rate" in said, "shown, and not as markup"
    assert app.get("progress")[0].proto.value == 40


def test_open_goes_to_the_run(visit, filled):
    app = visit("runs")
    app.button(f"open-{filled[0]}").click().run()
    assert app.query_params["run"] == filled[0]
    assert app.title[0].value == "KLOM"


def test_cancel_run_again_and_delete(visit, filled, queue):
    app = visit("runs")
    app.button(f"cancel-runs-{filled[2]}").click().run()
    assert queue.run(filled[2]).cancel == 1
    app.button(f"delete-{filled[1]}").click().run()
    assert filled[1] not in [row.id for row in queue.runs()]
    app.button(f"again-{filled[0]}").click().run()
    newest = queue.runs()[0]
    assert newest.id not in filled
    assert newest.recipe == queue.run(filled[0]).recipe


def test_the_trace_is_there_for_whoever_mends_it(visit, filled):
    assert any("Traceback ..." in c.value for c in visit("runs").code)


def test_many_runs_are_paged(visit, queue, filled):
    recipe = queue.run(filled[0]).recipe
    for number in range(30):
        queue.submit(recipe, session="x", label=f"run {number}")
    app = visit("runs")
    assert len([b for b in app.button if (b.key or "").startswith("open-")]) == 12
    app.segmented_control("page").set_value(3).run()
    assert f"open-{filled[0]}" in [b.key for b in app.button]
