"""The copy meter must ring for copies, stay silent for held-out digits, and be exact."""

import numpy as np
import pytest

from bench import memorization


@pytest.fixture(scope="module")
def sets(digits):
    return digits.train[:1500], digits.held_out[:300]


def test_copies_ring_every_time(sets):
    train, _ = sets
    found = memorization.nearest(train[:100], train)
    assert (found.index == np.arange(100)).all()
    assert (found.d1 == 0).all()
    assert memorization.copy_rate(found).value == 1


def test_held_out_digits_never_ring(sets):
    train, held_out = sets
    assert memorization.copy_rate(memorization.nearest(held_out, train)).value == 0


def test_the_arguments_are_not_interchangeable(sets):
    """100 copies among 200 queries: half of them ring. Asked the other way round, 100 of 1500 training images do."""
    train, held_out = sets
    queries = np.concatenate([train[:100], held_out[:100]])
    assert memorization.copy_rate(memorization.nearest(queries, train)).value == 0.5
    assert memorization.copy_rate(memorization.nearest(train, queries)).value == pytest.approx(100 / 1500)


def test_distances_are_exact(sets):
    train, held_out = sets
    found = memorization.nearest(held_out[:20], train)
    for i, image in enumerate(held_out[:20].astype(np.int64)):
        squared = np.square(train.astype(np.int64) - image).sum((1, 2))
        first, second = np.sort(squared)[:2]
        assert found.d1[i] == pytest.approx(np.sqrt(first) / 255, rel=1e-12)
        assert found.d2[i] == pytest.approx(np.sqrt(second) / 255, rel=1e-12)
        assert squared[found.index[i]] == first


def test_a_copy_of_a_digit_that_occurs_twice_counts(sets):
    train = np.concatenate([sets[0], sets[0][:1]])
    found = memorization.nearest(train[:1], train)
    assert (found.d1, found.d2, found.ratio) == (0, 0, 0)
    assert memorization.copy_rate(found).value == 1


def test_what_the_rule_does_not_see(sets):
    """Copies moved by one pixel pass: stated in the report, so that no one takes 0 % for novelty."""
    train, _ = sets
    moved = np.roll(train[:100], 1, axis=2)
    assert memorization.copy_rate(memorization.nearest(moved, train)).value < 0.05


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 2000, 0, 0.0018427), (0, 10, 0, 0.3084971), (10, 10, 0.6915029, 1), (5, 100, 0.0164319, 0.1128349)],
)
def test_interval_is_clopper_pearson(hits, n, low, high):
    found = memorization.rate(hits, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-6)
    assert found.low <= found.value <= found.high


@pytest.mark.mnist
def test_nearest_neighbour_null_of_mnist(mnist):
    """Median distance of test digits to 60 000 training digits, and no false alarm among them."""
    found = memorization.nearest(mnist.held_out[:500], mnist.train)
    assert np.median(found.d1) == pytest.approx(4.33, abs=0.25)
    assert memorization.copy_rate(found).value == 0
