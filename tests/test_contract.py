"""What every registered denoiser must do. Registering one is having it tested."""

import json

import pytest
import torch

import denoisers
from denoisers.base import Denoiser

LEVELS = [0.02, 1.0, 80.0]


@pytest.fixture(scope="module", params=denoisers.names())
def denoiser(request, train) -> Denoiser:
    return denoisers.load(request.param, train=lambda: train)


@pytest.fixture
def x(train, generator):
    return train[:6] + 0.5 * torch.randn(6, 1, 32, 32, generator=generator)


@pytest.mark.parametrize("sigma", LEVELS)
@torch.inference_mode()
def test_shape_dtype_and_finiteness(denoiser, x, sigma):
    denoised = denoiser(x * (1 + sigma), torch.tensor(sigma))
    assert denoised.shape == x.shape
    assert denoised.dtype == torch.float32
    assert torch.isfinite(denoised).all()


@torch.inference_mode()
def test_one_level_for_all_equals_one_level_each(denoiser, x):
    assert torch.allclose(denoiser(x, torch.tensor(0.5)), denoiser(x, torch.full((6,), 0.5)), atol=1e-5)


@torch.inference_mode()
def test_each_row_has_its_own_level(denoiser, x):
    levels = torch.tensor([0.1, 0.5, 1.0, 2.0, 5.0, 20.0])
    together = denoiser(x, levels)
    for i, level in enumerate(levels):
        assert torch.allclose(together[i : i + 1], denoiser(x[i : i + 1], level), atol=1e-4)


@torch.inference_mode()
def test_a_row_does_not_depend_on_its_batch(denoiser, x):
    assert torch.allclose(denoiser(x, torch.tensor(1.0))[2:3], denoiser(x[2:3], torch.tensor(1.0)), atol=1e-5)


@torch.inference_mode()
def test_it_is_deterministic_and_leaves_its_input_alone(denoiser, x):
    before = x.clone()
    assert torch.equal(denoiser(x, torch.tensor(1.0)), denoiser(x, torch.tensor(1.0)))
    assert torch.equal(x, before)
    assert not denoiser.training


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
@torch.inference_mode()
def test_it_removes_noise_inside_its_band(denoiser, digits, sigma, generator):
    """MSE below sigma^2: fails for a wrong range, unit or sign. `identity` is the one that must fail."""
    if not denoiser.spec.in_band(sigma):
        return
    x0 = torch.nn.functional.pad(torch.from_numpy(digits.train[:64]).float()[:, None] / 127.5 - 1, (2,) * 4, value=-1)
    error = denoiser(x0 + sigma * torch.randn(x0.shape, generator=generator), torch.tensor(sigma)) - x0
    removes = error.square().mean() < 0.9 * sigma**2
    assert removes == (denoiser.spec.name != "identity")


def test_spec_and_card_are_strict_json(denoiser):
    assert json.loads(json.dumps(denoiser.spec.to_json(), allow_nan=False))["name"] == denoiser.spec.name
    if denoiser.spec.weights:
        assert denoiser.card["sha256"].startswith(denoiser.spec.weights.split("@")[1])
        assert {"licence", "data", "split", "command"} <= denoiser.card.keys()
