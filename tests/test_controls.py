"""The closed forms against their definitions."""

import pytest
import torch

from denoisers import controls


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0, 20.0])
def test_ideal_is_the_posterior_mean(train, generator, sigma):
    points = train[:200]
    x = points[:4] + sigma * torch.randn(4, 1, 32, 32, generator=generator)
    flat, query = points.flatten(1).double(), x.flatten(1).double()
    weights = (-(torch.cdist(query, flat) ** 2) / (2 * sigma**2)).softmax(1)
    expected = (weights @ flat).reshape(x.shape).float()
    assert torch.allclose(controls.ideal(train=points)(x, torch.tensor(sigma)), expected, atol=2e-4)


def test_ideal_is_the_nearest_image_without_noise_and_the_mean_in_noise(train):
    denoiser = controls.ideal(train=train)
    x = train[:5] + 0.01 * torch.sin(torch.arange(1024.0)).reshape(1, 1, 32, 32)
    assert torch.allclose(denoiser(x, torch.tensor(0.01)), train[:5], atol=1e-5)
    assert torch.allclose(denoiser(x, torch.tensor(1e4)), train.mean(0).expand(5, -1, -1, -1), atol=1e-4)


def test_gaussian_is_the_wiener_filter(train, generator):
    flat = train.flatten(1).double()
    mu, cov, sigma = flat.mean(0), flat.T.cov(), 0.7
    x = torch.randn(3, 1, 32, 32, generator=generator, dtype=torch.float64)
    gain = torch.linalg.solve(cov + sigma**2 * torch.eye(1024), cov, left=False)  # cov (cov + sigma^2 I)^-1
    expected = (mu + (x.flatten(1) - mu) @ gain.T).reshape(x.shape)
    found = controls.gaussian(train=train)(x, torch.tensor(sigma, dtype=torch.float64))
    assert torch.allclose(found, expected, atol=1e-8)


def test_gaussian_beats_the_mean_and_ideal_beats_gaussian_on_its_own_images(train, generator):
    x = train + torch.randn(train.shape, generator=generator)
    errors = [
        (make(train=train)(x, torch.tensor(1.0)) - train).square().mean()
        for make in (controls.ideal, controls.gaussian)
    ]
    assert errors[0] < errors[1] < (train - train.mean(0)).square().mean()


def test_identity(train):
    assert torch.equal(controls.identity()(train, torch.tensor(3.0)), train)
