"""The noise is the published generator, and a function of (seed, id, step, pixel) alone."""

import pytest
import torch

from bench.noise import WORD, noise, philox

SHAPE = (1, 32, 32)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),  # known answers of the Random123 distribution
    [
        ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([WORD] * 4, (WORD, WORD), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, expected):
    words = philox([torch.tensor([word]) for word in counter], key)
    assert [int(word) for word in words] == expected


@pytest.mark.parametrize("size", [1, 7, 256])
def test_an_image_has_the_same_noise_in_every_batch(size):
    whole = noise(3, torch.arange(300), 5, SHAPE)
    parts = torch.cat([noise(3, ids, 5, SHAPE) for ids in torch.arange(300).split(size)])
    assert torch.equal(whole, parts)


def test_order_does_not_matter():
    ids = torch.tensor([5, 0, 2**40 + 1, 3])
    assert torch.equal(noise(1, ids.flip(0), 0, SHAPE), noise(1, ids, 0, SHAPE).flip(0))


def test_it_is_standard_normal_and_white():
    z = noise(0, torch.arange(512), 1, SHAPE).double()
    n = z.numel()
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert abs((z[..., 1:] * z[..., :-1]).mean()) < 5 / n**0.5
    assert abs((z[1:] * z[:-1]).mean()) < 5 / n**0.5


@pytest.mark.parametrize(
    "other", [(1, [0], 0), (0, [1], 0), (0, [0], 1), (2**32, [0], 0), (0, [2**32], 0)]
)
def test_seed_id_and_step_each_change_it(other):
    seed, ids, step = other
    a, b = noise(0, torch.tensor([0]), 0, SHAPE), noise(seed, torch.tensor(ids), step, SHAPE)
    assert abs((a * b).mean()) < 5 / a.numel() ** 0.5


def test_sizes_that_are_no_multiple_of_four():
    assert torch.equal(
        noise(0, torch.arange(2), 0, (1, 3, 5)).flatten(1),
        noise(0, torch.arange(2), 0, (16,))[:, :15],
    )
