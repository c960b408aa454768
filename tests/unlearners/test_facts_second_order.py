"""Facts of curvature products, influence steps and Fisher forgetting that only right implementations satisfy."""

import dataclasses
import functools

import pytest
import small
import torch
import torch.nn.functional as F

from engine.curvature import conjugate_gradients, flatten, gauss_newton_product, hessian_product, over, unflatten
from engine.ensemble import Ensemble
from engine.gradients import mean_square_gradient
from engine.losses import cross_entropy
from engine.models import architectures
from engine.train import last, train
from engine.unlearners import unlearners

KEPT = torch.ones(48, dtype=torch.bool).index_fill(0, small.FORGET, False)


def originals(models=2, net=None, images=None, **training):
    recipe = small.training(**{"epochs": 10, **training})
    images = images or small.images()
    return last(
        train(net or small.net(), images, recipe, seed=0, role="original", ids=range(models), strategy="stacked")
    ).ensemble


def run(method, original, images=None, recipe=None, seed=0):
    task = small.task(original.net, images or small.images(), method.card.reads, recipe=recipe)
    return list(method.unlearn(original, task, seed=seed))[-1].ensemble


def module_of(original, m):
    """Model m as a plain module in evaluation mode and in double precision."""
    module = original.net.initial(0).eval()
    module.load_state_dict({k: v[m] for k, v in {**original.params, **original.buffers}.items()})
    return module.double()


def dense(original, m, images, *, gauss_newton=False, label_smoothing=0.0):
    """Model m's curvature matrix (P, P), by autograd one entry at a time."""
    module = module_of(original, m)
    shapes = {k: v.shape for k, v in module.named_parameters()}
    start = torch.cat([v.detach().flatten() for _, v in module.named_parameters()])
    x, y = images.pictures(slice(None)).double(), images.y

    def logits(flat):
        parts = flat.split([s.numel() for s in shapes.values()])
        return torch.func.functional_call(
            module, {k: p.view(s) for (k, s), p in zip(shapes.items(), parts, strict=True)}, (x,)
        )

    if not gauss_newton:
        loss = functools.partial(F.cross_entropy, target=y, label_smoothing=label_smoothing)
        return torch.autograd.functional.hessian(lambda flat: loss(logits(flat)), start)
    jacobian = torch.autograd.functional.jacobian(logits, start)  # (B, C, P)
    p = logits(start).softmax(-1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]  # (B, C, C)
    return torch.einsum("bcp,bcd,bdq->pq", jacobian, middle, jacobian) / len(x)


def random_vector(original, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) for k, v in original.params.items()}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_curvature_products_are_the_dense_matrices_times_the_vector(smoothing):
    original, images = originals(), small.images()
    vector = random_vector(original)
    loss = functools.partial(cross_entropy, label_smoothing=smoothing)
    hessian = over(lambda e, v, x, y: hessian_product(e, loss, v, x, y), original, vector, images)
    gauss_newton = over(gauss_newton_product, original, vector, images)
    for m in range(2):
        v = flatten(vector)[m].double()
        wanted = dense(original, m, images, label_smoothing=smoothing) @ v
        assert torch.allclose(flatten(hessian)[m].double(), wanted, atol=1e-5)
        wanted = dense(original, m, images, gauss_newton=True) @ v
        assert torch.allclose(flatten(gauss_newton)[m].double(), wanted, atol=1e-5)
    apart = (flatten(hessian) - flatten(gauss_newton)).norm() / flatten(hessian).norm()
    assert apart > 0.01, "the network's own curvature is there to be told apart"


def test_where_logits_are_linear_both_curvatures_are_one():
    original = originals(net=small.net(architectures()["logistic"]()))
    vector = random_vector(original)
    hessian = over(lambda e, v, x, y: hessian_product(e, cross_entropy, v, x, y), original, vector, small.images())
    gauss_newton = over(gauss_newton_product, original, vector, small.images())
    assert torch.allclose(flatten(hessian), flatten(gauss_newton), atol=1e-6)


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_products_do_not_depend_on_batches_strategy_or_whose_the_batch_is(kind, monkeypatch):
    source = small.data(side=12)
    images = small.images(source)
    original = originals(net=small.net(architectures()["resnet9"](width=4), source), images=images, epochs=2)
    vector = random_vector(original)

    def product(ensemble, vector, x, y):
        if kind == "gauss_newton":
            return gauss_newton_product(ensemble, vector, x, y)
        return hessian_product(ensemble, cross_entropy, vector, x, y)

    whole = flatten(over(product, original, vector, images))
    looped = dataclasses.replace(original, strategy="looped")
    x, y = images.pictures(slice(None)), images.y
    own = product(original, vector, x.expand(2, *x.shape), y.expand(2, -1))
    order = torch.stack([torch.arange(20), torch.arange(28, 48)])  # (M, B)
    mine = [flatten(product(e, vector, *images.batch(order))) for e in (original, looped)]
    alone = flatten(product(original, vector, *(part[0] for part in images.batch(order))))
    assert torch.allclose(mine[0], mine[1], atol=1e-5 * whole.abs().max())
    assert torch.allclose(mine[0][0], alone[0], atol=1e-5 * whole.abs().max())
    assert not torch.allclose(mine[0][1], alone[1], atol=1e-2 * whole.abs().max()), (
        "the second model has other pictures"
    )
    monkeypatch.setattr("engine.ensemble.EVALUATION_FLOATS", 2 * original.net.width * 7)
    assert [s.stop - s.start for s in original.spans(48)] == [7] * 6 + [6]
    parts = flatten(over(product, original, vector, images))
    for other in (parts, flatten(over(product, looped, vector, images)), flatten(own)):
        assert torch.allclose(other, whole, atol=1e-5 * whole.abs().max())


def test_flattening_comes_back():
    vector = random_vector(originals())
    back = unflatten(flatten(vector), vector)
    assert list(back) == list(vector)
    assert all(torch.equal(back[k], vector[k]) for k in vector)


def test_conjugate_gradients_solve_each_system_on_its_own():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 12, 12, generator=generator)
    scale = torch.tensor([1.0, 50.0, 1e-3])[:, None, None]
    a = scale * (root @ root.transpose(1, 2) / 12 + 0.5 * torch.eye(12))
    wanted = torch.randn(3, 12, generator=generator)

    def solve(rows, iterations):
        steps = conjugate_gradients(lambda v: (a[rows] @ v.unsqueeze(-1)).squeeze(-1), wanted[rows], iterations)
        return list(steps)

    every = solve(slice(None), 40)
    exact = torch.linalg.solve(a.double(), wanted.double())
    assert len(every) == 40
    assert ((every[-1] - exact).norm(dim=1) < 1e-4 * exact.norm(dim=1)).all()
    for m in range(3):
        alone = solve(slice(m, m + 1), 5)[-1]
        assert torch.allclose(alone[0], every[4][m], rtol=1e-4, atol=1e-6), "step lengths are each model's own"


def test_conjugate_gradients_stop_where_the_curvature_turns_negative():
    a = torch.diag_embed(torch.tensor([[2.0, 1.0, 0.5], [-1.0, 0.5, 1.0], [4.0, 3.0, -2.0]]))
    wanted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.5, 2.0]])
    steps = list(conjugate_gradients(lambda v: (a @ v.unsqueeze(-1)).squeeze(-1), wanted, 10))
    assert torch.allclose(steps[-1][0], torch.tensor([0.5, 1.0, 0.0]))
    assert torch.equal(steps[-1][1], torch.zeros(3)), "the first direction already bends down"
    assert torch.equal(steps[-1][2], steps[0][2]), "the second one does: the first step stays for good"
    assert steps[0][2].abs().max() > 0


def retrained(original, m, images, decay, label_smoothing=0.0):
    """The exact minimum of the training loss for a linear model, from model m by Newton's own iterations: (P,)."""
    module = module_of(original, m)
    params = list(module.parameters())
    x, y = images.pictures(slice(None)).double(), images.y
    optimizer = torch.optim.LBFGS(
        params,
        max_iter=2000,
        tolerance_grad=1e-11,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
        history_size=50,
    )

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), y, label_smoothing=label_smoothing)
        loss = loss + decay / 2 * sum(p.square().sum() for p in params)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert all(p.grad.abs().max() < 1e-8 for p in params)
    return torch.cat([p.detach().flatten() for p in params])


def at(original, flat):
    """The ensemble with these weights (M, P)."""
    params = {k: v.float() for k, v in unflatten(flat, original.params).items()}
    return dataclasses.replace(original, params=params)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("gradient", "curvature"), [("forget", "gauss_newton"), ("retain", "hessian")])
def test_on_logistic_regression_the_step_lands_near_the_exact_retrain(gradient, curvature, smoothing):
    images, decay = small.images(), 0.05
    recipe = small.training(weight_decay=decay, label_smoothing=smoothing)
    start = originals(net=small.net(architectures()["logistic"]()))
    whole = torch.stack([retrained(start, m, images, decay, smoothing) for m in range(2)])  # (M, P)
    wanted = retrained(start, 0, images.take(KEPT.nonzero()[:, 0]), decay, smoothing)  # (P,)
    method = unlearners()["influence"](gradient=gradient, curvature=curvature, damping=0, passes=60)
    after = flatten(run(method, at(start, whole), recipe=recipe).params).double()
    for m in range(2):
        nothing, left = (whole[m] - wanted).norm(), (after[m] - wanted).norm()
        assert left < nothing / 10, f"{left:.2g} left of {nothing:.2g}"


def quadratic(student, x, y, **smoothing):
    return (student(x) - F.one_hot(y, 3)).square().sum(dim=1).mean()


@pytest.mark.parametrize("gradient", ["forget", "retain"])
def test_on_a_quadratic_loss_the_step_is_the_retrain(gradient, monkeypatch):
    """Least squares with weight decay has a closed form, and Newton's step from anywhere is it."""
    monkeypatch.setattr("engine.objective.cross_entropy", quadratic)
    images, decay = small.images(), 0.3
    start = originals(net=small.net(architectures()["logistic"]()))

    def ridge(some):
        x = some.pictures(slice(None)).double().flatten(1)
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        matrix = 2 * x.T @ x / len(x) + decay * torch.eye(x.shape[1])
        both = torch.linalg.solve(matrix, 2 * x.T @ F.one_hot(some.y, 3).double() / len(x))  # (pixels + 1, C)
        return torch.cat([both[:-1].T.flatten(), both[-1]])

    whole, wanted = ridge(images), ridge(images.take(KEPT.nonzero()[:, 0]))
    begin = at(start, whole.expand(2, -1)) if gradient == "forget" else start  # retain: no minimum needed
    method = unlearners()["influence"](gradient=gradient, curvature="hessian", damping=0, passes=60)
    after = flatten(run(method, begin, recipe=small.training(weight_decay=decay)).params).double()
    assert (whole - wanted).norm() > 0.05
    assert torch.allclose(after, wanted.expand(2, -1), atol=2e-5)


@pytest.mark.parametrize("curvature", ["gauss_newton", "hessian"])
def test_cg_and_lissa_solve_the_dense_system_of_a_network(curvature):
    original, images = originals(), small.images()
    recipe = small.training(weight_decay=0.01)
    retain, forget = images.take(KEPT.nonzero()[:, 0]), images.take(small.FORGET)
    settings = {"curvature": curvature, "damping": 0.5}
    solved = {
        "cg": run(unlearners()["influence"](**settings, passes=60), original, recipe=recipe),
        "lissa": run(
            unlearners()["influence"](**settings, solver="lissa", scale=20.0, passes=400, batch_size=64),
            original,
            recipe=recipe,
        ),
    }
    for m in range(2):
        module = module_of(original, m)
        x, y = forget.pictures(slice(None)).double(), forget.y
        loss = F.cross_entropy(module(x), y, reduction="sum")
        loss = loss + len(y) * 0.01 / 2 * sum(p.square().sum() for p in module.parameters())
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])
        matrix = dense(original, m, retain, gauss_newton=curvature == "gauss_newton")
        step = torch.linalg.solve(matrix + 0.51 * torch.eye(len(matrix)), gradient / 42)
        for name, after in solved.items():
            moved = (flatten(after.params) - flatten(original.params))[m].double()
            assert (moved - step).norm() < 1e-3 * step.norm(), name


def test_lissa_on_batches_comes_near_the_same_step_and_draws_by_the_seed():
    original = originals()
    settings = {"damping": 0.5, "passes": 60}
    start = flatten(original.params)
    exact = flatten(run(unlearners()["influence"](**settings), original).params) - start
    rough = unlearners()["influence"](**settings, solver="lissa", scale=50.0, batch_size=8)
    one, other = (flatten(run(rough, original, seed=s).params) - start for s in (0, 1))
    assert not torch.equal(one, other)
    for m in range(2):
        assert (one[m] - exact[m]).norm() < 0.1 * exact[m].norm()


@pytest.mark.parametrize("model", ["mlp", "resnet9"])
def test_conjugate_gradients_are_stacked_as_looped_and_cost_what_was_planned(model):
    source = small.data(side=12)
    images = small.images(source)
    net = small.net(architectures()[model](**{"mlp": {"hidden": 8}, "resnet9": {"width": 4}}[model]), source)
    original = originals(net=net, images=images, epochs=2)
    for gradient, curvature in (("forget", "gauss_newton"), ("retain", "hessian")):
        method = unlearners()["influence"](gradient=gradient, curvature=curvature, passes=4, damping=1.0)
        task = small.task(net, images, method.card.reads)
        ends = []
        for strategy in ("stacked", "looped"):
            *_, end = method.unlearn(dataclasses.replace(original, strategy=strategy), task, seed=0)
            ends.append(end)
        assert small.close(ends[0].ensemble, ends[1].ensemble, 1e-4)
        assert small.close(method_alone(method, original, task), ends[0].ensemble[1:2], 1e-4)
        assert ends[0].step == ends[0].total == 4
        first, product = (6, 6) if gradient == "forget" else (42, 9)
        assert ends[0].cost == 3 * first + 4 * 42 * product
        assert ends[0].cost == method.planned_cost(forget=6, retain=42, training=small.training())
        assert ends[0].seen == first + 4 * 42
        for k, before in original.buffers.items():
            assert torch.equal(ends[0].ensemble.buffers[k], before), "batch norm is frozen"


def method_alone(method, original, task):
    *_, end = method.unlearn(original[1:2], task, seed=0)
    return end.ensemble


def test_the_newton_step_of_the_retain_set_never_looks_at_the_forget_set():
    original = originals()
    method = unlearners()["influence"](gradient="retain", passes=3)
    task = small.task(original.net, small.images(), ("retain",))
    assert not small.same(list(method.unlearn(original, task, seed=0))[-1].ensemble, original)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_fisher_noise_has_the_formulas_variance_and_is_larger_where_information_is_smaller(power):
    one = originals(models=1)
    copies = 4000
    many = Ensemble(
        one.net,
        {k: v.expand(copies, *v.shape[1:]).clone() for k, v in one.params.items()},
        {},
        tuple(range(copies)),
    )
    alpha, ceiling = 1e-6, 200.0
    retain = small.images().take(KEPT.nonzero()[:, 0])
    information = flatten(mean_square_gradient(one, cross_entropy, retain))[0]  # (P,)
    method = unlearners()["fisher"](alpha=alpha, power=power, ceiling=ceiling)
    noise = flatten(run(method, many).params) - flatten(one.params)  # (copies, P)
    wanted = alpha * ((information + 1e-8) ** -power).clamp(max=ceiling)
    assert (wanted < alpha * ceiling * 0.99).sum() > 20, "some are free, and"
    if power == 1.0:
        assert (wanted >= alpha * ceiling * 0.99).any(), "some are held by the ceiling"
    ratio = noise.square().mean(dim=0) / wanted
    assert (ratio - 1).abs().max() < 0.15  # six standard deviations of a variance from 4,000 draws
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert noise.mean(dim=0).abs().div(wanted.sqrt()).max() < 6 / copies**0.5
    order = information.argsort()
    spread = noise.square().mean(dim=0)
    assert spread[order[:20]].mean() > 2 * spread[order[-20:]].mean()
    together = torch.corrcoef(noise[:, order[-30:]].T) - torch.eye(30)
    assert together.abs().max() < 0.1, "each weight draws its own"
