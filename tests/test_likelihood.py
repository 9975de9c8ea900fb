"""Likelihoods that are known: of independent pixels exactly, of anything else in order."""

import numpy as np
import pytest
import torch

from bench.images import to_float
from bench.probes import likelihood
from denoisers import closed_form


@pytest.fixture(scope="module")
def images(digits):
    return to_float(digits.train, digits.pad)


@pytest.fixture(scope="module")
def bits(digits, images):
    """Total bits per pixel by denoiser, and the whole tables."""
    made = {
        "histogram": closed_form.histogram(train=images),
        "pixels": closed_form.histogram(train=images, of="pixels"),
        "gaussian": closed_form.gaussian(train=images),
        "identity": closed_form.identity(),
    }
    return {
        name: likelihood.likelihood(denoiser, digits, 20).set_index("grey levels")
        for name, denoiser in made.items()
    }


def test_independent_pixels_cost_what_they_cost(digits, images, bits):
    """The integral of the errors is the cross-entropy of the histogram, exactly: Guo, Shamai & Verdu 2005."""
    held_out = to_float(digits.held_out[:20], digits.pad)
    exact = closed_form.histogram(train=images).code_length(held_out)[..., 2:30, 2:30].mean().item()
    assert bits["histogram"].loc["all", "bits"] == pytest.approx(exact, rel=0.01)


def test_knowing_more_costs_less(bits):
    total = {name: table.loc["all", "bits"] for name, table in bits.items()}
    assert total["histogram"] < total["identity"]
    above = {name: table.loc["sigma 50 to 255", "bits"] for name, table in bits.items()}
    assert above["gaussian"] < above["pixels"] < above["histogram"]


def test_bands_add_up_below_their_bounds(bits):
    for table in bits.values():
        assert table.drop(index="all")["bits"].sum() == pytest.approx(table.loc["all", "bits"])
        assert (table["upper bound"] > table["bits"]).all()
        assert (table["stderr"] > 0).all()


def test_nan_is_named(digits):
    class Broken(closed_form.Identity):
        def forward(self, x, sigma):
            return torch.full_like(x, float("nan"))

    with pytest.raises(FloatingPointError, match="NaN at sigma 40"):
        likelihood.likelihood(Broken(), digits, 2)


def test_the_integral_is_exact_for_a_power_law():
    """Errors c / gamma integrate to c ln gamma: the trapezoid in ln gamma has nothing to round there."""
    sigmas, band = likelihood.grid()
    table = likelihood.bits(np.tile(3.0 * sigmas**2, (2, 1)), pixels=1).set_index("grey levels")
    assert table.loc["sigma 10 to 50", "bits"] == pytest.approx(1.5 * np.log2((50 / 10) ** 2))
    assert len(sigmas) == len(band) + 1 == 97
