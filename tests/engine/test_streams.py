"""Random streams: each model its own, whatever the others draw, and nothing from the global generator."""

import pytest
import small
import torch

from engine.streams import Streams


def draw(ids, seed=0, role="r"):
    streams = Streams(seed, role, ids, small.CPU)
    return [
        streams.permutation(11),
        streams.choice(11, 4),
        streams.integers(5, 3, 2),
        streams.normal(3),
        *streams.epoch(11, 4),
    ]


def test_a_model_draws_the_same_in_any_company():
    """Catches streams seeded by position, and one generator shared by all."""
    together = draw([3, 8, 5])
    for position, number in enumerate([3, 8, 5]):
        for mine, alone in zip(together, draw([number]), strict=True):
            assert torch.equal(mine[position : position + 1], alone)
    assert not torch.equal(together[0][0], together[0][1])


@pytest.mark.parametrize("other", [{"seed": 1}, {"role": "s"}])
def test_seed_and_role_decide(other):
    assert all(torch.equal(a, b) for a, b in zip(draw([0]), draw([0]), strict=True))
    assert not torch.equal(draw([0])[0], draw([0], **other)[0])


def test_shapes_and_ranges():
    permutation, choice, integers, normal, *epoch = draw([0, 1])
    assert permutation.sort(dim=1).values.tolist() == [list(range(11))] * 2
    assert choice.shape == (2, 4)
    assert all(len(set(row)) == 4 for row in choice.tolist())
    assert integers.shape == (2, 3, 2)
    assert 0 <= int(integers.min()) <= int(integers.max()) < 5
    assert normal.shape == (2, 3)
    assert normal.dtype == torch.float32
    assert [part.shape for part in epoch] == [(2, 4), (2, 4), (2, 3)]


@pytest.mark.parametrize("batch_size", [1, 4, 11, 50])
def test_an_epoch_visits_every_example_once_in_a_fresh_order(batch_size):
    """Catches a dropped last batch, and one order reused in every epoch."""
    streams = Streams(0, "r", [0, 1], small.CPU)
    first, second = (torch.cat(list(streams.epoch(11, batch_size)), dim=1) for _ in range(2))
    for order in (first, second):
        assert order.sort(dim=1).values.tolist() == [list(range(11))] * 2
    assert not torch.equal(first, second)


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    draw([0, 1])
    assert torch.equal(state, torch.random.get_rng_state())
