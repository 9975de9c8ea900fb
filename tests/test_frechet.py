"""Frechet distances of many draws at once against those of one, by the definition and by the products of rows."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from bench.scoring import frechet
from bench.scoring.frechet import Moments


@pytest.fixture
def reference(rng):
    return Moments.of(rng.normal(size=(500, 12)) @ rng.normal(size=(12, 12)) + 1)


def by_definition(reference, rows, counts):
    """Of rows repeated as often as counted."""
    x = np.repeat(rows.astype(float), counts.astype(int), axis=0)
    cov = np.cov(x.T)
    apart = np.square(x.mean(0) - reference.mean).sum()
    return apart + np.trace(reference.cov + cov - 2 * sqrtm(reference.cov @ cov).real)


@pytest.mark.parametrize("held", [1, 300, 10**9])  # covariances at once: one, two, all
def test_each_draw_has_the_distance_of_its_definition(reference, rng, monkeypatch, held):
    monkeypatch.setattr(frechet, "COVARIANCES", held)
    rows = rng.normal(1, 2, (60, 12)).astype(np.float32)
    draws = rng.multinomial(60, np.full(60, 1 / 60), size=5).astype(np.float32)
    found = frechet.frechet(reference, rows, draws)
    assert found == pytest.approx([by_definition(reference, rows, one) for one in draws], rel=1e-6)


@pytest.mark.parametrize("n", [6, 16, 39])
def test_few_rows_give_the_same_distance_through_their_products(rng, n):
    reference = Moments.of(rng.normal(size=(500, 40)) @ rng.normal(size=(40, 40)))
    reference = reference._replace(mean=np.zeros(40))
    rows = rng.normal(1, 2, (n, 40)).astype(np.float32)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=8).astype(float)
    few = frechet.frechet_of_rows(reference, rows, draws)
    many = frechet.frechet(reference, rows, draws)
    # Roots of zero eigenvalues round to more than others.
    assert few == pytest.approx(many, rel=1e-6)


def test_rows_in_blocks_have_the_same_moments(rng, monkeypatch):
    features = rng.normal(3, 2, (1000, 7)).astype(np.float32)
    whole = Moments.of(features)
    monkeypatch.setattr(frechet, "ROWS", 64)
    for one, other in zip(Moments.of(features), whole, strict=True):
        assert np.allclose(one, other, rtol=1e-12, atol=1e-12)
    assert np.allclose(whole.cov, np.cov(features.T.astype(float)))
