"""Errors against closed forms and simulation; corrections against their definitions."""

import numpy as np
import pytest

from bench.scoring import uncertainty
from bench.scoring.uncertainty import Estimate, Statistic


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 2000, 0, 0.0018427),
        (0, 10, 0, 0.3084971),
        (10, 10, 0.6915029, 1),
        (5, 100, 0.0164319, 0.1128349),
    ],
)
def test_interval_of_a_rate_is_clopper_pearson(hits, n, low, high):
    found = uncertainty.rate(hits, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-6)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("share", "n", "m"), [(0.004, 1000, 5000), (0.3, 60, 40), (0.0, 50, 50)])
def test_alike_shares_are_rarely_called_different_and_others_are(rng, share, n, m):
    ours, theirs = rng.binomial(n, share, 1000), rng.binomial(m, share, 1000)
    pairs = [
        (uncertainty.rate(a, n), uncertainty.rate(b, m)) for a, b in zip(ours, theirs, strict=True)
    ]
    called = np.mean([uncertainty.surely_more(*pair) for pair in pairs])
    assert called <= 0.035  # 0.025, and the luck of 1000 draws
    assert uncertainty.surely_more(uncertainty.rate(n // 2 + 10, n), uncertainty.rate(m // 20, m))


def test_interval_of_a_paired_mean():
    change = uncertainty.paired_difference(np.array([0.0, 1, 2, 3]), np.array([1.0, 2, 3, 6]))
    assert change.value == 1.5
    assert change.stderr == pytest.approx(0.5)
    assert change.interval(10, 1) == "15.0 [5.2, 24.8]"
    assert Estimate(1.0, 0.6).sign() == 0
    assert (Estimate(2.0, 0.6).sign(), Estimate(-2.0, 0.6).sign()) == (1, -1)


def test_error_of_a_mean_is_the_textbook_one_and_its_bootstrap_agrees(rng):
    values = rng.normal(size=400)
    found = Statistic.mean(values)
    assert found.stderr == pytest.approx(values.std(ddof=1) / 20)
    replicates = found.replicates()
    assert replicates.std(ddof=1) == pytest.approx(found.stderr, rel=0.1)
    assert replicates.mean() == pytest.approx(found.value, abs=0.2 * found.stderr)


def test_replicates_draw_the_same_rows_of_sets_of_one_size(rng):
    values = rng.normal(size=300)
    first, second = Statistic.mean(values), Statistic.mean(values + 0.5)
    assert np.allclose(second.replicates() - first.replicates(), 0.5, atol=1e-6)
    assert (uncertainty.counts(300).sum(1) == 300).all()
    assert not np.array_equal(uncertainty.counts(300), uncertainty.counts(300, stream=1))


def test_what_paired_statistics_share_cancels(rng):
    values = rng.normal(size=300)
    change = Statistic.mean(values + 0.1).minus(Statistic.mean(values))
    assert (change.value, change.stderr) == pytest.approx((0.1, 0), abs=1e-12)
    with pytest.raises(ValueError, match="found 300 and 299"):
        Statistic.mean(values[1:]).minus(Statistic.mean(values))


def test_the_basic_interval_undoes_the_bias_of_resampling():
    """If replicates lie 3 above the value, the truth is taken to lie 3 below it."""
    replicates = np.linspace(12, 14, 501)
    low, high = uncertainty.basic(10.0, replicates)
    assert (low, high) == pytest.approx((6.05, 7.95), abs=1e-6)


def p(difference, drawn):
    return float(uncertainty.p_value(np.array(difference), drawn.mean(), drawn.std(ddof=1)))


def test_p_value_and_interval_say_the_same(rng):
    noise = rng.normal(size=500)
    for shift in (0.0, 1.0, 1.7, 2.3, 5.0):
        low, high = uncertainty.basic(shift, shift + noise)
        assert (p(shift, shift + noise) < 0.05) == (not low <= 0 <= high), shift
    assert p(8.0, 8.0 + noise) < 1e-9
    assert p(0.0, np.zeros(500)) == 1
    assert p(1.0, np.ones(500)) == 0


def test_p_values_of_no_difference_are_uniform(rng):
    found = []
    for _ in range(300):
        first, second = (Statistic.mean(rng.normal(size=200)) for _ in range(2))
        found.append(p(second.value - first.value, second.replicates() - first.replicates()))
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_holm():
    assert uncertainty.holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx(
        [0.03, 0.06, 0.06]
    )
    assert uncertainty.holm(np.array([0.9, 0.6])).tolist() == [1, 1]


def test_draws_of_very_many_images_are_not_kept_and_are_the_same(rng, monkeypatch):
    values = rng.normal(size=1000)
    kept = uncertainty.resampled_mean(values, stream=1)
    monkeypatch.setattr(uncertainty, "KEPT", 999)
    assert np.allclose(uncertainty.resampled_mean(values, stream=1), kept, atol=1e-7)
