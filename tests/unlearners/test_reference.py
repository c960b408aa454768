"""Each method against a slow, obvious one: a plain module, torch's own optimiser and the loop as its source has it.

Only the batches are shared, through :class:`engine.streams.Streams`. With batch norm, so that training and evaluation
mode of student and teacher matter.
"""

import copy
import itertools
from dataclasses import replace

import pytest
import small
import torch
import torch.nn.functional as F

from engine.ensemble import Ensemble
from engine.models import architectures
from engine.streams import Streams
from engine.train import last, train
from engine.unlearners import unlearners

NETS = {"mlp": {"hidden": 8}, "resnet9": {"width": 4}}
SMOOTHING, DECAY = 0.1, 0.02
"""Of the recipe: large enough that a method which drops either ends elsewhere."""
MODEL = 1
"""The model of the ensemble that the reference follows: not the first, so its number matters."""


def source():
    return small.data(side=15)


def originals(key):
    net = small.net(architectures()[key](**NETS[key]), source())
    recipe = small.training(epochs=3)
    return last(
        train(net, small.images(source()), recipe, seed=0, role="original", ids=range(2), strategy="stacked")
    ).ensemble


def oracles(original):
    return Ensemble.initial(
        original.net, seed=4, role="oracle", ids=original.ids, device=small.CPU, strategy=original.strategy
    )


def module(ensemble):
    """Return model MODEL of an ensemble as a plain module."""
    plain = ensemble.net.initial(0)
    plain.load_state_dict({k: v[MODEL] for k, v in {**ensemble.params, **ensemble.buffers}.items()})
    return plain


def batches(streams, split, batch_size):
    for positions in streams.epoch(len(split), batch_size):
        x, y = split.batch(positions[0])
        yield x, y


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def optimizer_of(method, student, decay=0.0):
    momentum = getattr(method, "momentum", 0.0)
    if getattr(method, "optimizer", "sgd") == "adam":
        return torch.optim.Adam(student.parameters(), lr=method.lr, weight_decay=decay)
    return torch.optim.SGD(student.parameters(), lr=method.lr, momentum=momentum, weight_decay=decay)


def recipe_loss(logits, y):
    """What the originals minimised, but for their weight decay, which is the optimiser's."""
    return F.cross_entropy(logits, y, label_smoothing=SMOOTHING)


def gradient_descent(method, student, forget, retain, streams, oracle):
    optimizer = optimizer_of(method, student, DECAY)
    for _ in range(method.epochs):
        for x, y in batches(streams, retain, method.batch_size):
            update(optimizer, recipe_loss(student(x), y))


def l1_sparse(method, student, forget, retain, streams, oracle):
    """The penalty falls linearly to zero at the share of the steps that is free."""
    optimizer = optimizer_of(method, student, DECAY)
    total = method.epochs * -(-len(retain) // method.batch_size)
    steps = itertools.count()
    for _ in range(method.epochs):
        for x, y in batches(streams, retain, method.batch_size):
            gamma = method.gamma * max(0.0, 1 - next(steps) / ((1 - method.free) * total))
            size = sum(weight.abs().sum() for weight in student.parameters())
            update(optimizer, recipe_loss(student(x), y) + gamma * size)


def random_labels(method, student, forget, retain, streams, oracle):
    optimizer = optimizer_of(method, student, DECAY)
    both = forget.join(retain)
    for _ in range(method.epochs):
        for positions in streams.epoch(len(both), method.batch_size):
            x, y = both.batch(positions[0])
            wrong = streams.wrong_labels(y.unsqueeze(0), 3)[0]
            update(optimizer, recipe_loss(student(x), torch.where(positions[0] < len(forget), wrong, y)))


def gradient_ascent(method, student, forget, retain, streams, oracle):
    optimizer = optimizer_of(method, student)
    for _ in range(method.epochs):
        for x, y in batches(streams, forget, method.batch_size):
            each = F.cross_entropy(student(x), y, reduction="none")
            update(optimizer, -torch.where(each < (method.ceiling or torch.inf), each, each.detach()).mean())


def neg_grad_plus(method, student, forget, retain, streams, oracle):
    optimizer = optimizer_of(method, student, DECAY)
    cycled = itertools.chain.from_iterable(batches(streams, forget, method.batch_size) for _ in itertools.count())
    a, b = method.retain_weight, method.forget_weight
    for _ in range(method.epochs):
        for x, y in batches(streams, retain, method.batch_size):
            x_forget, y_forget = next(cycled)
            keep, drop = recipe_loss(student(x), y), recipe_loss(student(x_forget), y_forget)
            update(optimizer, a * keep - b * drop)


def scrub(method, student, forget, retain, streams, oracle):
    """Algorithm 1 of Towards Unbounded Machine Unlearning: a maximise epoch, then a minimise epoch."""
    optimizer = optimizer_of(method, student, DECAY)
    average = torch.optim.swa_utils.AveragedModel(
        student, avg_fn=lambda average, new, _: method.averaging * average + (1 - method.averaging) * new
    )
    drops = [int(part) for part in method.decay_after.split()]
    teacher = copy.deepcopy(student).eval()
    t = method.temperature

    def distance(x, logits):
        with torch.no_grad():
            p = F.softmax(teacher(x) / t, dim=1)
        return F.kl_div(F.log_softmax(logits / t, dim=1), p, reduction="batchmean") * t**2

    for epoch in range(method.epochs):
        optimizer.param_groups[0]["lr"] = method.lr * 0.1 ** len([drop for drop in drops if drop <= epoch])
        if epoch < method.maximise_epochs:
            for x, _ in batches(streams, forget, method.forget_batch_size):
                update(optimizer, -distance(x, student(x)))
        for x, y in batches(streams, retain, method.batch_size):
            logits = student(x)
            update(optimizer, method.gamma * recipe_loss(logits, y) + method.alpha * distance(x, logits))
        average.update_parameters(student)
    if method.averaging:
        student.load_state_dict({**student.state_dict(), **dict(average.module.named_parameters())})


def oracle_matching(method, student, forget, retain, streams, oracle):
    """Algorithm C.1 of Unlearning via Simulated Oracle Matching: F and a fresh part of R in every epoch."""
    optimizer = optimizer_of(method, student)
    drawn = round(method.retain_share * len(retain))
    for _ in range(method.epochs):
        part = retain.take(streams.choice(len(retain), drawn)[0])
        for _ in range(method.repeats if method.matched == "both" else 0):
            part = forget.join(part)
        for x, _ in batches(streams, part, method.batch_size):
            with torch.no_grad():
                target = oracle.eval()(x)
            update(optimizer, ((student(x) - target) ** 2).sum(dim=1).mean())


CASES = [
    (gradient_descent, {"epochs": 2, "lr": 0.02, "batch_size": 16}),
    (gradient_descent, {"epochs": 1, "lr": 0.02, "batch_size": 16, "momentum": 0.0}),
    (gradient_descent, {"epochs": 2, "lr": 0.002, "batch_size": 16, "optimizer": "adam"}),
    (gradient_ascent, {"epochs": 3, "lr": 0.01, "batch_size": 4, "ceiling": 0.0}),
    (gradient_ascent, {"epochs": 4, "lr": 0.1, "batch_size": 4, "ceiling": 1.0}),
    (neg_grad_plus, {"epochs": 2, "lr": 0.01, "batch_size": 4, "retain_weight": 0.8, "forget_weight": 0.2}),
    (neg_grad_plus, {"epochs": 2, "lr": 0.01, "batch_size": 16, "retain_weight": 1.0, "forget_weight": 0.5}),
    (l1_sparse, {"epochs": 2, "lr": 0.02, "batch_size": 16, "gamma": 1e-3}),
    (l1_sparse, {"epochs": 2, "lr": 0.002, "batch_size": 16, "optimizer": "adam"}),
    (random_labels, {"epochs": 2, "lr": 0.02, "batch_size": 16, "optimizer": "sgd"}),
    (scrub, {"epochs": 3, "maximise_epochs": 2, "optimizer": "sgd", "lr": 0.1, "alpha": 0.5, "gamma": 0.9,
             "temperature": 1.5, "forget_batch_size": 2, "batch_size": 16, "momentum": 0.0}),
    (scrub, {"epochs": 4, "maximise_epochs": 2, "optimizer": "sgd", "lr": 0.1, "temperature": 4.0, "batch_size": 16,
             "forget_batch_size": 2, "decay_after": "1 3", "averaging": 0.4}),
    (scrub, {"epochs": 2, "maximise_epochs": 0, "optimizer": "adam", "lr": 5e-4, "batch_size": 16}),
    (oracle_matching, {"epochs": 3, "optimizer": "sgd", "lr": 0.005, "retain_share": 0.3, "batch_size": 8}),
    (oracle_matching, {"epochs": 2, "optimizer": "sgd", "lr": 0.005, "retain_share": 0.5, "batch_size": 8,
                       "repeats": 3}),
    (oracle_matching, {"epochs": 3, "optimizer": "sgd", "lr": 0.005, "retain_share": 0.5, "batch_size": 8,
                       "matched": "retain"}),
    (oracle_matching, {"epochs": 2, "optimizer": "adam", "lr": 1e-3, "retain_share": 0.0, "batch_size": 4}),
]  # fmt: skip


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
@pytest.mark.parametrize("key", NETS)
@pytest.mark.parametrize(("reference", "settings"), CASES, ids=[f"{f.__name__}-{i}" for i, (f, _) in enumerate(CASES)])
def test_equals_the_loop_of_its_source(reference, settings, key, strategy):
    """Catches a wrong sign, order of phases, teacher, mode, weight, target or set of examples."""
    original = originals(key)
    method = unlearners()[reference.__name__](**settings)
    oracle = oracles(original)
    recipe = small.training(label_smoothing=SMOOTHING, weight_decay=DECAY)
    task = small.task(original.net, small.images(source()), method.card.reads, oracle.logits, recipe)
    ours = last(method.unlearn(replace(original, strategy=strategy), task, seed=3)).ensemble
    student = module(original).train()
    everything = small.task(original.net, small.images(source()), ("forget", "retain"))
    streams = Streams(3, reference.__name__, [original.ids[MODEL]], small.CPU)
    reference(method, student, everything.forget, everything.retain, streams, module(oracle))
    # Adam divides by the root of tiny squared gradients, which magnifies rounding.
    tolerance = 3e-4 if getattr(method, "optimizer", "sgd") == "adam" else 1e-5
    moved = 0.0
    for name, value in student.state_dict().items():
        found = {**ours.params, **ours.buffers}[name][MODEL]
        assert torch.allclose(found.double(), value.double(), atol=tolerance, rtol=1e-3), name
        if name in ours.params:
            moved = max(moved, float((value - original.params[name][MODEL]).abs().max()))
    assert moved > 2e-3, "too short a walk to tell methods apart"


def test_oracle_matching_asks_about_all_of_f_and_a_fresh_part_of_r():
    """Catches a retain sample drawn once for all epochs, and a forget example left out."""
    original = originals("mlp")
    images = small.images(source())
    asked = []

    def oracle(x):
        asked.append(x.clone())
        return torch.zeros(len(x), x.shape[1], original.net.classes)

    method = unlearners()["oracle_matching"](epochs=2, retain_share=0.5, batch_size=9)
    task = small.task(original.net, images, method.card.reads, oracle)
    steps = last(method.unlearn(original, task, seed=0)).total
    assert steps == len(asked) == 2 * 3  # 6 of F and 21 of R, nine at a time
    everything = images.pictures(slice(None)).flatten(1)
    seen = []
    for m, epoch in itertools.product(range(2), range(2)):
        x = torch.cat([batch[m] for batch in asked[3 * epoch : 3 * epoch + 3]]).flatten(1)  # (B, pixels)
        numbers = [int((everything == row).all(dim=1).nonzero()[0, 0]) for row in x]
        assert len(set(numbers)) == 27
        assert set(small.FORGET.tolist()) <= set(numbers)
        seen.append(frozenset(numbers))
    assert len(set(seen)) == 4, "each model and each epoch draws its own part of R"
