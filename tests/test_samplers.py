"""The one-line family against the formulas it stands for, written out in VP coordinates."""

import math

import diffusers
import pytest
import torch

from bench.sampling import samplers
from denoisers import schedule
from denoisers.closed_form import Gaussian, Ideal, Identity
from denoisers.errors import UsageError

ABAR = schedule.alphas_cumprod(schedule.linear_betas())
LAMBDAS = torch.tensor([1e-4, 1e-2, 1, 10, 50], dtype=torch.float64)


def wobbly(x, sigma):
    """Some smooth, nonlinear denoiser: the formulas must agree for any."""
    return torch.tanh(0.7 * x / (1 + sigma) + 0.1 * sigma.sin())


def chain(steps):
    """0-based steps of the respaced chain, falling, and their abar and the next one's (1 at the end)."""
    index = torch.linspace(999, 0, steps, dtype=torch.float64).round().long()
    abar = ABAR[index]
    return abar, torch.cat([abar[1:], torch.ones(1, dtype=torch.float64)])


def draws(steps, generator):
    return torch.randn(steps + 1, 2, 1, 4, 4, generator=generator, dtype=torch.float64)


def textbook(steps, z, step):
    """x_T = z_0, then x_{t-1} = step(x_t, x0_hat, abar_t, abar_{t-1}, z): Ho et al. 2020, algorithm 2."""
    x = z[0]
    for i, (abar, before) in enumerate(zip(*chain(steps), strict=True)):
        x0 = wobbly(x / abar.sqrt(), ((1 - abar) / abar).sqrt())
        x = step(x, x0, abar, before, z[i + 1] if before < 1 else torch.zeros_like(x))
    return x


def ours(steps, z, **member):
    sigmas = schedule.ddpm_grid(steps)
    x = samplers.start(z[0], sigmas[0].item())
    return samplers.sample(wobbly, x, sigmas, lambda i: z[i + 1], clip=False, **member)


def posterior_mean(x, x0, abar, before):
    """mu~ = [sqrt(abar_{t-1}) beta x0 + sqrt(alpha) (1 - abar_{t-1}) x_t] / (1 - abar_t)."""
    alpha = abar / before
    return (before.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - before) * x) / (1 - abar)


def posterior_step(x, x0, abar, before, z):
    variance = (1 - abar / before) * (1 - before) / (1 - abar)
    return posterior_mean(x, x0, abar, before) + variance.sqrt() * z


def beta_step(x, x0, abar, before, z):
    return posterior_mean(x, x0, abar, before) + (1 - abar / before).sqrt() * z


def eps_form_step(x, x0, abar, before, z):
    """mu = (x_t - beta / sqrt(1 - abar) eps) / sqrt(alpha): minus, and 1 / sqrt(alpha) on both terms."""
    alpha = abar / before
    eps = (x - abar.sqrt() * x0) / (1 - abar).sqrt()
    variance = (1 - alpha) * (1 - before) / (1 - abar)
    return (x - (1 - alpha) / (1 - abar).sqrt() * eps) / alpha.sqrt() + variance.sqrt() * z


def ddim_step(x, x0, abar, before, z):
    eps = (x - abar.sqrt() * x0) / (1 - abar).sqrt()
    return before.sqrt() * x0 + (1 - before).sqrt() * eps


@pytest.mark.parametrize("steps", [50, 1000])
@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("ddpm", posterior_step),
        ("ddpm", eps_form_step),
        ("ddpm-beta", beta_step),
        ("ddim", ddim_step),
    ],
)
def test_members_equal_the_written_out_samplers(steps, name, step, generator):
    z = draws(steps, generator)
    assert (
        ours(steps, z, **samplers.SAMPLERS[name].settings) - textbook(steps, z, step)
    ).abs().max() < 1e-10


def sign_slip(x, x0, abar, before, z):
    alpha = abar / before
    eps = (x - abar.sqrt() * x0) / (1 - abar).sqrt()
    return x / alpha.sqrt() + (1 - alpha) * (1 - abar).sqrt() * eps / (1 - abar)


def variance_slip(x, x0, abar, before, z):
    alpha, alpha_before = abar / before, 1 - schedule.linear_betas()[0]
    return (
        posterior_mean(x, x0, abar, before)
        + ((1 - alpha) * (1 - alpha_before) / (1 - abar)).sqrt() * z
    )


def reused_noise(x, x0, abar, before, z):
    eps = (x - abar.sqrt() * x0) / (1 - abar).sqrt()
    return posterior_mean(x, x0, abar, before) + (1 - abar / before).sqrt() * eps


@pytest.mark.parametrize("slip", [sign_slip, variance_slip, reused_noise])
def test_the_formulas_of_the_slides_are_other_samplers(slip, generator):
    """Plus for minus; bars lost in the variance; eps_theta in place of fresh noise, also at t = 1."""
    z = draws(50, generator)
    assert (ours(50, z) - textbook(50, z, slip)).abs().max() > 1e-2


def test_start_is_the_start_of_the_vp_chain():
    z = torch.ones(1, dtype=torch.float64)
    assert samplers.start(z, 157.4) * schedule.vp_scale(
        torch.tensor(157.4, dtype=torch.float64)
    ) == pytest.approx(1)


GRIDS = {
    "1000": schedule.ddpm_grid(1000),
    "50": schedule.ddpm_grid(50),
    "karras 18": schedule.karras_grid(18),
    "karras 50": schedule.karras_grid(50),
}
GOLDEN = {  # final variance / lambda; computed independently of this code
    ("ddim", "1000"): [0.470, 0.967, 0.996, 0.997, 0.995],
    ("ddim", "50"): [0.311, 0.611, 0.928, 0.941, 0.934],
    ("ddim", "karras 18"): [0.551, 0.657, 0.739, 0.772, 0.790],
    ("ddim", "karras 50"): [0.793, 0.864, 0.900, 0.913, 0.917],
    ("ddpm", "1000"): [0.431, 0.928, 0.991, 0.994, 0.994],
    ("ddpm", "50"): [0.262, 0.464, 0.855, 0.893, 0.887],
    ("ddpm", "karras 18"): [0.382, 0.475, 0.569, 0.614, 0.643],
    ("ddpm", "karras 50"): [0.660, 0.747, 0.807, 0.833, 0.849],
    ("heun", "1000"): [0.507, 0.990, 1.000, 1.000, 0.998],
    ("heun", "50"): [1.72, 1.09, 1.003, 1.004, 1.004],
    ("heun", "karras 18"): [1.35, 1.19, 1.09, 1.06, 1.04],
    ("heun", "karras 50"): [0.999, 1.019, 1.010, 1.006, 0.998],
    ("dpmpp_2m", "1000"): [0.498, 0.994, 1.000, 1.000, 0.998],
    ("dpmpp_2m", "50"): [0.360, 1.31, 1.037, 1.004, 0.999],
    ("dpmpp_2m", "karras 18"): [0.926, 1.17, 1.10, 1.07, 1.05],
    ("dpmpp_2m", "karras 50"): [0.983, 1.020, 1.010, 1.006, 0.998],
}


def impulse_response(denoiser, sigmas, name):
    """Gain of each draw on the output, (draws, modes): a sampler is linear in its noise when D is."""
    steps, member = len(sigmas) - 1, samplers.SAMPLERS[name]
    unit = torch.eye(steps + 1, dtype=torch.float64)[:, :, None, None, None].expand(
        -1, -1, 1, 1, len(LAMBDAS)
    )
    x = unit[:, 0] * sigmas[0]
    out = member.solve(denoiser, x, sigmas, lambda i: unit[:, i + 1], **member.settings, clip=False)
    return out[:, 0, 0]


@pytest.mark.parametrize(("name", "grid"), GOLDEN)
def test_gaussian_control_has_the_golden_variances(name, grid):
    denoiser = Gaussian(torch.zeros(5), torch.diag(LAMBDAS))
    gains = impulse_response(denoiser, GRIDS[grid], name)
    ratio = gains.square().sum(0) / LAMBDAS
    assert ratio.tolist() == pytest.approx(GOLDEN[name, grid], rel=0.01)


def test_beta_variance_is_exact_for_unit_variance_data():
    """Ho et al. 2020: sigma_t^2 = beta_t is optimal for x0 ~ N(0, I).

    Each level then has variance 1 + sigma^2.
    """
    sigmas = schedule.ddpm_grid(50)[:-1]
    gains = impulse_response(Gaussian(torch.zeros(5), torch.eye(5)), sigmas, "ddpm-beta")
    # From the VP start, not from sigma_0 z.
    started = gains[0].square() * (1 + sigmas[0] ** 2) / sigmas[0] ** 2
    assert (started + gains[1:].square().sum(0)).tolist() == pytest.approx(
        [1 + sigmas[-1].item() ** 2] * 5, rel=1e-9
    )


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_constant_denoiser_gives_its_constant(eta, generator):
    mu = torch.randn(1, 1, 4, 4, generator=generator)
    out = samplers.sample(
        lambda x, s: mu.expand_as(x),
        torch.randn(3, 1, 4, 4),
        schedule.karras_grid(5),
        torch.randn(5, 3, 1, 4, 4).__getitem__,
        eta=eta,
        clip=False,
    )
    assert torch.equal(out, mu.expand_as(out))


def test_identity_does_not_move_under_ddim(generator):
    x = torch.randn(2, 1, 4, 4, generator=generator)
    assert torch.equal(
        samplers.sample(Identity(), x, schedule.karras_grid(7), None, eta=0.0, clip=False), x
    )


def test_ideal_of_one_image_gives_that_image(generator):
    image = torch.rand(1, 1, 8, 8, generator=generator) * 2 - 1
    image = torch.cat([image, image])
    x = samplers.start(torch.randn(3, 1, 8, 8, generator=generator), 157.4)
    out = samplers.sample(Ideal(image), x, schedule.ddpm_grid(5), lambda i: torch.randn(3, 1, 8, 8))
    assert torch.allclose(out, image[:1].expand_as(out), atol=1e-6)


def test_one_step_is_the_denoiser(generator):
    x = torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64)
    sigmas = torch.tensor([3.0, 0.0], dtype=torch.float64)
    assert torch.equal(samplers.sample(wobbly, x, sigmas, None, clip=False), wobbly(x, sigmas[0]))


def test_clipping_happens_before_the_residual_is_taken():
    out = samplers.sample(
        lambda x, s: 5 * torch.ones_like(x),
        torch.zeros(1, 1, 2, 2),
        schedule.karras_grid(3),
        None,
        eta=0,
    )
    assert torch.equal(out, torch.ones_like(out))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stops_the_run_and_names_the_step(bad):
    calls = iter(range(10))

    def breaks(x, sigma):
        return x * (bad if next(calls) == 3 else 0.5)

    with pytest.raises(FloatingPointError, match="step 3 of 8"):
        samplers.sample(
            breaks, torch.ones(1, 1, 2, 2), schedule.karras_grid(8), torch.zeros_like, eta=0
        )


@pytest.mark.parametrize("answer", [lambda x: (x,), lambda x: None, lambda x: x[..., ::2]])
@pytest.mark.parametrize("name", ["ddpm", "heun", "ks"])
def test_what_is_no_image_is_named(name, answer):
    member = samplers.SAMPLERS[name]
    with pytest.raises(
        UsageError, match=r"expected images of shape \(1, 1, 4, 4\); see `bench check`"
    ):
        member.solve(
            lambda x, s: answer(x),
            torch.ones(1, 1, 4, 4),
            schedule.karras_grid(4),
            torch.zeros_like,
        )


def data_prediction_step(x, d, last, levels, eta, z):
    """DPM-Solver++(2M) and its SDE in exponential-integrator form, as in Lu et al. 2022, sections 5.2 and C."""
    before, now, after = levels
    h, h_last = math.log(now / after), math.log(before / now)
    decay = math.exp(-h - eta * h)
    x = (
        after / now * math.exp(-eta * h) * x
        + (1 - decay) * d
        + (1 - decay) * h / h_last / 2 * (d - last)
    )
    return x + after * math.sqrt(1 - math.exp(-2 * h * eta)) * z


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_2m_sde"])
def test_second_order_equals_the_exponential_integrator(name, generator):
    member, levels = samplers.SAMPLERS[name], [5.0, 2.0, 0.7]
    x, z = torch.randn(2, 2, 1, 3, 3, generator=generator, dtype=torch.float64)
    first = samplers.sample(
        wobbly, x, torch.tensor(levels[:2]).double(), lambda i: z, **member.settings
    )
    d, last = (wobbly(y, torch.tensor(s)).clamp(-1, 1) for y, s in ((first, 2.0), (x, 5.0)))
    found = samplers.sample(
        wobbly, x, torch.tensor(levels).double(), lambda i: z, **member.settings
    )
    assert torch.allclose(
        found, data_prediction_step(first, d, last, levels, member.settings["eta"], z), atol=1e-12
    )


def test_second_order_converges_with_the_square_of_the_step():
    """x' = (x - D) / sigma for Gaussian data has the closed solution sqrt((v + s1^2) / (v + s0^2))."""
    v, high, low = 0.25, 20.0, 0.1

    def error(name, steps):
        sigmas = torch.logspace(math.log10(high), math.log10(low), steps + 1, dtype=torch.float64)
        x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
        member = samplers.SAMPLERS[name].settings
        out = samplers.sample(
            lambda x, s: x * v / (v + s**2), x, sigmas, None, clip=False, **member
        )
        return abs(out.item() - math.sqrt((v + low**2) / (v + high**2)))

    assert error("dpmpp_2m", 100) / error("dpmpp_2m", 200) == pytest.approx(4, rel=0.2)
    assert error("ddim", 100) / error("ddim", 200) == pytest.approx(2, rel=0.2)
    assert error("dpmpp_2m", 100) < error("ddim", 100) / 5


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_down_and_up_make_the_next_level(eta):
    down, up = samplers.split(3.0, 2.0, eta, "posterior")
    assert down**2 + up**2 == pytest.approx(4)


def vp(x, sigma):
    return x / (1 + sigma**2) ** 0.5


def noise_of(x, sigma):
    """The residual of `wobbly`, in units of sigma: what an eps-network would say."""
    return (x - wobbly(x, sigma)) / sigma


BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


def sampled(name, sigmas, z):
    """What a sampler of ours makes with the noise z, of which z[0] it begins with."""
    member = samplers.SAMPLERS[name]
    x = samplers.start(z[0], sigmas[0])
    return member.solve(wobbly, x, sigmas, lambda i: z[i + 1], **member.settings, clip=False)


@pytest.mark.parametrize(
    ("name", "scheduler", "settings"),
    [
        ("ddim", diffusers.DDIMScheduler(**BETAS, clip_sample=False), {"eta": 0.0}),
        ("ddpm", diffusers.DDIMScheduler(**BETAS, clip_sample=False), {"eta": 1.0}),
        (
            "ddpm",
            diffusers.DDPMScheduler(**BETAS, clip_sample=False, variance_type="fixed_small"),
            {},
        ),
        (
            "ddpm-beta",
            diffusers.DDPMScheduler(**BETAS, clip_sample=False, variance_type="fixed_large"),
            {},
        ),
    ],
)
def test_first_order_equals_diffusers(name, scheduler, settings, generator, monkeypatch):
    steps = 20
    z = torch.randn(steps + 1, 2, 1, 4, 4, generator=generator, dtype=torch.float64)
    scheduler.alphas_cumprod = ABAR  # theirs is float32, and 1 - abar_1 is 1e-4
    scheduler.set_timesteps(steps)
    sigmas = torch.cat([schedule.sigmas_of(ABAR)[scheduler.timesteps], torch.zeros(1)])
    ours = sampled(name, sigmas, z)
    x_t = z[0]
    for i, (t, sigma) in enumerate(zip(scheduler.timesteps, sigmas[:-1], strict=True)):
        drawn = {"variance_noise": z[i + 1]} if settings else {}
        monkeypatch.setattr(
            "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, i=i, **k: z[i + 1]
        )
        eps = noise_of(x_t * (1 + sigma**2) ** 0.5, sigma)
        x_t = scheduler.step(eps, t, x_t, **settings, **drawn).prev_sample
    assert (ours - x_t).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "algorithm"), [("dpmpp_2m", "dpmsolver++"), ("dpmpp_2m_sde", "sde-dpmsolver++")]
)
def test_second_order_equals_diffusers(name, algorithm, generator):
    steps = 20
    z = torch.randn(steps + 1, 2, 1, 4, 4, generator=generator, dtype=torch.float64)
    kind = {"algorithm_type": algorithm, "use_karras_sigmas": True, "final_sigmas_type": "zero"}
    scheduler = diffusers.DPMSolverMultistepScheduler(**BETAS, **kind)
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.double()
    ours = sampled(name, sigmas, z)
    x_t = z[0]
    for i, t in enumerate(scheduler.timesteps):
        eps = noise_of(x_t * (1 + sigmas[i] ** 2) ** 0.5, sigmas[i])
        x_t = scheduler.step(eps, t, x_t, variance_noise=z[i + 1]).prev_sample
    assert (ours - x_t).abs().max() < 1e-5


def test_heun_equals_diffusers(generator):
    scheduler = diffusers.HeunDiscreteScheduler(**BETAS, use_karras_sigmas=True)
    scheduler.set_timesteps(12)
    sigmas = torch.cat(
        [scheduler.sigmas[:1], scheduler.sigmas[1:-1:2], scheduler.sigmas[-1:]]
    ).double()
    assert len(sigmas) == 13
    x = sigmas[0] * torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64)
    calls = []

    def counted(x, sigma):
        calls.append(sigma)
        return wobbly(x, sigma)

    ours = samplers.heun(counted, x, sigmas, None, clip=False)
    assert len(calls) == len(scheduler.timesteps) == 2 * 12 - 1
    for t, sigma in zip(scheduler.timesteps, torch.stack(calls), strict=True):
        x = scheduler.step(noise_of(x, sigma), t, x).prev_sample
    assert (ours - x).abs().max() < 1e-5


def test_churn_raises_the_noise_before_each_step(generator):
    """Karras et al. 2022, algorithm 2, line 4 to 6: one step from 2, churned to 2 sqrt 2, to 0."""
    x, z = torch.randn(2, 3, 1, 4, 4, generator=generator, dtype=torch.float64)
    sigmas = torch.tensor([2.0, 0.0], dtype=torch.float64)
    found = samplers.heun(wobbly, x, sigmas, lambda i: z, churn=80.0, clip=False)
    high = torch.tensor(2 * 2**0.5, dtype=torch.float64)
    assert torch.allclose(found, wobbly(x + 2 * z, high), atol=1e-12)
    assert not torch.equal(found, samplers.heun(wobbly, x, sigmas, None, churn=0.0, clip=False))


def calibrated(x, sigma):
    """A nonlinear denoiser whose residual has exactly the RMS sigma in every image."""
    residual = torch.sin(3 * x) + 0.2 * x.roll(1, -1)
    rms = residual.square().mean((1, 2, 3), keepdim=True).sqrt()
    return x - sigma.reshape(-1, 1, 1, 1) * residual / rms


def test_ks_without_noise_is_ddim_on_its_grid(generator):
    x, h0, steps = torch.randn(3, 1, 6, 6, generator=generator, dtype=torch.float64), 0.05, 12
    levels = [2.0]
    for t in range(1, steps):
        levels.append(levels[-1] * (1 - h0 * t / (1 + h0 * (t - 1))))
    geometric = torch.tensor([*levels, 0.0], dtype=torch.float64)
    # Only ends matter.
    given = torch.cat([geometric[:1], torch.full((steps - 1,), 1e-9), torch.zeros(1)]).double()
    found = samplers.ks(calibrated, x, given, None, beta=1.0, h0=h0, clip=False)
    assert (
        found - samplers.sample(calibrated, x, geometric, None, eta=0.0, clip=False)
    ).abs().max() < 1e-10


@pytest.mark.parametrize("h", [0.01, 0.3])
def test_ks_with_the_noise_of_ddpm_is_ddpm(h, generator):
    x, z = torch.randn(2, 3, 1, 6, 6, generator=generator, dtype=torch.float64)
    sigmas = torch.tensor([2.0, 2.0 * (1 - h) ** 0.5, 0.0], dtype=torch.float64)
    found = samplers.ks(
        calibrated, x, sigmas * 0.999, lambda i: z, beta=(1 - (1 - h) ** 0.5) / h, h0=h, clip=False
    )
    expected = samplers.sample(calibrated, x, sigmas * 0.999, lambda i: z, eta=1.0, clip=False)
    assert (found - expected).abs().max() < 1e-10


def test_ks_stops_each_image_by_itself():
    x0, asked = torch.zeros(3, 1, 8, 8), []
    x = torch.tensor([0.01, 0.3, 3.0]).reshape(3, 1, 1, 1) * torch.ones(3, 1, 8, 8)

    def oracle(x, sigma):
        asked.append(len(x))
        return torch.zeros_like(x)

    out = samplers.ks(
        oracle, x, torch.tensor([3.0, *[0.02] * 400, 0.0]).double(), lambda i: x0, beta=1.0, h0=0.05
    )
    assert torch.equal(out, x0)
    assert asked[:2] == [3, 2]
    assert asked[-1] == 1
    assert len(asked) < 60  # not all 401 steps
