"""`bench check` on denoisers whose fault is known: it must name it, and say nothing of the sound ones."""

import dataclasses

import pytest
import torch

from bench import check
from denoisers import schedule
from denoisers.base import Denoiser, Spec, expand_as
from denoisers.wrappers import ResidualDenoiser, VPDenoiser

ABAR = schedule.alphas_cumprod(schedule.linear_betas())
CHAIN = schedule.sigmas_of(ABAR)


@pytest.fixture(scope="module")
def wiener():
    """A denoiser that is right, on [-1, 1]."""
    return check.probe()[2]


def rows(denoiser) -> dict[str, check.Row]:
    return {row.check: row for row in check.conformance(denoiser.eval(), num=16)}


def failures(denoiser) -> dict[str, str]:
    return {name: f"{row.found}; {row.remedy}" for name, row in rows(denoiser).items() if row.verdict == check.FAIL}


class Net(torch.nn.Module):
    """A restoration network on `value_range`, told the noise in that range's unit: the Wiener filter."""

    def __init__(self, wiener, value_range):
        super().__init__()
        self.wiener, (self.low, high) = wiener, value_range
        self.half = (high - self.low) / 2

    def forward(self, image, level):
        denoised = self.wiener((image - self.low) / self.half - 1, level / self.half)
        return (denoised + 1) * self.half + self.low


RANGES = {(-1.0, 1.0): r"\[-1, 1\]", (0.0, 1.0): r"\[0, 1\]", (0.0, 255.0): r"\[0, 255\]"}


@pytest.mark.parametrize("true", RANGES)
def test_a_range_declared_as_it_is(wiener, true):
    assert failures(ResidualDenoiser(Net(wiener, true), Spec("sound", "sample", value_range=true, blind=False))) == {}


@pytest.mark.parametrize(("true", "declared"), [((0, 1), (-1, 1)), ((0, 255), (-1, 1)), ((-1, 1), (0, 1))], ids=str)
def test_a_wrong_range_is_named(wiener, true, declared):
    spec = Spec("wrong", "sample", value_range=declared, blind=False)
    named = failures(ResidualDenoiser(Net(wiener, true), spec))["coordinates"]
    assert f"as if it expected images in [{true[0]}, {true[1]}]" in named
    assert f"value_range=({true[0]}, {true[1]})" in named


class Faulty(Denoiser):
    """The Wiener filter with a fault: `answer(wiener, x, sigma)`."""

    def __init__(self, wiener, answer, **facts):
        super().__init__()
        self.spec, self.wiener, self.answer = Spec("faulty", "sample", **({"blind": False} | facts)), wiener, answer

    def forward(self, x, sigma):
        return self.answer(self.wiener, x, sigma)


FAULTS = {
    "sigma in grey levels: hand it 127.5 sigma": lambda d, x, s: d(x, s / 127.5),
    "sigma on [0, 1]: hand it sigma / 2": lambda d, x, s: d(x, 2 * s),
    "told half of it": lambda d, x, s: d(x, s / 2),
    "it returns the residual: the image is x minus": lambda d, x, s: x - d(x, s),
    "it returns eps": lambda d, x, s: (x - d(x, s)) / expand_as(s, x),
    "wrong sign": lambda d, x, s: 2 * x - d(x, s),
    "VP images": lambda d, x, s: d(x * (1 + expand_as(s, x) ** 2).sqrt(), s),
    "the variance": lambda d, x, s: d(x, s.sqrt()),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_misunderstanding_is_named(wiener, words):
    assert words in failures(Faulty(wiener, FAULTS[words]))["coordinates"]


def jumpy(d, x, s):
    return d(x, s) + 0.01 * torch.randn(x.shape)


def writes(d, x, s):
    return x.mul_(0.5)


def explodes(d, x, s):
    return d(x, s) / (expand_as(s, x) > 0.01)


def narrow(d, x, s):
    if x.shape[-1] % 2:
        raise RuntimeError("sizes of tensors must match")
    return d(x[..., :32, :32], s)


OTHERS = {
    "each image by itself: it depends on its batch neighbours": lambda d, x, s: d(x - 0.2 * x.mean(0), s),
    "repeatable: it draws from the global generator": jumpy,
    "repeatable: it changes its input": writes,
    "finite: NaN or infinity at sigma 0.002": explodes,
    "odd sizes: 29 x 37: RuntimeError: sizes": narrow,
    "shapes: torch.float64": lambda d, x, s: d(x, s).double(),
    "shapes: (32": lambda d, x, s: d(x, s)[:, 0],
    "noise level: its answer does not depend on sigma, declared told sigma": lambda d, x, s: d(x, torch.tensor(0.5)),
    "removes noise": lambda d, x, s: d(x, s) + 3 * expand_as(s, x),
}


@pytest.mark.parametrize("words", OTHERS)
def test_a_fault_is_named(wiener, words):
    name, _, reason = words.partition(": ")
    assert reason.replace("(32", "(16") in failures(Faulty(wiener, OTHERS[words]))[name]


def test_a_card_that_is_no_json_is_named(wiener):
    denoiser = Faulty(wiener, lambda d, x, s: d(x, s))
    denoiser.card = {"weights": torch.zeros(1)}
    assert "Tensor is not JSON serializable" in failures(denoiser)["facts"]


def test_a_network_of_one_level_that_is_told_it(wiener):
    spec = Spec("one level", "sample", value_range=(0.0, 1.0), sigma_min=0.2, sigma_max=0.2, blind=False)
    assert failures(ResidualDenoiser(Net(wiener, (0.0, 1.0)), spec)) == {}


def test_training_mode_is_named(wiener):
    denoiser = ResidualDenoiser(torch.nn.Sequential(torch.nn.Dropout(0.1)), Spec("trains", "sample"))
    found = {row.check: row.remedy for row in check.conformance(denoiser.train(), num=4)}
    assert "call .eval()" in found["repeatable"]


def test_a_denoiser_that_raises_fails_by_the_error_it_raised(wiener):
    def raises(d, x, s):
        raise KeyError("weight")

    assert failures(Faulty(wiener, raises))["shapes"].startswith("KeyError: 'weight'")


def test_a_network_on_the_chain_with_the_wrong_prediction_type(wiener):
    class Eps(torch.nn.Module):
        def forward(self, x_t, t):
            sigma = CHAIN.gather(0, t.round().long()).float()
            x = x_t * (1 + expand_as(sigma, x_t) ** 2).sqrt()
            return (x - wiener(x, sigma)) / expand_as(sigma, x)

    right = VPDenoiser(Eps(), ABAR, Spec("right", "epsilon", sigma_min=0.01, sigma_max=157.4))
    assert failures(right) == {}
    wrong = VPDenoiser(Eps(), ABAR, dataclasses.replace(right.spec, prediction_type="sample"))
    assert "it returns eps" in failures(wrong)["coordinates"]


def test_reach_and_notes_say_what_is_so(wiener):
    found = rows(Faulty(wiener, lambda d, x, s: torch.where(expand_as(s, x) > 1, x, d(x, s))))
    assert "removes noise for sigma 0.02 to 0.63" in found["reach"].found  # LEVELS below 1
    exact = rows(Faulty(wiener, lambda d, x, s: check.probe()[0][: len(x)] if x.shape[-1] == 32 else x))
    assert "better than the Wiener filter for sigma 0.02 to 1.6e+02" in exact["reach"].found
    assert rows(Faulty(wiener, lambda d, x, s: x / 2, blind=True))["DC gain"].found.startswith("0.5 at 0.1")
    assert rows(Faulty(wiener, lambda d, x, s: x / 2, blind=True))["homogeneity"].found.endswith("= 0")


def test_the_helper_passes_and_names_what_fails(wiener):
    check.assert_conforms(wiener.eval(), num=8)
    check.assert_conforms("gaussian", num=8)
    with pytest.raises(AssertionError, match="removes noise"):
        check.assert_conforms("identity", num=8)
