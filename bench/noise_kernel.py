"""`noise` as one Triton kernel: the same bits, without the forty passes over memory of as many operations."""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

QUADS = 256  # blocks of four pixels that one program draws
SCALE = tl.constexpr(2.0**-32)
TURN = tl.constexpr(2 * math.pi)


# A kernel for each seed, or for step 1 alone, would be made anew for nothing.
@triton.jit(do_not_specialize=["low", "high", "step"])
def draw(out, ids, low, high, step, size, BLOCK: tl.constexpr):  # noqa: ANN001, ANN201
    """Four numbers for each of BLOCK quads of one image: see `bench.noise.noise`."""
    image = tl.program_id(0)
    quad = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    name = tl.load(ids + image)
    zero = tl.zeros((BLOCK,), tl.uint32)
    seed = (high.to(tl.uint64) << 32) | low.to(tl.uint64)
    w0, w1, w2, w3 = tl.philox(
        seed,
        quad.to(tl.uint32),
        zero + step.to(tl.uint32),
        zero + (name & 0xFFFFFFFF).to(tl.uint32),
        zero + ((name >> 32) & 0xFFFFFFFF).to(tl.uint32),
    )
    first = image.to(tl.int64) * size + quad * 4
    for pair in tl.static_range(2):
        a, b = (w0, w1) if pair == 0 else (w2, w3)
        radius = tl.sqrt(-2.0 * tl.log((a.to(tl.float64) + 0.5) * SCALE))
        angle = TURN * ((b.to(tl.float64) + 0.5) * SCALE)
        place = quad * 4 + 2 * pair
        cosine, sine = radius * tl.cos(angle), radius * tl.sin(angle)
        tl.store(out + first + 2 * pair, cosine.to(tl.float32), mask=place < size)
        tl.store(out + first + 2 * pair + 1, sine.to(tl.float32), mask=place + 1 < size)


def fused(seed: int, ids: Tensor, step: int, shape: tuple[int, ...]) -> Tensor:
    """`bench.noise.noise` for `ids` (B,) on CUDA."""
    size = math.prod(shape)
    out = torch.empty(len(ids), *shape, device=ids.device)
    grid = (len(ids), triton.cdiv(size, 4 * QUADS))
    with torch.cuda.device(ids.device):
        draw[grid](out, ids, seed & 0xFFFFFFFF, seed >> 32, step, size, BLOCK=QUADS)
    return out
