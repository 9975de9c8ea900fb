"""FID and KID against closed forms and brute force; the direction of each."""

import numpy as np
import pytest
import torch

from bench.scoring import fid_kid
from bench.scoring.fid_kid import KidReference, Moments
from bench.scoring.uncertainty import basic


def whitened(rng, n, mean, cov):
    """n rows with exactly this sample mean and (unbiased) covariance."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(cov).T + mean


def fid(x, y):
    return fid_kid.fid(Moments.of(x), y)


def test_fid_of_gaussians_is_the_closed_form(rng):
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    x, y = whitened(rng, 500, np.zeros(3), a), whitened(rng, 400, np.array([1.0, 0, 2.0]), b)
    expected = 5 + np.square(np.sqrt(np.diag(a)) - np.sqrt(np.diag(b))).sum()
    assert fid(x, y) == pytest.approx(expected, rel=1e-9)


def test_fid_with_covariances_that_do_not_commute(rng):
    q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    a, b = np.diag([1.0, 2.0, 3.0, 4.0]), q @ np.diag([0.5, 1.0, 5.0, 2.0]) @ q.T
    x, y = whitened(rng, 300, np.zeros(4), a), whitened(rng, 300, np.zeros(4), b)
    root = np.sqrt(a)
    expected = np.trace(a + b) - 2 * np.sqrt(np.linalg.eigvalsh(root @ b @ root)).sum()
    assert fid(x, y) == pytest.approx(expected, rel=1e-9)


def test_fid_of_a_set_with_itself_is_zero_and_it_is_symmetric(rng):
    x, y = rng.normal(size=(200, 5)), rng.normal(size=(100, 5)) + 1
    assert fid(x, x) == pytest.approx(0, abs=1e-8)
    assert fid(x, y) == pytest.approx(fid(y, x))


def test_fid_survives_features_that_never_vary(rng):
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 6))
    x[:, 3] = y[:, 3] = 0
    assert np.isfinite(fid(x, y))


def brute_kid(x, y):
    def k(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = k(x, x), k(y, y)
    return (
        (xx.sum() - np.trace(xx)) / (n * (n - 1))
        + (yy.sum() - np.trace(yy)) / (m * (m - 1))
        - 2 * k(x, y).mean()
    )


@pytest.fixture
def pair(rng):
    return rng.normal(size=(60, 4)) * [1, 2, 0.5, 3] + 1, rng.normal(size=(40, 4)) * [
        1,
        2,
        1,
        3,
    ] + 1


def standard(x, like):
    return (x - like.mean(0)) / like.std(0)


def test_kid_is_the_full_u_statistic(pair):
    x, y = pair
    assert fid_kid.kid(KidReference.of(x), y).value == pytest.approx(
        brute_kid(standard(x, x), standard(y, x)), rel=1e-4
    )


def test_kid_in_blocks_is_the_same(pair, monkeypatch):
    whole = fid_kid.kid(KidReference.of(pair[0]), pair[1])
    monkeypatch.setattr(fid_kid, "BLOCK", 7**2)
    parts = fid_kid.kid(KidReference.of(pair[0]), pair[1])
    assert parts.estimate == pytest.approx(whole.estimate, rel=1e-6)


@pytest.mark.parametrize("block", [5**2, 1000**2])
def test_sums_of_the_kernel_are_those_of_all_pairs(pair, monkeypatch, block):
    monkeypatch.setattr(fid_kid, "BLOCK", block)
    x, y = (standard(part, pair[0]).astype("f4") for part in pair)
    own, cross = ((x.astype("f8") @ z.T / 4 + 1) ** 3 for z in (x, y))
    assert fid_kid.kernel_sums(x) == pytest.approx(own.sum(1) - np.diag(own), rel=1e-5)
    rows, columns = fid_kid.cross_sums(x, y)
    assert rows == pytest.approx(cross.sum(1), rel=1e-5)
    assert columns == pytest.approx(cross.sum(0), rel=1e-5)


def test_its_error_is_the_jackknife(pair):
    x, y = (standard(part, pair[0]) for part in pair)
    over_y = np.array([brute_kid(x, np.delete(y, i, 0)) for i in range(len(y))])
    over_x = np.array([brute_kid(np.delete(x, i, 0), y) for i in range(len(x))])
    expected = sum((len(v) - 1) / len(v) * np.square(v - v.mean()).sum() for v in (over_x, over_y))
    assert fid_kid.kid(KidReference.of(pair[0]), pair[1]).stderr == pytest.approx(
        np.sqrt(expected), rel=1e-3
    )


def test_kid_of_one_distribution_is_unbiased(rng):
    reference = KidReference.of(rng.normal(size=(400, 8)))
    values = [fid_kid.kid(reference, rng.normal(size=(100, 8))) for _ in range(200)]
    mean = np.mean([v.value for v in values])
    spread = np.std([v.value for v in values])
    assert abs(mean) < 0.5 * spread
    assert min(v.value for v in values) < 0
    assert 0.5 < np.mean([v.stderr for v in values]) / spread < 2


def test_kid_sees_a_shift_and_a_collapse(rng):
    x = rng.normal(size=(500, 8))
    reference = KidReference.of(x)
    for other in (
        rng.normal(size=(200, 8)) + 0.5,
        rng.normal(size=(1, 8)) + 1e-3 * rng.normal(size=(200, 8)),
    ):
        found = fid_kid.kid(reference, other)
        assert found.value > 5 * found.stderr


def test_kid_survives_features_that_never_vary(rng):
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(50, 6))
    x[:, 3] = y[:, 3] = 0
    assert np.isfinite(fid_kid.kid(KidReference.of(x), y).estimate).all()


def test_too_few_images_are_refused_in_words(rng):
    x = rng.normal(size=(50, 3))
    with pytest.raises(ValueError, match="at least 2 images a side; found 1"):
        fid(x, x[:1])
    with pytest.raises(ValueError, match="at least 3 images a side; found 50 and 2"):
        fid_kid.kid(KidReference.of(x), x[:2])


def test_a_paired_difference_is_exact_and_surer_than_two_errors(rng):
    x, y = rng.normal(size=(400, 6)), rng.normal(size=(150, 6)) + 0.3
    z = y + 0.05 * rng.normal(size=y.shape) + 0.1
    reference = KidReference.of(x)
    a, b = fid_kid.kid(reference, y), fid_kid.kid(reference, z)
    change = b.minus(a).estimate
    assert change.value == pytest.approx(b.value - a.value)
    assert 0 < change.stderr < 0.5 * np.hypot(a.stderr, b.stderr)
    assert (change.sign(), a.minus(b).estimate.sign(), a.minus(a).estimate) == (1, -1, (0, 0))


@pytest.fixture
def features(rng):
    """Of a reference and of a generator that misses it a little, correlated and skewed like a network's."""
    mix = rng.normal(size=(8, 8))
    return np.abs(rng.normal(size=(1000, 8)) @ mix), np.abs(rng.normal(size=(300, 8)) @ mix + 0.2)


def test_fid_and_kid_equal_those_of_torch_fidelity(features):
    """Its FID on the same features; its KID where a subset is all of them, on the same standardised features."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = (torch.from_numpy(part) for part in features)
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False
    )
    assert fid(*features) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    x, y = features[0][:300], features[1]
    whole = {"kid_subsets": 1, "kid_subset_size": 300, "verbose": False}
    theirs = kid_features_to_metric(
        *(torch.from_numpy(standard(part, x)) for part in (x, y)), **whole
    )
    ours = fid_kid.kid(KidReference.of(x), y)
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)


def test_error_of_fid_is_the_spread_over_new_samples_of_both_sets(rng):
    """Resampled FIDs lie above the FID they come from, and the basic interval below them."""
    values, errors = [], []
    for i in range(40):
        x, y = rng.normal(size=(400, 4)), rng.normal(size=(200, 4)) * 1.3
        moments = Moments.of(x)
        values.append(fid_kid.fid(moments, y))
        if i < 6:
            replicates = fid_kid.fid_replicates(moments, x, y)
            errors.append(replicates.std())
            low, high = basic(values[-1], replicates)
            assert replicates.mean() > values[-1]
            assert (low + high) / 2 < values[-1]
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)


def test_influence_of_the_reference_on_fid_is_its_derivative(features):
    reference, generated = features
    moments = Moments.of(reference)
    mean, cov = fid_kid.weighted(generated - moments.mean, np.ones(len(generated)))
    influence = fid_kid.fid_influence(moments, reference, mean, cov)
    weights = np.ones(len(reference))
    weights[:40] += 0.01
    moved_mean, moved_cov = fid_kid.weighted(reference, weights)
    values, vectors = np.linalg.eigh(moved_cov)
    moved = Moments(moved_mean, moved_cov, vectors * np.sqrt(values) @ vectors.T)
    change = fid_kid.fid(moved, generated) - fid_kid.fid(moments, generated)
    assert change == pytest.approx(0.01 * influence[:40].sum() / len(reference), rel=0.05)


def test_fid_at_infinity_has_no_bias(rng):
    """For samples of the reference's own distribution FID is c / N, and at infinity 0."""
    moments = Moments.of(rng.normal(size=(50_000, 8)))
    plain, corrected = zip(
        *(
            (fid_kid.fid(moments, x), fid_kid.fid_infinity(moments, x))
            for x in (rng.normal(size=(200, 8)) for _ in range(30))
        ),
        strict=True,
    )
    assert np.mean(plain) > 0.1
    assert abs(np.mean(corrected)) < 0.15 * np.mean(plain)
    assert fid_kid.fid_infinity(moments, rng.normal(size=(31, 8))) is None


def test_classifier_score_runs_from_one_to_the_number_of_classes(rng):
    assert fid_kid.classifier_score(np.eye(10)[np.arange(200) % 10]).value == pytest.approx(10)
    assert fid_kid.classifier_score(np.full((50, 10), 0.1)).value == pytest.approx(1)
    assert fid_kid.classifier_score(np.eye(10)[np.zeros(50, int)]).value == pytest.approx(1)


def test_errors_of_class_scores_are_those_of_new_samples(rng):
    draws = [rng.dirichlet(np.linspace(0.1, 0.6, 10), 300) for _ in range(60)]
    for statistic in (fid_kid.classifier_score, lambda p: fid_kid.class_distance(p.argmax(1))):
        found = [statistic(draw) for draw in draws]
        spread = np.std([f.value for f in found])
        assert np.mean([f.stderr for f in found]) == pytest.approx(spread, rel=0.3)


def test_class_distance():
    assert fid_kid.class_distance(np.arange(100) % 10).value == pytest.approx(0)
    assert fid_kid.class_distance(np.zeros(100, int)).value == pytest.approx(0.9)


def test_mifid_punishes_what_lies_near_training_images():
    assert (
        fid_kid.mifid(3.0, 0.0, 0.01)
        > 1e6
        > fid_kid.mifid(3.0, 0.001, 0.01)
        > fid_kid.mifid(3.0, 0.02, 0.01)
        == 3
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("n", [100, 3000])  # fewer images than features, and more
def test_on_cuda_they_are_those_of_the_cpu(rng, n):
    mix = rng.normal(size=(128, 128))
    x, y = (
        np.abs(rng.normal(size=(m, 128)) @ mix + move).astype("f4")
        for m, move in ((4000, 0), (n, 3))
    )
    moments, reference = Moments.of(x), KidReference.of(x)
    assert np.allclose(Moments.of(x, "cuda").cov, moments.cov, rtol=1e-9)
    assert fid_kid.kernel_sums(reference.features, "cuda") == pytest.approx(
        reference.row_sums, rel=1e-6
    )
    assert fid_kid.fid(moments, y, "cuda") == pytest.approx(fid_kid.fid(moments, y), rel=1e-6)
    kid, there = (fid_kid.kid(reference, y, device) for device in ("cpu", "cuda"))
    assert there.estimate == pytest.approx(kid.estimate, rel=1e-5)
    drawn, there = (fid_kid.fid_replicates(moments, x, y, device) for device in ("cpu", "cuda"))
    assert there == pytest.approx(drawn, rel=1e-6)
    limit = fid_kid.fid_infinity(moments, y)
    if limit is not None:
        assert fid_kid.fid_infinity(moments, y, "cuda") == pytest.approx(limit, rel=1e-5)


def test_rows_in_blocks_are_scaled_and_weigh_the_same(rng, monkeypatch):
    features, other = (rng.normal(size=(n, 6)).astype(np.float32) for n in (500, 90))
    moments, mean = Moments.of(features), other.mean(0) - features.mean(0)

    def found():
        scaled = fid_kid.scaled(features, standardised=True)
        influence = fid_kid.fid_influence(moments, features, mean, np.cov(other.T))
        return *scaled, influence, fid_kid.kernel_sums(scaled.features)

    whole = found()
    monkeypatch.setattr(fid_kid, "ROWS", 64)
    for one, other in zip(found(), whole, strict=True):
        assert np.allclose(one, other, rtol=1e-6, atol=1e-6)
    assert np.allclose(whole[1], features.std(0, dtype=float), rtol=1e-12)


def test_the_number_of_threads_is_not_in_it(rng):
    """Some eigenvalues are zero but for rounding, and their roots are not small."""
    features, other = (
        (rng.normal(size=(n, 40)) @ rng.normal(size=(40, 128))).astype("f4") for n in (900, 500)
    )
    before, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        moments = Moments.of(features)
        replicates = fid_kid.fid_replicates(moments, features, other[:200])
        found.append(
            (fid_kid.fid(moments, other), fid_kid.fid_infinity(moments, other), *replicates)
        )
        assert torch.get_num_threads() == count
    torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
