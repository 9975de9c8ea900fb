"""The VP chain and its grids; the slips of the original slides, each as a test that the wrong formula fails."""

import math

import pytest
import torch

from denoisers import schedule
from denoisers.errors import UsageError

BETAS = schedule.linear_betas()
ABAR = schedule.alphas_cumprod(BETAS)
ABAR_BEFORE = torch.cat([torch.ones(1, dtype=torch.float64), ABAR[:-1]])
SIGMAS = schedule.sigmas_of(ABAR)


def test_ends_of_the_linear_chain():
    assert SIGMAS[0] == pytest.approx(0.0100, abs=1e-5)
    assert SIGMAS[-1] == pytest.approx(157.4, abs=0.05)


def test_ends_of_the_cosine_chain():
    sigmas = schedule.sigmas_of(schedule.alphas_cumprod(schedule.cosine_betas()))
    assert sigmas[0] == pytest.approx(0.0064, abs=1e-4)
    assert sigmas[-1] == pytest.approx(2.0e4, rel=0.03)


@pytest.mark.parametrize("t", [1, 2, 100, 500, 1000])
def test_closed_form_of_x_t_adds_up_to_one_minus_abar(t):
    """x_t = sum_s sqrt(prod_{r>s} alpha_r beta_s) z_s; the slides left out the product and got 9.92 at t = 1000."""
    alphas = 1 - BETAS[:t]
    later = alphas.flip(0).cumprod(0).flip(0) / alphas  # prod_{r = s+1}^{t} alpha_r
    assert (later * BETAS[:t]).sum() == pytest.approx((1 - ABAR[t - 1]).item(), rel=1e-12)


def test_the_sum_of_the_slides_is_something_else():
    alphas = 1 - BETAS
    assert (alphas * (1 - alphas)).sum() == pytest.approx(9.92, abs=0.01)


def test_indexing_makes_the_first_posterior_variance_zero():
    """btilde_t = beta_t (1 - abar_{t-1}) / (1 - abar_t) with abar_0 = 1: shifted by one it is not 0 at t = 1."""
    posterior = BETAS * (1 - ABAR_BEFORE) / (1 - ABAR)
    assert posterior[0] == 0
    ratio = posterior / BETAS
    for t, expected in {2: 0.4547, 3: 0.6113, 10: 0.853, 100: 0.982, 1000: 1.0}.items():
        assert ratio[t - 1] == pytest.approx(expected, abs=6e-4)


def test_vp_and_ve_describe_one_process():
    assert torch.allclose(schedule.vp_scale(SIGMAS), ABAR.sqrt(), rtol=1e-12)


@pytest.mark.parametrize("level", [15, 25, 50, 100, 255])
def test_grey_levels_to_steps(level):
    # The first 1-based t above the level.
    first = {15: 33, 25: 58, 50: 116, 100: 215, 255: 397}[level]
    assert int((level >= 127.5 * SIGMAS).sum()) + 1 == first


def test_sigma_to_t_inverts_the_chain():
    assert torch.allclose(
        schedule.sigma_to_t(SIGMAS, SIGMAS), torch.arange(1000.0, dtype=torch.float64), atol=1e-6
    )


def test_sigma_to_t_is_monotone_and_stops_at_the_ends():
    t = schedule.sigma_to_t(torch.logspace(-4, 4, 500, dtype=torch.float64), SIGMAS)
    assert (t.diff() >= 0).all()
    assert t[0] == 0
    assert t[-1] == 999


@pytest.mark.parametrize("name", schedule.GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 20, 50])
def test_grids_fall_to_zero(name, steps):
    sigmas = schedule.GRIDS[name](steps)
    assert sigmas.shape == (steps + 1,)
    assert (sigmas.diff() < 0).all()
    assert sigmas[-1] == 0


def test_respacing_keeps_both_ends():
    sigmas = schedule.ddpm_grid(50)
    assert sigmas[0] == SIGMAS[-1]
    assert sigmas[-2] == SIGMAS[0]


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_outside_the_chain_are_refused(steps):
    with pytest.raises(ValueError, match="--steps"):
        schedule.ddpm_grid(steps)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma_max": 1e300},
        {"sigma_max": math.inf},
        {"sigma_max": math.nan},
        {"sigma_max": 0.002},
        {"sigma_min": 80.0},
        {"sigma_min": 0.0},
        {"sigma_min": -1.0},
        {"rho": 1e-3},
        {"rho": 0.0},
        {"rho": math.nan},
        {"rho": 1e6},
        {"steps": 0},
    ],
)
def test_a_karras_grid_of_levels_that_make_none_is_refused(wrong):
    with pytest.raises(UsageError, match="must"):
        schedule.karras_grid(**{"steps": 10} | wrong)


@pytest.mark.parametrize(("sigma_max", "rho"), [(1e6, 1), (1e6, 100), (0.0021, 7)])
def test_a_karras_grid_falls_at_the_ends_of_what_is_taken(sigma_max, rho):
    levels = schedule.karras_grid(1000, sigma_max, rho=rho)
    assert levels.isfinite().all()
    assert (levels.diff() < 0).all()
    assert levels[0].item() == pytest.approx(sigma_max)


def test_a_level_between_those_of_a_chain_comes_back_from_its_position():
    """sigma -> t -> abar -> sigma, in and between the members of the chain."""
    abar = schedule.alphas_cumprod(schedule.linear_betas())
    chain = schedule.sigmas_of(abar)
    sigma = torch.logspace(-1.9, 2.1, 500, dtype=torch.float64)
    t = schedule.sigma_to_t(sigma, chain)
    assert (t % 1 != 0).any()
    back = schedule.sigmas_of(schedule.abar_at(t, (abar / (1 - abar)).log()))
    assert torch.allclose(back, sigma, rtol=1e-9)
