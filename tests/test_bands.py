"""Verdicts on made-up costs: where a fault is found, and when nothing or nothing sure is."""

import math

import numpy as np
import pytest

from bench.studies import bands
from bench.studies.bands import Cost, Costs

LEVELS = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)


def costs(density, noise=0.002, margin=0.01, seed=0):
    """Costs that add up over levels, `density` what each band carries (one more than there are levels)."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(density)

    def cost(value):
        return Cost(value, value + noise * rng.normal(size=500))

    total = float(ends[-1])
    return Costs(
        LEVELS,
        {level: cost(float(ends[place])) for place, level in enumerate(LEVELS)},
        {level: cost(total - float(ends[place])) for place, level in enumerate(LEVELS)},
        cost(total),
        margin,
    )


@pytest.mark.parametrize("place", range(1, 7))
def test_a_fault_in_one_band_is_found_there(place):
    density = np.zeros(8)
    density[place] = 0.5
    found = costs(density)
    where = bands.locate(found)
    low, high = found.bands()[place]
    assert where == (low, high, (low, high))
    value, least, most = found.share(low, high)
    assert least <= 1 <= most
    assert value == pytest.approx(1, abs=0.05)
    said = bands.sentence("X", "R", found)
    assert f"as good as R up to sigma {low:g} and above {high:g}" in said
    assert f"lost between sigma {low:g} and {high:g}" in said


def test_shares_add_up_to_the_whole():
    found = costs(np.linspace(0, 0.2, 8))
    parts = [found.carried(*band).value for band in found.bands()]
    assert sum(parts) == pytest.approx(found.excess.value)
    assert parts == pytest.approx(np.linspace(0, 0.2, 8), abs=1e-9)


def test_without_a_fault_nothing_is_found():
    assert bands.kind(costs(np.zeros(8))) in ("nowhere", "untold")
    exact = costs(np.zeros(8), noise=0.0)
    assert bands.kind(exact) == "nowhere"
    assert "at all noise levels" in bands.sentence("X", "R", exact)


def test_too_few_images_say_so():
    wide = costs(np.full(8, 0.001), noise=0.1)
    assert bands.kind(wide) == "untold"
    assert "cannot be told from R with so few images" in bands.sentence("X", "R", wide)


def test_a_fault_at_all_levels():
    said = bands.sentence("X", "R", costs(np.full(8, 0.3)))
    assert "nowhere surely as good as R" in said
    assert bands.locate(costs(np.full(8, 0.3)))[:2] == (0, math.inf)


def test_what_only_adds_up_is_said():
    """Neither half alone costs anything: a drift along the whole way."""
    found = costs(np.zeros(8))
    together = Costs(LEVELS, found.below, found.above, Cost(1.0, np.full(500, 1.0)), 0.05)
    said = bands.sentence("X", "R", together)
    assert "costs nothing up to sigma 6 alone, nor above 0.1 alone; together they do" in said


def test_faults_at_both_ends_are_lost_at_all_levels():
    said = bands.sentence("X", "R", costs([0.5, 0, 0, 0, 0, 0, 0, 0.5]))
    assert "is lost at all noise levels" in said
    assert "inf" not in said


def test_a_better_denoiser_is_no_failure():
    better = costs(-np.full(8, 0.1))
    assert bands.kind(better) == "nowhere"
    assert "X is better than R: its KID x 1e3 differs from that of R by -800.0" in bands.sentence(
        "X", "R", better
    )


def test_faults_that_hide_each_other_are_named():
    """What one band loses another gives back: nothing in all, much below a level alone."""
    said = bands.sentence("X", "R", costs([0, 0.5, -0.5, 0, 0, 0, 0, 0]))
    assert "as good as R in all" in said
    assert "its faults hide each other" in said


def test_the_core_lies_where_it_is_not_fine():
    found = costs([0.02, 0, 0.5, 0.5, 0, 0, 0, 0], margin=0.03)
    low, high, core = bands.locate(found)
    assert low <= core[0] < core[1] <= high


def test_a_share_has_an_interval_where_the_excess_may_be_nothing():
    value, low, high = costs(np.full(8, 0.01), noise=0.04).share(0.0, 0.4)
    assert value == pytest.approx(3 / 8)
    assert -20 < low < value < high < 20


@pytest.mark.parametrize(
    ("band", "said", "cell"),
    [
        ((0, math.inf), "at all noise levels", "all"),
        ((0, 0.4), "up to sigma 0.4", "to 0.4"),
        ((12, math.inf), "above sigma 12", "from 12"),
        ((0.4, 3), "between sigma 0.4 and 3", "0.4 to 3"),
    ],
)
def test_bands_in_words(band, said, cell):
    assert bands.between(*band) == said
    assert bands.stretch(*band) == cell
