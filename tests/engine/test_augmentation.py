"""Shifted and mirrored views: torch's own crops and flips, each network's draws its own."""

import dataclasses

import pytest
import small
import torch
import torch.nn.functional as F

from engine.streams import Streams
from engine.train import last, train

RECIPE = small.training(epochs=3, crop=1, flip=True)


def test_a_view_is_a_crop_of_the_padded_picture_and_its_mirror():
    images = small.images()
    everything, streams = torch.arange(48).expand(3, 48), Streams(3, "original:batches", (0, 1, 2), small.CPU)
    x, _ = images.batch(everything)
    seen, _ = images.viewed(RECIPE).batch(everything, streams)
    black = (0 - images.mean) / images.std
    padded = F.pad(x - black, (1, 1, 1, 1)) + black  # (M, B, c, h + 2, w + 2)
    which = torch.full((3, 48), -1)
    side = x.shape[-1]
    crops = [padded[..., down : down + side, right : right + side] for down in range(3) for right in range(3)]
    candidates = [*crops, *(picture.flip(-1) for picture in crops)]
    for number, candidate in enumerate(candidates):
        which[(seen - candidate).abs().amax(dim=(2, 3, 4)) < 1e-5] = number
    again, _ = images.viewed(RECIPE).batch(everything, streams)
    assert not torch.equal(seen, again), "another draw at each visit"
    assert torch.equal(images.viewed(RECIPE).batch(everything)[0], x), "plain for those who do not train"
    assert (which >= 0).all(), "every view is one of the eighteen"
    assert set(which.flatten().tolist()) == set(range(18)), "and each of them occurs"


@pytest.mark.parametrize("strategy", ["stacked", "looped"])
def test_what_a_network_sees_depends_on_itself_alone(strategy):
    images, net = small.images(), small.net()
    about = {"seed": 2, "role": "original", "strategy": strategy}
    together = last(train(net, images, RECIPE, ids=range(3), **about)).ensemble
    assert small.close(together[1:2], last(train(net, images, RECIPE, ids=[1], **about)).ensemble)
    plain = last(train(net, images, dataclasses.replace(RECIPE, crop=0, flip=False), ids=range(3), **about)).ensemble
    assert not small.close(together, plain)


def test_a_network_that_stops_early_leaves_the_views_of_the_others_alone():
    images, net = small.images(), small.net()
    recipe = dataclasses.replace(RECIPE, epochs=30, patience=1, held_out=0.3, lr=0.5)
    about = {"seed": 2, "role": "original", "strategy": "stacked"}
    together = last(train(net, images, recipe, ids=range(4), **about)).ensemble
    for m in range(4):
        assert small.close(together[m : m + 1], last(train(net, images, recipe, ids=[m], **about)).ensemble)


def test_batches_are_the_same_with_and_without_views():
    streams = [Streams(3, "original:batches", range(2), small.CPU) for _ in range(2)]
    beside = streams[0].beside("views")
    beside.integers(9, 5)
    assert torch.equal(streams[0].permutation(9), streams[1].permutation(9))
    assert not torch.equal(streams[0].permutation(9), beside.permutation(9))
    streams[1].beside("views").integers(9, 5)
    streams[1].beside("views").permutation(9)
    picked, whole = streams[0].pick([1]).beside("views"), streams[1].beside("views")
    assert torch.equal(picked.permutation(9), whole.permutation(9)[1:]), "those that go on do so where they are"


def test_methods_that_train_on_see_what_the_training_saw():
    images = small.images().viewed(RECIPE)
    (first, _), *_ = images.epoch(Streams(3, "scrub", range(2), small.CPU), 48)
    (second, _), *_ = images.epoch(Streams(3, "scrub", range(2), small.CPU), 48)
    assert torch.equal(first, second), "seeded"
    (plain, _), *_ = small.images().epoch(Streams(3, "scrub", range(2), small.CPU), 48)
    assert not torch.equal(first, plain)


def test_rows_and_tiny_pictures_are_refused_in_words():
    assert "table" in RECIPE.misfit((30, 1, 1))
    assert "leaves nothing" in dataclasses.replace(RECIPE, crop=8).misfit((1, 8, 8))
    assert RECIPE.misfit((1, 8, 8)) is None
    assert small.training().misfit((30, 1, 1)) is None
