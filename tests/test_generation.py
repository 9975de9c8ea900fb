"""Image i is (seed, i), whatever is computed with it."""

import numpy as np
import pytest
import torch

import denoisers
from bench.sampling.generation import SHARES, WORK, Setup, chunks, generate, missing
from bench.sampling.samplers import SAMPLERS
from denoisers import schedule

SIGMAS = schedule.ddpm_grid(8)


def images_of(denoiser, ids, batch_size, **changes):
    watching = {key: changes.pop(key) for key in ("advance", "watch") if key in changes}
    options = {"seed": 0, "shape": (1, 32, 32), "pad": 2, "batch_size": batch_size} | changes
    return generate(Setup(denoiser, SIGMAS, SAMPLERS["ddpm"], **options), ids, **watching)


@pytest.fixture(scope="module", params=["unet", "gaussian", "ideal"])
def denoiser(request, train):
    return denoisers.load(request.param, train=lambda: train)


def test_the_batch_size_changes_no_image_by_more_than_one_grey_level(denoiser):
    whole = images_of(denoiser, range(30), 256).images
    for size in (1, 7):
        parts = images_of(denoiser, range(30), size).images
        assert np.abs(whole.astype(int) - parts).max() <= 1


def test_an_image_does_not_depend_on_where_the_chunk_begins(denoiser):
    whole, part = (
        images_of(denoiser, range(12), 4).images,
        images_of(denoiser, range(8, 12), 4).images,
    )
    assert np.array_equal(whole[8:], part)


def test_seeds_and_ids_give_different_images(denoiser):
    first = images_of(denoiser, range(4), 4).images
    assert len({image.tobytes() for image in first}) == 4
    assert not np.array_equal(first, images_of(denoiser, range(4), 4, seed=1).images)


def test_denoisers_start_from_the_same_noise(train):
    seen = {}
    for name in ("gaussian", "identity"):
        inner = denoisers.load(name, train=lambda: train)

        def spy(x, sigma, inner=inner, name=name):
            seen.setdefault(name, x.clone())
            return inner(x, sigma)

        images_of(spy, range(3), 3)
    assert torch.equal(seen["gaussian"], seen["identity"])


def test_the_trace_measures_what_it_says(train):
    chunk = images_of(lambda x, s: torch.full_like(x, 2.0), range(6), 4)
    assert chunk.trace.shape == (8, 7)
    images, *sums = chunk.trace.T
    assert (images == 6).all()
    sigma, residual, beside, mean, square, clipped = np.array(sums) / 6
    assert sigma.tolist() == pytest.approx(SIGMAS[:-1].tolist())
    assert (clipped == 1).all()
    assert square[0] == pytest.approx(1 + SIGMAS[0].item() ** 2, rel=0.05)  # the VP start
    assert residual[0] == pytest.approx(square[0] - 4 * mean[0] + 4, rel=1e-4)
    # White noise beside the constant.
    assert abs(beside[0] - (4 - 4 * mean[0])) < 0.05 * residual[0]
    assert chunk.cost[0] > chunk.cost[1] > 0
    assert chunk.cost[2] == 6 * 8


def test_a_denoiser_may_be_a_gradient_and_may_answer_in_bfloat16():
    """D = x - grad g(x) with g = |x|^2 / 4, and the same in lower precision: x / 2."""

    def gradient(x, sigma):
        with torch.enable_grad():
            y = x.clone().requires_grad_()
            return x - torch.autograd.grad(y.square().sum() / 4, y)[0]

    expected = images_of(lambda x, s: x / 2, range(4), 4).images
    assert np.array_equal(images_of(gradient, range(4), 4).images, expected)
    rounded = images_of(lambda x, s: (x / 2).bfloat16(), range(4), 4).images
    assert np.abs(rounded.astype(int) - expected).max() <= 4


def test_progress_counts_image_steps(train):
    seen = []
    images_of(denoisers.load("identity"), range(10), 4, advance=seen.append)
    assert sum(seen) == 10 * 8


@pytest.mark.parametrize("steps", [1, 20, 1000])
@pytest.mark.parametrize(
    ("num", "batch"), [(2000, 128), (2000, 7), (3, 1), (10_000, 1024), (256, 128), (10_000, 1)]
)
def test_chunks_are_whole_batches_and_cover_all_ids(num, batch, steps):
    parts = chunks(num, batch, steps)
    assert [i for part in parts for i in part] == list(range(num))
    assert all(part.start % batch == 0 and len(part) == len(parts[0]) for part in parts[:-1])
    # What a kill costs.
    assert all(len(part) == batch or (len(part) - batch) * steps < WORK for part in parts)
    assert len(parts) >= min(SHARES, -(-num // batch))  # for workers
    # And not a process for each batch, however small.
    assert len(parts) < SHARES * 2 + num * steps / WORK


def test_256_images_are_work_for_two():
    assert [len(part) for part in chunks(256, 128, 20)] == [128, 128]


def test_what_is_missing_is_what_is_wanted_and_not_there():
    wanted = [range(0, 8), range(8, 16), range(16, 20)]
    assert missing(wanted, []) == wanted
    assert missing(wanted, wanted[1:2]) == [wanted[0], wanted[2]]
    assert missing(wanted, [range(0, 20)]) == []
    assert missing(wanted, [range(2, 4), range(6, 10)]) == [
        range(0, 2),
        range(4, 6),
        range(10, 16),
        range(16, 20),
    ]
