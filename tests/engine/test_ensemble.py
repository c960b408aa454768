"""Ensembles: a model is its number, its role and its seed; cutting, joining and evaluating change nothing."""

import itertools

import pytest
import small
import torch

from engine.ensemble import EVALUATION_FLOATS, Ensemble, margins
from engine.models import architectures
from engine.seeds import derive

KEYS = {"logistic": {}, "mlp": {"hidden": 8, "depth": 2}, "cnn": {"channels": 4}, "resnet9": {"width": 4}}


def source():
    return small.data(side=16, channels=2)


def make(key="mlp", *, ids=range(3), seed=0, role="original", strategy="stacked"):
    net = small.net(architectures()[key](**KEYS[key]), source())
    return Ensemble.initial(net, seed=seed, role=role, ids=ids, device=small.CPU, strategy=strategy)


def pictures(count=5):
    return small.images(source()).pictures(slice(0, count))


@pytest.mark.parametrize("key", KEYS)
def test_a_model_is_its_seed_role_and_number(key):
    """Catches an initialisation that depends on position, on earlier draws or on the global generator."""
    torch.manual_seed(1)
    whole = make(key, ids=range(5))
    torch.manual_seed(2)
    torch.rand(7)
    assert small.same(whole[3:5], make(key, ids=[3, 4]))
    assert small.same(whole[4:5], make(key, ids=[4]))
    name = next(n for n in whole.params if n.endswith("weight") and whole.params[n].ndim > 2)
    assert not torch.equal(whole.params[name][0], whole.params[name][1])
    for other in (make(key, ids=[0], seed=1), make(key, ids=[0], role="oracle")):
        assert not torch.equal(whole.params[name][:1], other.params[name])


def test_a_fresh_network_has_the_weights_torch_gives_it():
    """Catches an initialisation of our own: the network is what ``build`` makes after seeding, no more."""
    ensemble = make("cnn", ids=[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(derive(0, "original", 2), "initialisation"))
        plain = ensemble.net.architecture.build(ensemble.net.shape, ensemble.net.classes)
    for name, weight in plain.named_parameters():
        assert torch.equal(ensemble.params[name][0], weight), name


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    make("resnet9").logits_shared(pictures())
    assert make("resnet9").net.width > 0
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("key", KEYS)
def test_slices_join_to_the_whole(key):
    whole = make(key, ids=[4, 9, 2, 7])
    again = Ensemble.join([whole[:1], whole[1:3], whole[3:]])
    assert small.same(again, whole)
    assert again.ids == (4, 9, 2, 7)
    assert whole[1:3].ids == (9, 2)
    assert len(whole[1:3]) == 2


def test_a_clone_shares_no_memory():
    whole = make("resnet9")
    copy = whole.clone()
    for tensor in copy.tensors().values():
        tensor.zero_()
    assert small.same(whole, make("resnet9"))


@pytest.mark.parametrize("key", KEYS)
def test_tensors_survive_a_file_of_any_order(key):
    whole = make(key)
    shuffled = dict(reversed(whole.tensors().items()))
    again = Ensemble.from_tensors(whole.net, shuffled, ids=whole.ids, strategy="looped")
    assert small.same(again, whole)
    assert list(again.params) == list(whole.params), "the order of weights decides the order of updates"
    assert again.strategy == "looped"


def test_weights_of_another_network_are_refused():
    whole = make("resnet9")
    tensors = whole.tensors()
    missing = {k: v for k, v in tensors.items() if "running_mean" not in k}
    with pytest.raises(ValueError, match="other layers"):
        Ensemble.from_tensors(whole.net, missing, ids=whole.ids, strategy="stacked")
    name = next(iter(tensors))
    with pytest.raises(ValueError, match=f"{name} has another shape"):
        Ensemble.from_tensors(whole.net, {**tensors, name: tensors[name][..., :1]}, ids=whole.ids, strategy="stacked")
    with pytest.raises(ValueError, match="another shape"):
        Ensemble.from_tensors(whole.net, tensors, ids=[0], strategy="stacked")


@pytest.mark.parametrize("key", KEYS)
def test_stacked_and_looped_answers_are_equal(key):
    stacked, looped = make(key), make(key, strategy="looped")
    own = torch.stack([pictures(15)[i : i + 5] for i in (0, 5, 10)])  # (M, B, c, h, w)
    assert torch.allclose(stacked.logits(own), looped.logits(own), atol=1e-5)
    assert torch.allclose(stacked.logits_shared(pictures()), looped.logits_shared(pictures()), atol=1e-5)
    features = stacked.features_shared(pictures())
    assert features.shape[:2] == (3, 5)
    assert torch.allclose(features, looped.features_shared(pictures()), atol=1e-5)


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_each_model_sees_its_own_pictures(strategy):
    """Catches an evaluation that gives every model the first model's batch."""
    ensemble = make("cnn", strategy=strategy)
    own = torch.stack([pictures(15)[i : i + 5] for i in (0, 5, 10)])  # (M, B, c, h, w)
    answers = ensemble.logits(own)
    for m in range(3):
        assert torch.allclose(answers[m], ensemble[m : m + 1].logits_shared(own[m])[0], atol=1e-5)


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_evaluation_does_not_depend_on_the_batch(strategy):
    """Catches batch norm in training mode: a picture's logits would change with its neighbours."""
    ensemble = make("resnet9", strategy=strategy)
    alone = torch.cat([ensemble.logits_shared(pictures()[i : i + 1]) for i in range(5)], dim=1)
    assert torch.allclose(ensemble.logits_shared(pictures()), alone, atol=1e-5)


def test_evaluation_records_no_gradients():
    ensemble = make("cnn")
    for weight in ensemble.params.values():
        weight.requires_grad_()
    assert not ensemble.logits_shared(pictures()).requires_grad


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_spans_cover_every_example_within_the_memory_bound(strategy):
    ensemble = make("resnet9", strategy=strategy)
    count = 200_000
    spans = list(ensemble.spans(count))
    assert spans[0].start == 0
    assert spans[-1].stop == count
    assert all(a.stop == b.start for a, b in itertools.pairwise(spans))
    at_once = 3 if strategy == "stacked" else 1
    longest = max(span.stop - span.start for span in spans)
    assert longest * ensemble.net.width * at_once <= EVALUATION_FLOATS
    assert (longest + 1) * ensemble.net.width * at_once > EVALUATION_FLOATS, "smaller than it need be"


def test_the_width_is_that_of_the_widest_layer():
    net = small.net(architectures()["resnet9"](width=4), source())
    assert net.width == 4 * 16 * 16, "the first convolution keeps the full 16 x 16 picture in 4 channels"
    assert small.net(architectures()["mlp"](hidden=999), source()).width == 999
    assert small.net(architectures()["logistic"](), source()).width == 2 * 16 * 16


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_margin_is_the_log_odds_of_the_true_class(scale):
    logits = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * scale
    y = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    p = logits.softmax(-1)
    for m in range(2):
        for b in range(7):
            others = sum(p[m, b, c] for c in range(4) if c != y[b])
            expected = (p[m, b, y[b]] / others).log()
            assert margins(logits, y)[m, b].item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-9)


def test_margins_take_labels_per_model_and_one_axis_less():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1, 2], [3, 2, 1]])
    assert torch.equal(margins(logits, y)[1], margins(logits[1], y[1]))
    assert margins(logits[0], y[0]).shape == (3,)


def test_margins_stay_finite_where_probabilities_do_not():
    """Catches log(p / (1 - p)): p rounds to 1 at a margin of 17 in float32."""
    logits = torch.tensor([[1000.0, 0.0, 0.0], [-1000.0, 0.0, 0.0]])
    found = margins(logits, torch.tensor([0, 0]))
    assert found.tolist() == pytest.approx([1000 - 0.693147, -1000 - 0.693147], abs=1e-3)
    assert margins(logits + 500, torch.tensor([0, 0])).tolist() == pytest.approx(found.tolist(), abs=1e-3)


def layered(net, key, strategy):
    return Ensemble.initial(net, seed=4, role="r", ids=range(3), device=small.CPU, strategy=strategy)


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
@pytest.mark.parametrize("key", architectures())
def test_named_layers_are_those_of_each_plain_network(key, strategy):
    """Catches outputs of another layer, of another model, or shared between models under vmap."""
    net = small.net(architectures()[key](**KEYS.get(key, {})), source())
    ensemble, x = layered(net, key, strategy), pictures()
    names = list(net.layers)
    layers = ensemble.layers_shared(x, names)
    assert names[-1] == "logits"
    assert torch.equal(layers["logits"], ensemble.logits_shared(x))
    if len(names) > 1:
        assert torch.equal(layers[names[-2]], ensemble.features_shared(x).flatten(2)), "the last before the logits"
    for m in range(3):
        plain = ensemble.network(m)
        assert torch.allclose(plain(x), layers["logits"][m], atol=1e-5)
        for name in names:
            (path,) = net.layers[name]
            outputs = []
            hook = plain.get_submodule(path).register_forward_hook(lambda _m, _i, out, to=outputs: to.append(out))
            plain(x)
            hook.remove()
            assert torch.allclose(outputs[0].flatten(1), layers[name][m], atol=1e-5), name
    assert not any(module._forward_hooks for module in net.evaluation_skeleton.modules()), "a hook was left behind"


def test_the_layers_of_shards_lie_side_by_side():
    recipe = small.training(shards=2)
    net = small.sharded(small.net(architectures()["mlp"](hidden=8, depth=2), source()), recipe)
    ensemble, x = layered(net, "mlp", "stacked"), pictures()
    layers = ensemble.layers_shared(x, ["hidden 1", "hidden 2", "logits"])
    assert layers["hidden 1"].shape == (3, 5, 16)
    assert torch.equal(layers["hidden 2"], ensemble.features_shared(x))
    assert torch.equal(layers["logits"], ensemble.logits_shared(x))
