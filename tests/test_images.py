"""Images as arrays: every grey level there and back, and the noise that is left in them."""

import numpy as np
import pytest
import torch

from bench.images import noise_std, to_float, to_uint8
from bench.noise import noise


def test_every_grey_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    x = to_float(levels, pad=3)
    assert x.shape == (1, 1, 22, 22)
    assert x.min() == -1
    assert x.max() == 1
    assert (x[..., :3] == -1).all()
    assert np.array_equal(to_uint8(x, pad=3), levels)


def test_uint8_is_rounded_and_clipped_not_wrapped():
    x = torch.tensor([-7.0, -1 + 0.9 / 127.5, 0.0, 1.4, 100]).reshape(1, 1, 1, 5)
    assert to_uint8(x).tolist() == [[[0, 1, 128, 255, 255]]]


@pytest.mark.parametrize("std", [0.05, 0.417, 2.0])
def test_the_level_is_that_of_the_noise_whatever_the_image(digits, std):
    clean = to_float(digits.held_out[:64], digits.pad)
    z = std * noise(0, torch.arange(64), 0, (1, 32, 32))
    assert noise_std(z).mean() == pytest.approx(std, rel=0.02)
    assert noise_std(clean + z).mean() == pytest.approx(std, rel=0.25)  # few pixels are edges
    assert torch.allclose(noise_std(z + 100), noise_std(z), rtol=1e-3)
    assert noise_std(clean).median() < 0.02
