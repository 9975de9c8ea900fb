"""FID and KID against closed forms and brute force; the direction of each."""

import numpy as np
import pytest

from bench import metrics
from bench.metrics import KidReference


def whitened(rng, n, mean, cov):
    """n rows with exactly this sample mean and (unbiased) covariance."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(cov).T + mean


def test_fid_of_gaussians_is_the_closed_form(rng):
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    x, y = whitened(rng, 500, np.zeros(3), a), whitened(rng, 400, np.array([1.0, 0, 2.0]), b)
    expected = 5 + np.square(np.sqrt(np.diag(a)) - np.sqrt(np.diag(b))).sum()
    assert metrics.fid(x, y) == pytest.approx(expected, rel=1e-9)


def test_fid_with_covariances_that_do_not_commute(rng):
    q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    a, b = np.diag([1.0, 2.0, 3.0, 4.0]), q @ np.diag([0.5, 1.0, 5.0, 2.0]) @ q.T
    x, y = whitened(rng, 300, np.zeros(4), a), whitened(rng, 300, np.zeros(4), b)
    root = np.sqrt(a)
    expected = np.trace(a + b) - 2 * np.sqrt(np.linalg.eigvalsh(root @ b @ root)).sum()
    assert metrics.fid(x, y) == pytest.approx(expected, rel=1e-9)


def test_fid_of_a_set_with_itself_is_zero_and_it_is_symmetric(rng):
    x, y = rng.normal(size=(200, 5)), rng.normal(size=(100, 5)) + 1
    assert metrics.fid(x, x) == pytest.approx(0, abs=1e-8)
    assert metrics.fid(x, y) == pytest.approx(metrics.fid(y, x))


def test_fid_survives_features_that_never_vary(rng):
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 6))
    x[:, 3] = y[:, 3] = 0
    assert np.isfinite(metrics.fid(x, y))


def brute_kid(x, y):
    def k(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = k(x, x), k(y, y)
    return (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - 2 * k(x, y).mean()


@pytest.fixture
def pair(rng):
    return rng.normal(size=(60, 4)) * [1, 2, 0.5, 3] + 1, rng.normal(size=(40, 4)) * [1, 2, 1, 3] + 1


def standard(x, like):
    return (x - like.mean(0)) / like.std(0)


def test_kid_is_the_full_u_statistic(pair):
    x, y = pair
    assert metrics.kid(KidReference.of(x), y).value == pytest.approx(
        brute_kid(standard(x, x), standard(y, x)), rel=1e-4
    )


def test_kid_in_blocks_is_the_same(pair, monkeypatch):
    whole = metrics.kid(KidReference.of(pair[0]), pair[1])
    monkeypatch.setattr(metrics, "BLOCK", 7)
    assert metrics.kid(KidReference.of(pair[0]), pair[1]) == pytest.approx(whole, rel=1e-6)


def test_its_error_is_the_jackknife(pair):
    x, y = (standard(part, pair[0]) for part in pair)
    over_y = np.array([brute_kid(x, np.delete(y, i, 0)) for i in range(len(y))])
    over_x = np.array([brute_kid(np.delete(x, i, 0), y) for i in range(len(x))])
    expected = sum((len(v) - 1) / len(v) * np.square(v - v.mean()).sum() for v in (over_x, over_y))
    assert metrics.kid(KidReference.of(pair[0]), pair[1]).stderr == pytest.approx(np.sqrt(expected), rel=1e-3)


def test_kid_of_one_distribution_is_unbiased(rng):
    reference = KidReference.of(rng.normal(size=(400, 8)))
    values = [metrics.kid(reference, rng.normal(size=(100, 8))) for _ in range(200)]
    mean = np.mean([v.value for v in values])
    spread = np.std([v.value for v in values])
    assert abs(mean) < 0.5 * spread
    assert min(v.value for v in values) < 0
    assert 0.5 < np.mean([v.stderr for v in values]) / spread < 2


def test_kid_sees_a_shift_and_a_collapse(rng):
    x = rng.normal(size=(500, 8))
    reference = KidReference.of(x)
    for other in (rng.normal(size=(200, 8)) + 0.5, rng.normal(size=(1, 8)) + 1e-3 * rng.normal(size=(200, 8))):
        found = metrics.kid(reference, other)
        assert found.value > 5 * found.stderr


def test_kid_survives_features_that_never_vary(rng):
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 6))
    x[:, 3] = y[:, 3] = 0
    assert np.isfinite(metrics.kid(KidReference.of(x), y)).all()


def test_too_few_images_are_refused_in_words(rng):
    x = rng.normal(size=(50, 3))
    with pytest.raises(ValueError, match="at least 2 images a side; found 50 and 1"):
        metrics.fid(x, x[:1])
    with pytest.raises(ValueError, match="at least 3 images a side; found 50 and 2"):
        metrics.kid(KidReference.of(x), x[:2])


def test_a_paired_difference_is_exact_and_surer_than_two_errors(rng):
    x, y = rng.normal(size=(400, 6)), rng.normal(size=(150, 6)) + 0.3
    z = y + 0.05 * rng.normal(size=y.shape) + 0.1
    reference = KidReference.of(x)
    a, b = metrics.kid(reference, y), metrics.kid(reference, z)
    change = metrics.kid_difference(reference, y, z)
    assert change.value == pytest.approx(b.value - a.value)
    assert 0 < change.stderr < 0.5 * np.hypot(a.stderr, b.stderr)
    assert change.sign() == 1
    assert metrics.kid_difference(reference, z, y).sign() == -1
    assert metrics.kid_difference(reference, y, y) == (0, 0)
    with pytest.raises(ValueError, match="paired"):
        metrics.kid_difference(reference, y, z[:-1])


def test_interval_of_a_paired_mean():
    change = metrics.paired_difference(np.array([0.0, 1, 2, 3]), np.array([1.0, 2, 3, 6]))
    assert change.value == 1.5
    assert change.stderr == pytest.approx(0.5)
    assert change.interval(10, 1) == "15.0 [5.2, 24.8]"
