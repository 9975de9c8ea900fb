"""The search is exact whatever the bounds leave over, for images, shifts of images, and features."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from bench.scoring import nearest
from bench.scoring.memorization import shifted
from bench.scoring.nearest import Index


def brute(queries, points, k):
    """Of (N, S, D) to (M, D), in float64, the smallest over S."""
    squared = cdist(queries.reshape(-1, points.shape[1]), points, "sqeuclidean")
    squared = squared.reshape(*queries.shape[:2], len(points)).min(1)
    index = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return index, np.sqrt(np.take_along_axis(squared, index, 1))


@pytest.fixture(scope="module")
def images(digits):
    return digits.train[:700].reshape(700, -1), digits.held_out[:25]


@pytest.mark.parametrize("k", [1, 2, 50])
def test_distances_between_images_are_exact(images, k):
    train, queries = images
    flat = queries.reshape(25, -1)
    found = Index.of(train).nearest(flat, k)
    index, distance = brute(flat[:, None], train, k)
    # Sums of integers.
    assert np.array_equal(np.square(found.distance).round(), np.square(distance).round())
    assert np.array_equal(found.index[:, 0], index[:, 0])


def test_of_the_shifts_of_an_image_the_nearest_counts(images):
    train, queries = images
    variants = shifted(queries[:6])
    found = Index.of(train).nearest(variants, 2)
    assert np.allclose(found.distance, brute(variants, train, 2)[1], rtol=1e-14)


@pytest.mark.parametrize("directions", [1, 3, 30])
def test_a_bad_basis_costs_time_and_nothing_else(images, monkeypatch, directions):
    train, queries = images
    flat = queries.reshape(25, -1)
    expected = Index.of(train).nearest(flat, 5).distance
    monkeypatch.setattr(nearest, "DIRECTIONS", directions)
    assert np.array_equal(Index.of(train).nearest(flat, 5).distance, expected)


def test_blocks_change_nothing(images, monkeypatch):
    train, queries = images
    whole = Index.of(train).nearest(queries.reshape(25, -1), 3)
    variants = shifted(queries[:6])
    nearest_of_variants = Index.of(train).nearest(variants, 3)
    monkeypatch.setattr(nearest, "CELLS", 2000)
    parts = Index.of(train).nearest(queries.reshape(25, -1), 3)
    assert np.array_equal(whole.distance, parts.distance)
    for tile in (1, 2500):  # of bounds: less than one point, and 100 of 700
        monkeypatch.setattr(nearest, "TILE", tile)
        found = Index.of(train).nearest(variants, 3)
        assert np.array_equal(found.distance, nearest_of_variants.distance)
        assert np.array_equal(found.index, nearest_of_variants.index)


def test_features(rng):
    points, queries = (
        rng.normal(size=(900, 12)).astype("f4") * 7 + 3,
        rng.normal(size=(40, 12)).astype("f4") * 7 + 3,
    )
    found = Index.of(points).nearest(queries, 4)
    index, distance = brute(queries[:, None], points, 4)
    assert np.array_equal(found.index, index)
    assert np.allclose(found.distance, distance, rtol=1e-9)


def test_features_far_from_zero(rng):
    points, queries = (rng.normal(size=(n, 12)).astype("f4") + 1000 for n in (900, 40))
    assert np.array_equal(
        Index.of(points).nearest(queries, 4).index, brute(queries[:, None], points, 4)[0]
    )
    assert (Index.of(points).nearest(points[:20], 1).distance == 0).all()


def test_queries_unlike_any_point(images, rng):
    """Bounds say nothing of noise; plain searches stay exact, searches among shifts give upper bounds."""
    train, _ = images
    noise = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    expected = brute(noise.reshape(5, 1, -1), train, 3)[1]
    assert np.allclose(
        Index.of(train).nearest(noise.reshape(5, -1), 3).distance, expected, rtol=1e-14
    )
    among = shifted(noise)
    assert (Index.of(train).nearest(among, 3).distance >= brute(among, train, 3)[1] - 1e-9).all()


def test_a_point_is_no_neighbour_of_itself(images):
    train, _ = images
    own = np.array([3, 500, 41])
    found = Index.of(train).nearest(train[own], 2, own=own)
    index, distance = brute(train[own][:, None], train, 3)
    assert np.array_equal(found.index, index[:, 1:])
    assert np.allclose(found.distance, distance[:, 1:], rtol=1e-14)


def test_a_point_that_occurs_often_has_itself_as_neighbour():
    points = np.zeros((10, 4), np.uint8)
    points[7:] = 9
    found = Index.of(points).nearest(points[:1], 2, own=np.array([0]))
    assert (found.distance == 0).all()
    assert 0 not in found.index


def test_more_neighbours_than_points_are_refused():
    with pytest.raises(ValueError, match="5 neighbours need as many points; found 4"):
        Index.of(np.eye(4, dtype="f4")).nearest(np.eye(4, dtype="f4"), 5)


def test_points_are_given_back_as_they_were(images):
    train, _ = images
    assert np.array_equal(Index.of(train).original(np.array([3, 500])), train[[3, 500]])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_neighbours_are_those_of_the_cpu(images, rng):
    train, queries = images
    noise = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    both = np.concatenate([queries, noise])
    here, there = Index.of(train), Index.of(train, "cuda")
    for asked in (both.reshape(30, -1), shifted(queries)):
        assert np.array_equal(there.nearest(asked, 3).distance, here.nearest(asked, 3).distance)


def test_points_that_are_not_copied_have_the_same_neighbours(images, monkeypatch):
    train, queries = images
    variants = shifted(queries)
    held = Index.of(train[:500])
    monkeypatch.setattr(nearest, "HELD", 0)
    left = Index.of(train[:500].copy())
    assert (held.points.dtype, left.points.dtype) == (torch.float32, torch.uint8)
    for asked, k in ((queries.reshape(25, -1), 50), (variants, 2), (255 - variants[:3, :1], 3)):
        for one, other in zip(held.nearest(asked, k), left.nearest(asked, k), strict=True):
            assert np.array_equal(one, other)
    some = np.array([3, 499, 0])
    assert np.array_equal(left.original(some), train[some])
    assert np.array_equal(held.alone(some), left.alone(some))
