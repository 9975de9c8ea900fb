"""The closed forms against their definitions."""

import pytest
import torch

from denoisers import closed_form


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0, 20.0])
def test_ideal_is_the_posterior_mean(train, generator, sigma):
    points = train[:200]
    x = points[:4] + sigma * torch.randn(4, 1, 32, 32, generator=generator)
    flat, query = points.flatten(1).double(), x.flatten(1).double()
    weights = (-(torch.cdist(query, flat) ** 2) / (2 * sigma**2)).softmax(1)
    expected = (weights @ flat).reshape(x.shape).float()
    assert torch.allclose(
        closed_form.ideal(train=points)(x, torch.tensor(sigma)), expected, atol=2e-4
    )


def test_ideal_is_the_nearest_image_without_noise_and_the_mean_in_noise(train):
    denoiser = closed_form.ideal(train=train)
    x = train[:5] + 0.01 * torch.sin(torch.arange(1024.0)).reshape(1, 1, 32, 32)
    assert torch.allclose(denoiser(x, torch.tensor(0.01)), train[:5], atol=1e-5)
    assert torch.allclose(
        denoiser(x, torch.tensor(1e4)), train.mean(0).expand(5, -1, -1, -1), atol=1e-4
    )


def test_gaussian_is_the_wiener_filter(train, generator):
    flat = train.flatten(1).double()
    mu, cov, sigma = flat.mean(0), flat.T.cov(), 0.7
    x = torch.randn(3, 1, 32, 32, generator=generator, dtype=torch.float64)
    # Cov (cov + sigma^2 I)^-1.
    gain = torch.linalg.solve(cov + sigma**2 * torch.eye(1024), cov, left=False)
    expected = (mu + (x.flatten(1) - mu) @ gain.T).reshape(x.shape)
    found = closed_form.gaussian(train=train)(x, torch.tensor(sigma, dtype=torch.float64))
    assert torch.allclose(found, expected, atol=1e-8)


def test_gaussian_beats_the_mean_and_ideal_beats_gaussian_on_its_own_images(train, generator):
    x = train + torch.randn(train.shape, generator=generator)
    errors = [
        (make(train=train)(x, torch.tensor(1.0)) - train).square().mean()
        for make in (closed_form.ideal, closed_form.gaussian)
    ]
    assert errors[0] < errors[1] < (train - train.mean(0)).square().mean()


def test_identity(train):
    assert torch.equal(closed_form.identity()(train, torch.tensor(3.0)), train)


def labels_of(train):
    return torch.arange(len(train)) % 3


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_a_mixture_is_the_posterior_mean_over_its_components(generator, sigma):
    """Against densities written out with torch.distributions, on images of 9 pixels."""
    points, groups = torch.randn(60, 1, 3, 3, generator=generator), torch.arange(60) % 2
    points[groups == 1] += 2
    x = points[:5] + sigma * torch.randn(5, 1, 3, 3, generator=generator)
    chances, means = [], []
    for kind in (0, 1):
        flat = points[groups == kind].flatten(1).double()
        mu, cov = flat.mean(0), flat.T.cov(correction=0)
        noisy = torch.distributions.MultivariateNormal(mu, cov + sigma**2 * torch.eye(9))
        query = x.flatten(1).double()
        chances.append(noisy.log_prob(query))
        means.append(
            mu + (query - mu) @ torch.linalg.solve(cov + sigma**2 * torch.eye(9), cov, left=False).T
        )
    shares = torch.stack(chances).softmax(0)[..., None]
    expected = (shares * torch.stack(means)).sum(0).reshape(x.shape).float()
    found = closed_form.gmm(train=points, labels=groups)(x, torch.tensor(sigma))
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_mixture_of_one_is_the_gaussian(train, generator):
    x = train[:4] + torch.randn(4, 1, 32, 32, generator=generator)
    one = closed_form.gmm(train=train, labels=labels_of(train), components="1")(
        x, torch.tensor(1.0)
    )
    # N or n - 1.
    assert torch.allclose(one, closed_form.gaussian(train=train)(x, torch.tensor(1.0)), atol=2e-3)


def test_clusters_and_classes_denoise_better_than_one_gaussian(train, digits, generator):
    x = train + torch.randn(train.shape, generator=generator)

    def error(denoiser):
        return (denoiser(x, torch.tensor(1.0)) - train).square().mean()

    labels = torch.from_numpy(digits.train_labels[: len(train)])
    single = error(closed_form.gaussian(train=train))
    assert error(closed_form.gmm(train=train, labels=labels)) < single
    assert error(closed_form.gmm(train=train, labels=labels, components="5")) < single


@pytest.mark.parametrize("components", ["0", "501", "-1", "many", "1.5"])
def test_a_number_of_components_that_makes_no_sense(train, components):
    with pytest.raises(ValueError, match=r"1\.\.500"):
        closed_form.gmm(train=train, labels=labels_of(train), components=components)


@pytest.mark.parametrize("sigma", [0.02, 0.5, 5.0])
@pytest.mark.parametrize("of", ["images", "pixels"])
def test_histogram_is_the_posterior_mean_of_each_pixel(train, generator, sigma, of):
    train = train[:50]
    x = train[:3] + sigma * torch.randn(3, 1, 32, 32, generator=generator)
    found = closed_form.histogram(train=train, of=of)(x, torch.tensor(sigma))
    for row, column in ((0, 0), (16, 16), (9, 20)):
        values = (train if of == "images" else train[:, 0, row, column]).flatten().double()
        query = x[:, 0, row, column].double()
        weights = (-((query[:, None] - values) ** 2) / (2 * sigma**2)).softmax(1)
        assert found[:, 0, row, column].tolist() == pytest.approx(
            (weights @ values).tolist(), abs=1e-4
        )


def test_the_code_length_of_a_histogram_on_its_own_images_is_its_entropy(train):
    denoiser = closed_form.histogram(train=train)
    _, counts = ((train + 1) * 127.5).round().unique(return_counts=True)
    shares = counts.double() / counts.sum()
    assert denoiser.code_length(train).mean().item() == pytest.approx(
        -(shares * shares.log2()).sum().item()
    )
    with pytest.raises(ValueError, match="images or pixels"):
        closed_form.histogram(train=train, of="rows")


def test_constants(train):
    x = torch.zeros(2, 1, 32, 32)
    assert torch.allclose(
        closed_form.mean(train=train)(x, torch.tensor(1.0)), train.mean(0).expand_as(x)
    )
    assert torch.equal(
        closed_form.one_image(train=train, index="7")(x, torch.tensor(1.0)), train[7].expand_as(x)
    )
    with pytest.raises(ValueError, match=r"0\.\.499"):
        closed_form.one_image(train=train, index="500")
