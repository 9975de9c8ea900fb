"""Filters: the library's own answer, image by image, at each image's own noise level."""

import numpy as np
import pytest
import torch
from scipy import ndimage

import denoisers
from denoisers.classical import median_filter


@pytest.mark.parametrize("side", [1, 3, 7])
def test_the_median_is_scipys(generator, side):
    x = torch.randn(2, 1, 9, 13, generator=generator)
    expected = np.stack(
        [[ndimage.median_filter(image[0].numpy(), side, mode="nearest")] for image in x]
    )
    assert np.allclose(median_filter(x, side), expected)


def test_the_median_grows_with_the_noise(train):
    denoiser = denoisers.load("median", largest="7")
    x = train[:5]
    denoised = denoiser(x, torch.tensor([0.1, 0.5, 1.0, 2.0, 50.0]))
    for i, side in enumerate([1, 3, 5, 7, 7]):
        assert torch.equal(denoised[i : i + 1], median_filter(x[i : i + 1], side))


@pytest.mark.parametrize("name", ["tv", "nlm", "bilateral"])
def test_filters_commute_with_a_change_of_unit_and_origin(name, train, generator):
    """D(a x + b; a sigma) = a D(x; sigma) + b: sigma is in the unit of the image, whatever the library assumes."""
    denoiser = denoisers.load(name)
    x, sigma = train[:2] + 0.3 * torch.randn(2, 1, 32, 32, generator=generator), torch.tensor(0.3)
    moved = denoiser(50 * x + 7, 50 * sigma)
    assert torch.allclose((moved - 7) / 50, denoiser(x, sigma), atol=2e-3)


@pytest.mark.parametrize("name", ["tv", "nlm", "bilateral", "median"])
def test_a_filter_keeps_the_mean_of_an_image_at_any_noise(name):
    """Why none of them can be a prior: a grey image stays grey."""
    x = torch.full((1, 1, 32, 32), 0.4)
    assert torch.allclose(denoisers.load(name)(x, torch.tensor(20.0)), x, atol=1e-4)
