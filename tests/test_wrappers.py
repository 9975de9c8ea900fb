"""Oracles in, oracles out: with a perfect network every wrapper returns x0, whatever range and size it wants."""

import pytest
import torch

from bench.sampling import samplers
from denoisers import schedule
from denoisers.base import Spec
from denoisers.wrappers import (
    COUPLINGS,
    ResidualDenoiser,
    VPDenoiser,
    fit,
    from_size,
    pad,
    sized,
    split_noise,
    to_size,
    unfit,
)

ABAR = schedule.alphas_cumprod(schedule.linear_betas())
SIGMAS = [0.01, 0.5, 5.0, 157.0]


class Oracle(torch.nn.Module):
    """A network that returns what it is told, and remembers what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, *asked):
        self.asked = asked
        return self.answer(*asked) if callable(self.answer) else self.answer


@pytest.fixture
def x0(generator):
    return torch.rand(3, 1, 31, 29, generator=generator) * 2 - 1


@pytest.fixture
def eps(generator):
    return torch.randn(3, 1, 31, 29, generator=generator)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_oracle_on_the_chain_gives_x0(x0, eps, sigma, prediction):
    s = torch.tensor(sigma)
    a, b = schedule.vp_scale(s), s * schedule.vp_scale(s)
    told = {"epsilon": eps, "sample": x0, "v_prediction": a * eps - b * x0}[prediction]
    net = Oracle(torch.nn.functional.pad(told, (0, 3, 0, 1)))
    denoiser = VPDenoiser(net, ABAR, Spec("oracle", prediction, multiple_of=8))
    denoised = denoiser(x0 + sigma * eps, torch.tensor(sigma))
    assert torch.allclose(denoised, x0, atol=1e-6 * max(1, sigma) * 10)
    x_t, t = net.asked
    assert x_t.shape == (3, 1, 32, 32)
    assert torch.allclose(x_t[..., :31, :29], (x0 + sigma * eps) / (1 + sigma**2) ** 0.5, atol=1e-6)
    level = schedule.sigmas_of(ABAR)[t.round().long()]
    assert level.tolist() == pytest.approx([sigma] * 3, rel=0.06)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(
    ("channels", "multiple", "value_range"),
    [(1, 1, (-1.0, 1.0)), (3, 16, (0.0, 1.0)), (1, 8, (0, 255))],
)
def test_restoration_oracle_gives_x0(x0, eps, sigma, channels, multiple, value_range):
    spec = Spec("oracle", "sample", channels, multiple, value_range)
    net = Oracle(fit(x0.expand(-1, channels, -1, -1), spec))
    denoised = ResidualDenoiser(net, spec)(x0 + sigma * eps, torch.tensor(sigma))
    assert torch.allclose(denoised, x0, atol=1e-5)
    (asked,) = net.asked
    assert asked.shape[1] == channels
    assert asked.shape[-2] % multiple == asked.shape[-1] % multiple == 0


@pytest.mark.parametrize(
    ("value_range", "unit"), [((-1.0, 1.0), 1), ((0.0, 1.0), 2), ((0.0, 255.0), 1 / 127.5)]
)
@pytest.mark.parametrize(("coupling", "scale"), [("ve", 1), ("vp", 0.8), ("scaled", 0.8)])
def test_a_conditioned_network_is_told_the_noise_in_its_own_unit(
    x0, value_range, unit, coupling, scale
):
    """sigma 0.75, which is 0.6 after the VP scaling by 0.8; `scaled` feeds [-1, 1] whatever the range."""
    net = Oracle(lambda image, level: image)
    denoiser = ResidualDenoiser(
        net, Spec("oracle", "sample", value_range=value_range, blind=False), coupling
    )
    for sigma in (torch.tensor(0.75), torch.full((3,), 0.75)):
        denoiser(x0, sigma)
        level = net.asked[1]
        assert level.tolist() == pytest.approx(
            [0.75 * scale / (1 if coupling == "scaled" else unit)] * 3
        )


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_a_chain_on_other_images(x0, eps, prediction):
    """Trained on [0, 1]: noise of 1.0 there is noise of 2.0 here."""
    sigma, half = torch.tensor(1.0), 0.5
    a = schedule.vp_scale(sigma)
    u0 = (x0 + 1) * half
    net = Oracle(
        {"epsilon": eps, "sample": u0, "v_prediction": a * eps - sigma * a * u0}[prediction]
    )
    denoiser = VPDenoiser(net, ABAR, Spec("oracle", prediction, value_range=(0.0, 1.0)))
    assert torch.allclose(denoiser(x0 + 2 * eps, torch.tensor(2.0)), x0, atol=1e-5)
    x_t, t = net.asked
    assert torch.allclose(x_t, a * (u0 + eps), atol=1e-5)
    assert schedule.sigmas_of(ABAR)[t.round().long()].tolist() == pytest.approx([1.0] * 3, rel=0.01)


def test_a_restoration_network_that_says_it_predicts_noise_is_refused():
    with pytest.raises(ValueError, match="'sample'; found 'epsilon'"):
        ResidualDenoiser(Oracle(None), Spec("oracle", "epsilon"))


def test_a_chain_that_ends_in_pure_noise(x0, eps):
    denoiser = VPDenoiser(
        Oracle(eps), torch.tensor([0.99, 0.5, 0.0]), Spec("zero terminal SNR", "epsilon")
    )
    assert torch.isfinite(denoiser(x0 + 80 * eps, torch.tensor(80.0))).all()
    assert denoiser.net.asked[1].tolist() == [1, 1, 1]


def test_a_colour_network_on_a_chain_is_averaged(x0, eps):
    net = Oracle(lambda x_t, t: x_t)
    spec = Spec("colour", "sample", in_channels=3)
    x, sigma = x0 + 0.5 * eps, torch.tensor(0.5)
    denoised = VPDenoiser(net, ABAR, spec)(x, sigma)
    assert net.asked[0].shape == (3, 3, 31, 29)
    wider = 3**0.5 * sigma
    assert torch.allclose(denoised, schedule.vp_scale(wider) * x, atol=1e-5)


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="epsilon, sample, v_prediction; found 'flow'"):
        VPDenoiser(Oracle(None), ABAR, Spec("oracle", "flow"))


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_unfit_undoes_fit(x0, value_range):
    spec = Spec("s", "sample", 1, 16, value_range)
    assert torch.allclose(unfit(fit(x0, spec), x0, spec), x0, atol=1e-5)


def test_small_images_are_padded_too():
    assert pad(torch.rand(1, 1, 5, 7), 16).shape == (1, 1, 16, 16)


def test_fit_maps_black_and_white_to_the_ends_of_the_range():
    ends = fit(
        torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 2), Spec("s", "sample", value_range=(0.0, 1.0))
    )
    assert ends.flatten().tolist() == [0, 1]


def test_split_noise_is_independent_between_channels(generator):
    sigma = torch.tensor([0.5, 2.0])
    x = sigma[:, None, None, None] * torch.randn(2, 1, 200, 200, generator=generator)
    split, wider = split_noise(x, sigma, 3)
    assert torch.allclose(wider, 3**0.5 * sigma)
    assert torch.allclose(split.mean(1, keepdim=True), x, atol=1e-5)
    for image, s in zip(split, wider, strict=True):
        assert torch.allclose(image.flatten(1).cov() / s**2, torch.eye(3), atol=0.03)
    # Whatever else is in the batch.
    assert torch.equal(split_noise(x[1:], sigma[1:], 3)[0], split[1:])
    assert torch.equal(split_noise(x[1:], sigma[1], 3)[0], split[1:])


@pytest.mark.parametrize("name", ["scaled", "vp", "ve"])
def test_correct_couplings_take_off_all_the_noise(x0, eps, name):
    """Fed by each coupling, a network that removes exactly the noise gives D = x0."""
    sigma = 2.0
    scale = 1 if name == "ve" else (1 + sigma**2) ** -0.5
    net = Oracle(scale * x0)
    denoiser = ResidualDenoiser(net, Spec("oracle", "sample"), coupling=name)
    assert torch.allclose(denoiser(x0 + sigma * eps, torch.tensor(sigma)), x0, atol=1e-5)


def test_normalised_residual_has_unit_deviation(x0, eps):
    sigma = torch.tensor(3.0)
    x = x0 + sigma * eps
    denoiser = ResidualDenoiser(
        Oracle(lambda x: 0.3 * x), Spec("oracle", "sample"), coupling="normalised"
    )
    assert torch.allclose(
        ((x - denoiser(x, sigma)) / sigma).std(dim=(1, 2, 3)), torch.ones(3), atol=1e-5
    )


@pytest.mark.parametrize(
    ("steps", "left"), [(1000, 0.417), (250, 0.429), (100, 0.450), (50, 0.478)]
)
def test_naive_coupling_leaves_noise_even_with_an_oracle(steps, left):
    """v' = ((1 - beta / sqrt(1 - abar))^2 / alpha) v + beta from v = 1: the historical failure, as arithmetic."""
    sigmas = schedule.ddpm_grid(steps)
    denoiser = ResidualDenoiser(
        Oracle(torch.zeros_like), Spec("oracle", "sample"), coupling="naive"
    )
    unit = torch.eye(steps + 1, dtype=torch.float64)[:, :, None, None, None]
    x = samplers.start(unit[:, 0], sigmas[0].item())
    out = samplers.sample(
        denoiser, x, sigmas, lambda i: unit[:, i + 1], variance="beta", clip=False
    )
    assert out.square().sum().sqrt() == pytest.approx(left, abs=0.001)


def test_unknown_coupling_is_refused():
    with pytest.raises(ValueError, match="naive, normalised, scaled, vp, ve"):
        ResidualDenoiser(Oracle(None), Spec("oracle", "sample"), coupling="magic")
    assert list(COUPLINGS) == ["naive", "normalised", "scaled", "vp", "ve"]


SIZES = [(28, 28), (31, 29), (36, 40), (28, 33), (40, 20), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_taken_from_the_middle_and_put_back(x0, size):
    sigma = torch.tensor(0.5)
    middle = to_size(x0, sigma, size)
    assert tuple(middle.shape[-2:]) == size
    back = from_size(middle, x0, size)
    rows, columns = (
        max(0, found - wanted) // 2 for found, wanted in zip((31, 29), size, strict=True)
    )
    inside = torch.zeros(31, 29, dtype=torch.bool)
    inside[rows : rows + size[0], columns : columns + size[1]] = True
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    assert abs((rows[0] + rows[-1]).item() - 30) <= 1  # in the middle, to half a pixel
    assert abs((columns[0] + columns[-1]).item() - 28) <= 1
    assert inside.sum() == min(31, size[0]) * min(29, size[1])
    kept = back == x0
    if (back != -1).any():  # wherever it was cut, black; wherever not, the image itself
        assert torch.equal(kept, (back != -1) | (x0 == -1))
    assert torch.equal(back[..., 15, 14], x0[..., 15, 14])


def test_what_is_added_is_black_under_noise_of_the_same_level(generator):
    sigma = torch.tensor([0.5, 3.0])
    x = torch.randn(2, 1, 32, 32, generator=generator)
    wide = to_size(x, sigma, (320, 320))
    assert torch.equal(wide[..., 144:176, 144:176], x)
    added = torch.ones(320, 320, dtype=torch.bool)
    added[144:176, 144:176] = False
    for image, level in zip(wide, sigma, strict=True):
        assert image[0, added].mean().item() == pytest.approx(-1, abs=0.02 * level.item())
        assert image[0, added].std().item() == pytest.approx(level.item(), rel=0.02)
    # Whatever else is in the batch.
    assert torch.equal(to_size(x[1:], sigma[1], (320, 320)), wide[1:])


def test_the_noise_around_an_image_is_not_that_of_its_channels():
    """Both come from the level alone; the same pattern twice would make the channels of a colour network unequal."""
    sigma = torch.tensor(0.5)
    split, wider = split_noise(to_size(torch.zeros(1, 1, 2, 2), sigma, (300, 300)), sigma, 3)
    around = split[0].flatten(1)[:, :30000]
    assert torch.allclose(around.cov() / wider**2, torch.eye(3), atol=0.03)


NETS = {
    "chain": lambda net, **facts: VPDenoiser(net, ABAR, Spec("sized", "epsilon", **facts)),
    "restorer": lambda net, **facts: ResidualDenoiser(net, Spec("sized", "sample", **facts)),
    "told": lambda net, **facts: ResidualDenoiser(
        net, Spec("sized", "sample", blind=False, **facts)
    ),
}


@pytest.mark.parametrize(
    "facts", [{}, {"multiple_of": 8}, {"value_range": (0.0, 1.0)}, {"in_channels": 3}], ids=str
)
@pytest.mark.parametrize("make", NETS)
def test_a_network_of_another_size_gets_it_and_the_rest_is_black(x0, eps, make, facts):
    """As if the image had been cut, asked about, and put back by hand; the size comes before all other changes."""
    net = Oracle(lambda image, *level: 0.9 * image + image.mean((2, 3), keepdim=True))
    x, sigma = x0 + 0.5 * eps, torch.tensor(0.5)
    denoised = NETS[make](net, size=(28, 28), **facts)(x, sigma)
    side = 32 if "multiple_of" in facts else 28
    assert net.asked[0].shape == (3, facts.get("in_channels", 1), side, side)
    by_hand = torch.full_like(x, -1.0)
    by_hand[..., 2:30, 1:29] = NETS[make](net, **facts)(x[..., 2:30, 1:29], sigma)
    assert torch.equal(denoised, by_hand)


@pytest.mark.parametrize("make", NETS)
def test_a_network_of_a_larger_size_is_asked_about_the_image_in_a_black_one(x0, eps, make):
    net = Oracle(lambda image, *level: image)
    x, sigma = x0 + 0.5 * eps, torch.tensor(0.5)
    denoised = NETS[make](net, size=(64, 64))(x, sigma)
    assert net.asked[0].shape == (3, 1, 64, 64)
    assert torch.equal(denoised, NETS[make](net)(x, sigma))


def test_no_size_and_the_size_it_is_leave_everything_as_it_is(x0):
    for size in (None, (31, 29)):
        assert sized(size, lambda x, sigma: x, x0, torch.tensor(1.0)) is x0


@pytest.mark.parametrize(
    ("value_range", "unit"), [((-1.0, 1.0), 1), ((0.0, 1.0), 2), ((0.0, 255.0), 1 / 127.5)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_chain_has_its_band_unless_another_is_said(value_range, unit, channels):
    facts = {"value_range": value_range, "in_channels": channels}
    spec = VPDenoiser(Oracle(None), ABAR, Spec("chain", "epsilon", **facts)).spec
    chain = schedule.sigmas_of(ABAR)
    assert spec.sigma_min == pytest.approx(chain[0].item() * unit / channels**0.5)
    assert spec.sigma_max == pytest.approx(chain[-1].item() * unit / channels**0.5)
    for said in ({"sigma_max": 5.0}, {"sigma_min": 0.1, "sigma_max": 0.5}):
        spec = VPDenoiser(Oracle(None), ABAR, Spec("chain", "epsilon", **facts, **said)).spec
        assert (spec.sigma_min, spec.sigma_max) == (said.get("sigma_min", 0.0), said["sigma_max"])
