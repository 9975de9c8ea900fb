"""The network's own promises, and the quality its card states."""

import pytest
import torch

from bench.cards import CARD_SIGMAS
from bench.probes.denoising import gauge
from denoisers import schedule, unet
from denoisers.unet.net import UNet


@pytest.fixture(scope="module")
def denoiser():
    return unet.load().eval()


def test_interpolated_abar_is_the_schedule(generator):
    net = UNet()
    abar = schedule.alphas_cumprod(schedule.linear_betas())
    assert torch.allclose(schedule.abar_at(torch.arange(1000), net.log_snr), abar, rtol=1e-9)
    sigma = torch.rand(50, generator=generator, dtype=torch.float64) * 20 + 0.02
    t = schedule.sigma_to_t(sigma, schedule.sigmas_of(abar))
    assert torch.allclose(schedule.abar_at(t, net.log_snr), 1 / (1 + sigma**2), rtol=1e-9)


def test_an_untrained_network_predicts_v_zero(generator):
    x = torch.randn(2, 1, 32, 32, generator=generator)
    abar = schedule.alphas_cumprod(schedule.linear_betas())[500]
    assert torch.allclose(UNet()(x, torch.full((2,), 500.0)), ((1 - abar).sqrt() * x).float())


def test_pure_noise_comes_back_as_eps(denoiser, generator):
    eps = torch.randn(4, 1, 32, 32, generator=generator)
    with torch.inference_mode():
        assert (denoiser.net(eps, torch.full((4,), 999.0)) - eps).abs().max() < 0.02


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0, 50.0])
def test_bfloat16_changes_the_estimate_by_less_than_a_grey_level(denoiser, train, generator, sigma):
    x = train[:16] + sigma * torch.randn(16, 1, 32, 32, generator=generator)
    with torch.inference_mode():
        exact = denoiser(x, torch.tensor(sigma))
        with torch.autocast("cpu", torch.bfloat16):
            fast = denoiser(x, torch.tensor(sigma))
    assert fast.dtype == torch.float32
    assert (fast - exact).square().mean().sqrt() < 2 / 127.5


@pytest.mark.mnist
def test_the_card_tells_the_truth_and_the_targets_are_met(denoiser, mnist):
    found = 1e3 * gauge(denoiser, mnist, num=250, sigmas=CARD_SIGMAS)["mse"]
    assert (found.to_numpy() <= [2.4, 8.5, 14, 21]).all()
    assert found.tolist() == pytest.approx(
        list(denoiser.card["held_out_mse_x_1e3"].values()), rel=0.05
    )
