"""Guesses at x0: what they are made of, and that image i depends on (seed, i) alone."""

import numpy as np
import pytest
import torch

from bench.data.dataset import Dataset
from bench.images import to_float
from bench.sampling.starts import STARTS


@pytest.fixture(scope="module")
def small(digits):
    return Dataset(
        "small",
        digits.train[:500],
        digits.train_labels[:500],
        digits.held_out,
        digits.held_out_labels,
        pad=2,
        what="digits",
    )


@pytest.mark.parametrize("name", STARTS)
def test_a_guess_does_not_depend_on_the_batch(small, name):
    whole = STARTS[name](small, 3)(torch.arange(20))
    assert whole.shape == (20, 1, 32, 32)
    assert whole.dtype == torch.float32
    again = STARTS[name](small, 3)
    parts = torch.cat(
        [again(ids) for ids in (torch.tensor([0]), torch.arange(1, 8), torch.arange(8, 20))]
    )
    assert torch.allclose(whole, parts, atol=1e-5)


def test_the_gaussian_has_the_moments_of_the_training_images(small):
    guesses = STARTS["gaussian"](small, 0)(torch.arange(4000)).flatten(1).double()
    train = to_float(small.train, small.pad).flatten(1).double()
    assert (guesses.mean(0) - train.mean(0)).abs().max() < 0.08
    assert guesses.T.cov().trace() == pytest.approx(train.T.cov().trace().item(), rel=0.02)
    assert not torch.equal(
        STARTS["gaussian"](small, 1)(torch.arange(2)).flatten(1), guesses[:2].float()
    )


def test_the_others_are_what_they_say(small):
    ids = torch.tensor([2, 7])
    assert torch.equal(
        STARTS["held-out"](small, 0)(ids), to_float(small.held_out[[2, 7]], small.pad)
    )
    mean = to_float(small.train, small.pad).mean(0)
    assert np.allclose(STARTS["mean"](small, 0)(ids), mean.expand(2, -1, -1, -1))
