"""z = noise(seed, ids, step): Gaussian noise as a pure function of image, step and pixel.

There is no generator to advance, so the noise of image i is the same whatever is drawn with it,
before it or on which device. The bits come from Philox4x32-10 (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"), a counter-based generator: key = seed, counter = (block of four
pixels, step, id). Box-Muller runs in float64 and is rounded to float32, so that the last digit of a
vectorised logarithm cannot show. For a device without float64 it runs on the CPU, on CUDA as one
kernel where Triton is there: as plain operations it was a sixth of a sampler's time.
"""

import math

import torch
from torch import Tensor

from denoisers.precision import able, triton_works

WORD = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
START = 0  # the step of the starting noise; step k of the sampler draws with k + 1
GUESS = WORD  # the step of what a start other than pure noise draws: see starts.py


def noise(seed: int, ids: Tensor, step: int, shape: tuple[int, ...]) -> Tensor:
    """Independent N(0, 1) values, float32 (len(ids), *shape), on the device of `ids`.

    seed  0 .. 2^64 - 1
    ids   int64 (B,), one id per image, 0 .. 2^62
    step  0 .. 2^32 - 1; START for the starting noise
    """
    if ids.is_cuda and triton_works():
        from bench.noise_kernel import fused  # it brings Triton, which is slow to import

        return fused(seed, ids, step, shape)
    device, ids = ids.device, able(ids)
    size = math.prod(shape)
    blocks = torch.arange(-(-size // 4), device=ids.device)
    counter = [
        blocks.expand(len(ids), -1),
        torch.full_like(blocks, step).expand(len(ids), -1),
        (ids & WORD)[:, None].expand(-1, len(blocks)),
        (ids >> 32)[:, None].expand(-1, len(blocks)),
    ]
    words = torch.stack(philox(counter, (seed & WORD, seed >> 32 & WORD)), dim=-1)  # (B, blocks, 4)
    uniform = (words.double() + 0.5) * 2.0**-32  # in (0, 1), never an end
    radius = (-2 * uniform[..., 0::2].log()).sqrt()
    angle = 2 * math.pi * uniform[..., 1::2]
    normal = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)
    return normal.flatten(1)[:, :size].float().reshape(len(ids), *shape).to(device)


def philox(counter: list[Tensor], key: tuple[int, int]) -> list[Tensor]:
    """Philox4x32-10: four 32-bit words (held in int64) out of four counter words and two key words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = multiply(c0, MULTIPLIERS[0])
        high1, low1 = multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return [c0, c1, c2, c3]


def multiply(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of word * factor, both below 2^32.

    The product is below 2^64: int64 wraps into the sign, but the bits are right, and the mask drops
    the sign.
    """
    product = word * factor
    return (product >> 32) & WORD, product & WORD
