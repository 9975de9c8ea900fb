"""What a run keeps of the way of its first images."""

import functools

import numpy as np
import pytest
import torch

from bench.images import to_float
from bench.sampling import generation, trajectory
from bench.sampling.samplers import SAMPLERS
from denoisers import closed_form
from denoisers.schedule import ddpm_grid

STEPS = 30


@pytest.fixture
def images(digits, train):
    """images(sampler)(watch) generates 20 images with the ideal denoiser, 6 at a time."""

    def bound(name):
        options = {"seed": 3, "shape": digits.shape, "pad": digits.pad, "batch_size": 8}
        ideal = closed_form.ideal(train=train)
        setup = generation.Setup(ideal, ddpm_grid(STEPS), SAMPLERS[name], **options)
        return lambda watch, num=20: generation.generate(setup, range(num), watch=watch)

    return bound


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 50, 1000])
def test_levels(steps):
    found = trajectory.levels(steps)
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0, steps - 1)
    assert len(found) == min(steps, trajectory.LEVELS)


def test_the_way_ends_in_the_images_of_the_run(images, digits):
    run = images("ddpm")
    whole = run(lambda step: None).images[: trajectory.IDS]
    found = trajectory.record(functools.partial(run, num=trajectory.IDS), digits, STEPS, seed=3)
    assert np.abs(found["denoised"][:, -1].astype(int) - whole).max() <= 1
    assert (
        found["x"].shape == found["denoised"].shape == (trajectory.IDS, trajectory.LEVELS, 28, 28)
    )
    assert found["x"].dtype == found["forward"].dtype == np.uint8
    assert (np.diff(found["sigma"]) < 0).all()
    assert found["sigma"][0] == pytest.approx(ddpm_grid(STEPS)[0].item())


def test_digits_go_from_noise_to_themselves(images, digits):
    found = trajectory.record(functools.partial(images("ddpm"), num=4), digits, STEPS, seed=3)
    clean = digits.held_out[: trajectory.DIGITS].astype(int)
    distance = [
        np.abs(found["forward"][:, level] - clean).mean() for level in range(trajectory.LEVELS)
    ]
    assert distance == sorted(distance, reverse=True)
    assert distance[-1] < 3
    assert distance[0] > 60


def test_forward_and_backward_have_the_same_noise_level(digits):
    """x of the sampler and the digits under noise are scaled alike: their spread agrees at every level."""
    sigma = torch.tensor(2.0)
    scaled = trajectory.noised(digits, sigma.item(), seed=0)
    x0 = to_float(digits.held_out[: trajectory.DIGITS], digits.pad)
    expected = ((x0.var() + sigma**2) / (1 + sigma**2)).sqrt()
    assert scaled.std() == pytest.approx(expected.item(), rel=0.05)


def test_images_that_end_early_are_no_obstacle(images, digits):
    found = trajectory.record(functools.partial(images("ks"), num=4), digits, STEPS, seed=3)
    assert len(found["sigma"]) == found["x"].shape[1] == found["forward"].shape[1] > 0


def test_a_sampler_that_says_nothing_leaves_nothing(digits):
    assert trajectory.record(lambda watch: None, digits, STEPS, seed=3) == {}
