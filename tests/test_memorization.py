"""The statistics must ring for copies and be at their null for held-out digits; each against its definition."""

import numpy as np
import pytest
from scipy.ndimage import median_filter
from scipy.stats import mannwhitneyu

from bench.scoring import guard, memorization, uncertainty
from bench.scoring.memorization import Distances

NONE = {"pixels": uncertainty.rate(0, 1000)}  # copies among held-out images


def described(d1, d2=None, groups=None, **others):
    d1 = np.asarray(d1, float)
    groups = np.zeros(len(d1), int) if groups is None else groups
    return Distances(d1, d1 + 1 if d2 is None else np.asarray(d2, float), groups, **others)


def test_copies_are_what_is_far_nearer_to_one_image_than_to_any_other():
    found = described([0, 0.9, 1.1, 0], [3, 3, 3, 0])
    assert found.ratio.tolist() == pytest.approx([0, 0.3, 1.1 / 3, 0])
    # The last copies an image that occurs twice.
    assert found.copies.tolist() == [True, True, False, True]


def test_shifts_are_all_those_within_reach(digits):
    images = digits.train[:3]
    views = memorization.shifted(images, 2).reshape(3, 25, 28, 28)
    assert np.array_equal(views[:, 12], images)
    right = views[:, 11]
    assert np.array_equal(right[:, :, 1:], images[:, :, :-1])
    assert (right[:, :, 0] == 0).all()
    assert len(np.unique(views[0], axis=0)) == 25


@pytest.mark.parametrize("n", [0, 1, 7, guard.CHUNK + 1])
def test_the_guard_is_a_median(rng, n):
    images = rng.choice(np.array([0, 0, 1, 7, 255], np.uint8), (n, 9, 6))
    expected = median_filter(images, size=(1, 3, 3), mode="constant")
    assert np.array_equal(guard.guarded(images), expected)


def test_the_guard_of_photographs_is_a_blur_channel_by_channel(rng):
    images = rng.integers(0, 256, (3, 5, 7, 3), np.uint8)
    found = guard.guarded(images, on_black=False)
    assert found.dtype == np.float32
    assert found.std() < 0.3 * images.std()
    for channel in range(3):
        alone = guard.guarded(images[..., channel], on_black=False)
        assert np.array_equal(found[..., channel], alone)
    flat = np.full((1, 5, 7), 100, np.uint8)
    assert np.allclose(guard.guarded(flat, on_black=False), 100, atol=1e-3)


def test_the_guard_takes_away_little_noise_and_leaves_digits(digits, rng):
    images = digits.train[:20]
    noisy = (images + rng.normal(0, 13, images.shape)).clip(0, 255).round().astype(np.uint8)
    before = np.square(noisy - images.astype(float)).sum()
    after = np.square(guard.guarded(noisy) - guard.guarded(images).astype(float)).sum()
    assert after < 0.5 * before
    assert (guard.guarded(images) > 0).any((1, 2)).all()


def test_auc_of_one_class_is_mann_whitney(rng):
    ours, theirs = rng.normal(1, 1, 80).round(1), rng.normal(1.4, 1, 120).round(1)
    found = memorization.auc(described(ours), described(theirs))
    expected = 1 - mannwhitneyu(ours, theirs).statistic / (80 * 120)
    assert found.value == pytest.approx(expected)


def test_error_of_auc_is_the_spread_over_new_samples(rng):
    found = [
        memorization.auc(described(rng.normal(size=100)), described(rng.normal(0.3, 1, 150)))
        for _ in range(200)
    ]
    assert np.mean([f.stderr for f in found]) == pytest.approx(
        np.std([f.value for f in found]), rel=0.2
    )


def test_auc_is_not_moved_by_a_generator_that_likes_easy_classes(rng):
    """Ones lie nearer to the training set than eights; making more of them is not copying."""
    classes = np.repeat([0, 1], [900, 100])
    d1 = rng.normal(np.where(classes == 0, 2.0, 5.0), 0.5)
    null_classes = np.repeat([0, 1], [500, 500])
    null = described(rng.normal(np.where(null_classes == 0, 2.0, 5.0), 0.5), groups=null_classes)
    fair = memorization.auc(described(d1, groups=classes), null)
    pooled = memorization.auc(described(d1), described(null.d1))
    assert abs(fair.value - 0.5) < 3 * fair.stderr
    assert pooled.value > 0.6


def test_excess_is_the_share_below_the_quantile_less_the_quantile(rng):
    null = described(np.arange(1000) + 0.5)
    found = memorization.excess(described(np.repeat([3.0, 500.0], [30, 70])), null, 0.05)
    assert found.value == pytest.approx(0.30 - 0.05)
    few = described(np.arange(15.0))
    assert memorization.excess(described(np.zeros(5)), few, 0.05) is None


def test_excess_of_alike_sets_covers_zero(rng):
    inside = 0
    for _ in range(200):
        found = memorization.excess(
            described(rng.normal(size=300)), described(rng.normal(size=500)), 0.05
        )
        inside += found.sign() == 0
    assert 0.9 < inside / 200 <= 1


def test_excess_of_alike_sets_is_zero_on_average(rng):
    """Also where the quantile is of few images: its level must be the one it is called by."""
    found = [
        memorization.excess(
            described(rng.normal(size=200)), described(rng.normal(size=60)), 0.05
        ).value
        for _ in range(1500)
    ]
    assert abs(np.mean(found)) < 0.004


def test_auc_of_a_complete_separation_is_not_certain():
    found = memorization.auc(described(np.zeros(6)), described(np.ones(50)))
    assert found.value == 1
    assert found.stderr > 0.05


def test_ct_is_the_mean_score_over_cells(rng):
    ours, theirs = rng.normal(size=90), rng.normal(0.5, 1, 160)
    cells, null_cells = np.arange(90) % 2, np.arange(160) % 4 % 2
    found = memorization.ct(described(ours, cells=cells), described(theirs, cells=null_cells))
    scores = []
    for cell in (0, 1):
        a, b = ours[cells == cell], theirs[null_cells == cell]
        u = mannwhitneyu(a, b).statistic
        scores.append(
            (u - len(a) * len(b) / 2) / np.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
        )
    assert found == pytest.approx(np.mean(scores))
    assert found < -1
    assert (
        memorization.ct(described(ours[:5], cells=cells[:5]), described(theirs, cells=null_cells))
        is None
    )


def test_ct_of_alike_sets_is_a_standard_score(rng):
    cells = np.arange(120) % 3
    found = [
        memorization.ct(
            described(rng.normal(size=120), cells=cells),
            described(rng.normal(size=120), cells=cells),
        )
        for _ in range(200)
    ]
    assert abs(np.mean(found)) < 0.2
    assert np.std(found) < 1.1


@pytest.mark.parametrize(
    ("copies", "expected"), [(0, "no evidence"), (3, "no evidence"), (40, "memorizing")]
)
def test_the_verdict_needs_more_than_chance(copies, expected):
    d1 = np.where(np.arange(2000) < copies, 0.1, 5.0)
    spaces = {"pixels": memorization.statistics(described(d1), described(np.full(1000, 5.0)))}
    found = memorization.verdict(spaces, NONE)
    assert found["memorization"] == expected
    assert "novel" not in " ".join(found.values())


def test_faint_images_far_from_all_digits_are_no_copies(rng):
    """A few of them come near to thin digits; as a whole they are farther than held-out images."""
    null = described(rng.normal(5, 0.5, 1000))
    far = memorization.statistics(described(np.where(np.arange(500) < 20, 2.0, 9.0)), null)
    near = memorization.statistics(
        described(np.where(np.arange(500) < 20, 2.0, rng.normal(5, 0.5, 500))), null
    )
    assert far["excess_1"].ci95[0] > 0.01
    assert memorization.verdict({"pixels": far}, NONE)["memorization"] == "no evidence"
    assert memorization.verdict({"pixels": near}, NONE)["memorization"] == "memorizing"


def test_a_few_images_get_a_verdict(rng):
    """Too few of a class for an AUC; six copies are still copies."""
    found = memorization.statistics(
        described(np.zeros(6), groups=np.arange(6)),
        described(rng.normal(5, 0.5, 600), groups=np.arange(600) % 6),
    )
    assert "auc" not in found
    assert memorization.verdict({"pixels": found}, NONE)["memorization"] == "memorizing"


@pytest.mark.parametrize(
    ("copies", "expected"), [(8, "no evidence"), (12, "no evidence"), (60, "memorizing")]
)
def test_where_held_out_images_have_twins_more_than_theirs_are_copies(copies, expected):
    """Flat tiles of photographs: 0.8 % of the held-out ones are copies, and 1 in 1000 says nothing."""
    images = np.where(np.arange(1000) < copies, 0.1, 5.0)
    spaces = {"pixels": memorization.statistics(described(images), None)}
    spaces["shifted"] = spaces["pixels"]  # without a rate of its own
    found = memorization.verdict(spaces, {"pixels": uncertainty.rate(40, 5000)}, of_class=False)
    assert found["memorization"] == expected
    said = f"{copies / 1000:.1%} of the images are copies (pixels), 0.8% of 5000 held-out ones"
    assert (said in found["because"]) == (expected == "no evidence")
    assert "class" not in found["because"]


@pytest.mark.parametrize(
    ("copies", "held_out", "expected"),
    [
        (60, 3, "memorizing"),
        (9, 30, "no evidence"),
        (30, 30, "memorizing"),
        (4, 5000, "memorizing"),
    ],
)
def test_few_held_out_images_hide_few_copies_alone(copies, held_out, expected):
    d1 = np.where(np.arange(100) < copies, 0.1, 5.0)
    spaces = {"pixels": memorization.statistics(described(d1), None)}
    found = memorization.verdict(spaces, {"pixels": uncertainty.rate(0, held_out)})
    assert found["memorization"] == expected
    assert f"of {held_out} held-out ones" in found["because"] or expected == "memorizing"


def test_shifts_are_held_against_the_larger_rate_of_held_out_images(rng):
    d1 = np.where(np.arange(1000) < 20, 0.1, 5.0)
    clean = memorization.statistics(described(np.full(1000, 5.0)), None)
    spaces = {"pixels": clean, "shifted": memorization.statistics(described(d1), None)}
    pixels = {"pixels": uncertainty.rate(2, 1000)}
    assert memorization.verdict(spaces, pixels)["memorization"] == "memorizing"
    both = pixels | {"shifted": uncertainty.rate(18, 1000)}
    assert memorization.verdict(spaces, both)["memorization"] == "no evidence"


def test_copies_in_feature_space_alone_are_no_verdict():
    copied = memorization.statistics(described(np.zeros(100)), None)
    clean = memorization.statistics(described(np.full(100, 5.0)), None)
    assert (
        memorization.verdict({"pixels": clean, "features": copied}, NONE)["memorization"]
        == "no evidence"
    )
    assert (
        memorization.verdict({"pixels": clean, "shifted": copied}, NONE)["memorization"]
        == "memorizing"
    )
