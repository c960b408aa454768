"""Training in shards and slices: who learns what, how they vote, and what does not depend on what."""

import dataclasses

import numpy as np
import pytest
import small
import torch

from engine.ensemble import Ensemble, margins
from engine.experiment import resolve
from engine.knobs import BadSetting
from engine.models import architectures
from engine.models.base import Net
from engine.models.sharded import ShardedNet, net_for, voted
from engine.plan import data_job
from engine.records import Recipe
from engine.scope import Scope
from engine.sharding import cut
from engine.streams import Streams
from engine.train import last, train
from engine.training import Training

FEW = {"logistic": {}, "mlp": {"hidden": 8}, "cnn": {"channels": 4}, "resnet9": {"width": 4}}


def cutting(**settings):
    return small.training(**{"shards": 3, "slices": 2, **settings})


def trained(recipe, source=None, *, key="mlp", ids=range(3), strategy="stacked", **more):
    source = source or small.data()
    net = net_for(architectures()[key](**FEW[key]), source.shape, 3, recipe)
    about = {"seed": 0, "role": "original", "ids": ids, "strategy": strategy}
    return last(train(net, small.images(source), recipe, **about, **more)).ensemble


def shard(models, s):
    """The networks of shard s as a plain ensemble."""
    start = {"body": f"body.{s}.", "head": f"head.{s}."}

    def own(tensors):
        return {
            f"{half}.{k.removeprefix(begin)}": v
            for half, begin in start.items()
            for k, v in tensors.items()
            if k.startswith(begin)
        }

    return dataclasses.replace(models, net=models.net.one, params=own(models.params), buffers=own(models.buffers))


@pytest.mark.parametrize("n", [48, 50, 7])
def test_shards_and_slices_part_the_training_set_evenly(n):
    """Catches examples that nobody learns or that two shards learn, and lopsided cuts."""
    recipe = Training(shards=3, slices=2)
    piece = cut(n, recipe, seed=0, role="original", ids=range(20))
    assert piece.shape == (20, n)
    for row in piece:
        sizes = torch.bincount(row, minlength=6).view(3, 2)
        assert sizes.sum() == n
        assert sizes.sum(dim=1).max() - sizes.sum(dim=1).min() <= 1
        assert (sizes.max(dim=1).values - sizes.min(dim=1).values).max() <= 1
    # Over the models every example is everywhere alike: each of 6 pieces a sixth of the time.
    share = torch.bincount(cut(48, recipe, seed=0, role="x", ids=range(2000))[:, 5], minlength=6) / 2000
    assert torch.allclose(share, torch.full((6,), 1 / 6), atol=0.04)


def test_the_cut_depends_on_seed_role_and_model_alone():
    """Catches a cut by position in a chunk, and one cut for all models."""

    def of(*ids, seed=0, role="original"):
        return cut(48, Training(shards=4), seed=seed, role=role, ids=ids)

    assert torch.equal(of(0, 1, 2, 3)[2:], of(2, 3))
    assert not torch.equal(of(0), of(1))
    assert not torch.equal(of(0), of(0, seed=1))
    assert not torch.equal(of(0), of(0, role="oracle"))


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_each_network_learns_its_shard_and_nothing_else(slices):
    """Catches shards that leak: pictures of other shards, poisoned, must not move one bit of a network."""
    recipe = cutting(slices=slices, epochs=4)
    clean = trained(recipe)
    piece = cut(48, recipe, seed=0, role="original", ids=range(3)) // slices
    source = small.data()
    for s in range(3):
        poisoned = small.images(source)
        poisoned.x[piece[1] != s] = 255
        poisoned.y[piece[1] != s] = 0
        net = small.sharded(small.net(), recipe)
        again = last(train(net, poisoned, recipe, seed=0, role="original", ids=range(3), strategy="stacked")).ensemble
        assert small.same(shard(again, s)[1:2], shard(clean, s)[1:2])
        assert not small.same(shard(again, (s + 1) % 3)[1:2], shard(clean, (s + 1) % 3)[1:2])


def test_a_shard_is_an_ordinary_training_on_its_part():
    """Catches another number of epochs, a wrong stream or schedule: without slices it is `train` on the shard."""
    recipe = cutting(slices=1)
    piece = cut(48, recipe, seed=0, role="original", ids=[2])[0]
    whole = trained(recipe)
    plain = dataclasses.replace(recipe, shards=1)
    for s in range(3):
        alone = last(
            train(
                small.net(),
                small.images(),
                plain,
                seed=0,
                role="original",
                ids=[2 * 3 + s],
                strategy="stacked",
                subset=(piece == s).nonzero()[:, 0],
            )
        ).ensemble
        assert small.close(shard(whole, s)[2:3], alone, 1e-6)


def test_slices_are_learned_one_after_the_other_by_hand():
    """Catches slices trained alone instead of added, epochs in a wrong place, weights not carried over."""
    recipe = cutting(shards=1, slices=2, epochs=6, momentum=0.0, schedule="constant")
    assert recipe.slice_epochs == (4, 4)
    ours = trained(recipe, ids=[1])
    rank = cut(48, recipe, seed=0, role="original", ids=[1])[0]
    now = Ensemble.initial(small.net(), seed=0, role="original", ids=[1], device=small.CPU, strategy="looped")
    model = now.net.initial(0).train()
    model.load_state_dict({k: v[0] for k, v in now.params.items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    images = small.images()
    for r in range(2):
        rows = (rank <= r).nonzero()[:, 0]
        streams = Streams(0, "original:batches" + (":1" if r else ""), [1], small.CPU)
        for _ in range(4):
            for order in streams.epoch(len(rows), recipe.batch_size):
                x, y = images.batch(rows[order[0]])
                loss = torch.nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    for name, weight in model.named_parameters():
        half, rest = name.split(".", 1)
        assert torch.allclose(weight, ours.params[f"{half}.0.{rest}"][0], atol=1e-5), name


def test_what_is_kept_after_a_slice_does_not_know_of_later_ones():
    """Catches a checkpoint taken late, and slices that share a stream or a schedule with the next."""
    recipe = cutting(slices=3, epochs=6)
    kept = []
    final = trained(recipe, checkpoint=kept.append)
    assert len(kept) == 2
    piece = cut(48, recipe, seed=0, role="original", ids=range(3)) % 3
    poisoned = small.data()
    seen = []
    images = small.images(poisoned)
    images.x[piece[0] == 2] = 255
    images.y[piece[0] == 2] = 1
    net = small.sharded(small.net(), recipe)
    about = {"seed": 0, "role": "original", "ids": range(3), "strategy": "stacked"}
    other = last(train(net, images, recipe, **about, checkpoint=seen.append)).ensemble
    for r in range(2):
        assert small.same(seen[r][:1], kept[r][:1])
    assert not small.same(other[:1], final[:1])
    assert not small.same(kept[1], final)
    assert not small.same(kept[0], kept[1])


def test_epochs_over_slices_cost_what_the_recipe_says():
    """The paper's rule e_r = 2 e / (R + 1); catches rounding that adds up."""
    assert Training(epochs=20).slice_epochs == (20,)
    assert Training(epochs=21, slices=6).slice_epochs == (6, 6, 6, 6, 6, 6)
    assert Training(epochs=20, slices=2).slice_epochs == (13, 14)
    assert Training(epochs=20, slices=10).slice_epochs == (4, 3, 4, 4, 3, 4, 3, 4, 4, 3)
    assert Training(epochs=2, slices=8).slice_epochs == (1,) * 8, "every slice is learned"
    for slices in range(1, 11):
        recipe = Training(epochs=20, slices=slices)
        assert recipe.visits == pytest.approx(20, abs=0.75)
        assert max(recipe.slice_epochs) - min(recipe.slice_epochs) <= 1


def test_the_cost_is_counted_as_passes_of_the_whole_network():
    """Catches a price that grows with the shards: an example goes through one network of S, so through 1 / S of all."""
    recipe = cutting(shards=4, slices=2, epochs=3)
    assert recipe.slice_epochs == (2, 2)
    net = small.sharded(small.net(), recipe)
    snapshots = list(train(net, small.images(), recipe, seed=0, role="original", ids=range(3), strategy="stacked"))
    assert snapshots[-1].seen == 48 * 3 == 48 * recipe.visits
    assert snapshots[-1].cost == 48 * 3 * 3 / 4 == 48 * recipe.visits * recipe.passes
    assert [s.step for s in snapshots] == list(range(snapshots[-1].total + 1))
    assert all(len(s.ensemble) == 3 for s in snapshots), "every frame holds all models"


@pytest.mark.parametrize("key", FEW)
@pytest.mark.parametrize("vote", ["mean", "majority"])
def test_stacked_equals_looped_and_chunks_do_not_matter(key, vote):
    """Catches a vote or a body that only works on one model, and networks numbered by their place."""
    source = small.data(side=16)
    recipe = cutting(vote=vote)
    whole = trained(recipe, source, key=key)
    looped = trained(recipe, source, key=key, strategy="looped")
    assert small.close(whole, looped, 2e-3)
    assert small.close(whole[2:], trained(recipe, source, key=key, ids=[2]), 2e-3)
    x = small.images(source).pictures(slice(0, 9))
    assert torch.allclose(
        whole.logits_shared(x), dataclasses.replace(whole, strategy="looped").logits_shared(x), atol=1e-5
    )
    own = x.expand(3, *x.shape)
    assert torch.allclose(whole.logits(own), whole.logits_shared(x), atol=1e-5)


def test_the_mean_vote_is_the_log_of_the_mean_probabilities():
    models = trained(cutting())
    x = small.images().pictures(slice(0, 20))
    parts = torch.stack([shard(models, s).logits_shared(x) for s in range(3)])  # (S, M, B, C)
    assert torch.allclose(models.logits_shared(x).exp(), parts.softmax(-1).mean(dim=0), atol=1e-6)
    features = torch.cat([shard(models, s).features_shared(x) for s in range(3)], dim=-1)
    assert torch.allclose(models.features_shared(x), features, atol=1e-6), "the body ends in everybody's features"


def test_the_majority_wins_whatever_the_others_are_sure_of():
    """Catches a mean in disguise, ties by number of class, and margins that are not finite."""
    unsure, sure = [0.1, 0.0, 0.0], [0.0, 0.0, 50.0]
    two_of_three = torch.tensor([[unsure], [unsure], [sure]])  # (S, 1, C)
    assert voted(two_of_three, "majority").argmax() == 0
    assert voted(two_of_three, "mean").argmax() == 2
    tie = torch.tensor([[unsure], [sure]])
    assert voted(tie, "majority").argmax() == 2, "mean probabilities decide between equals"
    generator = torch.Generator().manual_seed(0)
    logits = 30 * torch.randn(5, 400, 4, generator=generator)
    together = voted(logits, "majority")
    votes = torch.nn.functional.one_hot(logits.argmax(-1), 4).sum(dim=0)  # (B, C)
    assert (votes.gather(1, together.argmax(-1, keepdim=True)).squeeze(1) == votes.max(dim=1).values).all()
    assert torch.allclose(together.exp().sum(-1), torch.ones(400), atol=1e-5)
    assert torch.allclose(together.exp(), (votes + logits.softmax(-1).mean(0)) / 6, atol=1e-6)
    for y in range(4):
        assert torch.isfinite(margins(together, torch.full((400,), y))).all()
    assert not torch.allclose(
        trained(cutting()).net.initial(3)(small.images().pictures(slice(0, 5))),
        trained(cutting(vote="majority")).net.initial(3)(small.images().pictures(slice(0, 5))),
    )


def test_fresh_shards_differ():
    """Catches a random teacher, or a new student, whose S networks are one and the same."""
    net = small.sharded(small.net(), cutting())
    fresh = Ensemble.initial(net, seed=0, role="teacher", ids=[0], device=small.CPU, strategy="stacked")
    assert not small.same(shard(fresh, 0), shard(fresh, 1))
    again = Ensemble.initial(net, seed=0, role="teacher", ids=[0], device=small.CPU, strategy="stacked")
    assert small.same(fresh, again)


def test_one_network_answers_as_it_is():
    """Catches slices that change what a single network says: only shards vote."""
    x = small.images().pictures(slice(0, 9))
    models = trained(cutting(shards=1))
    assert torch.equal(models.logits_shared(x), shard(models, 0).logits_shared(x))


def test_joining_and_splitting_are_inverse_and_keep_the_order_of_weights():
    models = trained(cutting(), small.data(side=16), key="resnet9", ids=[4, 9])
    net = models.net
    again = net.join(net.split(models.params))
    assert list(again) == [name for name, _ in net.initial(0).named_parameters()] == list(models.params)
    assert all(torch.equal(again[k], v) for k, v in models.params.items())
    stored = {k: np.asarray(v.numpy(), order="C") for k, v in models.tensors().items()}
    back = Ensemble.from_tensors(
        net, {k: torch.from_numpy(v) for k, v in stored.items()}, ids=[4, 9], strategy="stacked"
    )
    assert small.same(back, models)


def test_a_training_in_one_piece_has_a_plain_network():
    source = small.data()
    assert type(net_for(architectures()["mlp"](), source.shape, 3, Training())) is Net
    assert type(net_for(architectures()["mlp"](), source.shape, 3, Training(slices=2))) is ShardedNet


def test_what_cannot_be_cut_is_refused_in_words():
    with pytest.raises(BadSetting, match="48 pictures cannot be cut into 60 shards"):
        trained(cutting(shards=60))
    with pytest.raises(ValueError, match="needs a network of as many"):
        last(train(small.net(), small.images(), cutting(), seed=0, role="o", ids=[0], strategy="looped"))
    with pytest.raises(ValueError, match="a subset is empty"):
        trained(cutting(), subset=torch.empty(0, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"the mask must be \(3, 48\)"):
        trained(cutting(), subset=torch.ones(2, 48, dtype=torch.bool))


def test_a_mask_per_model_is_cut_like_a_list():
    kept = torch.tensor([i for i in range(48) if i not in small.FORGET.tolist()])
    mask = torch.zeros(3, 48, dtype=torch.bool)
    mask[:, kept] = True
    assert small.same(trained(cutting(), subset=kept), trained(cutting(), subset=mask))
    mask[1] = True
    mixed = trained(cutting(), subset=mask)
    assert small.same(mixed[1:2], trained(cutting())[1:2])
    assert small.same(mixed[2:3], trained(cutting(), subset=kept)[2:3])


def test_a_shard_without_examples_keeps_its_fresh_network():
    recipe = cutting(slices=2)
    piece = cut(48, recipe, seed=0, role="original", ids=[0])[0] // 2
    kept = (piece != 1).nonzero()[:, 0]
    models = trained(recipe, ids=[0], subset=kept)
    fresh = Ensemble.initial(small.net(), seed=0, role="original", ids=[1], device=small.CPU, strategy="stacked")
    assert small.same(shard(models, 1), fresh)
    assert not small.same(shard(models, 0), dataclasses.replace(fresh))


def test_the_price_of_a_training_counts_what_is_stored_after_every_slice():
    """Catches a disk that fills with what was not announced, and time for as many trainings as there are shards."""

    def jobs(**training):
        recipe = Recipe.from_json(
            {
                "format": 1,
                "dataset": {"key": "digits"},
                "model": {"key": "mlp"},
                "training": training,
                "forget": {"key": "random"},
                "methods": [{"key": "do_nothing"}],
                "ensemble": {"models": 10},
            }
        )
        experiment = resolve(recipe)
        info = {"hash": "data", "train": 100, "test": 20}
        scope = Scope(experiment.recipe, info, data_job(experiment), {}, parameters=1000, gone="gone", removed=5)
        return [scope.training(role, (0, 10)) for role in ("original", "oracle")]

    whole, halves, sliced = jobs(), jobs(shards=2), jobs(shards=2, slices=4)
    assert halves[0].bytes == whole[0].bytes == 10 * (4 * 1000 + 7 * 120)
    assert sliced[0].bytes - halves[0].bytes == 10 * 3 * 4 * 1000, "originals are stored after every slice"
    assert sliced[1].bytes == halves[1].bytes, "oracles are not"
    # A pass is one of the whole network: twice as dear with two networks, and half as many of them.
    margins = 10 * 120
    costs = [job.cost - margins for job, _ in (whole, halves, sliced)]
    assert costs[1] == pytest.approx(costs[0] / 2, rel=0.05)
    assert costs[2] == pytest.approx(costs[1], rel=0.05)
