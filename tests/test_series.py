"""Studies of many runs: what is run once, how cells differ from a standard, what is said of them."""

from pathlib import Path

import numpy as np
import pytest

from bench.scoring import compare
from bench.scoring.schema import Score, ScoreSet
from bench.studies import series


def scored(fid, kid, *, spread=0.1, seed=0):
    """A run whose bootstrap values lie around these; those of one seed are drawn alike."""
    noise = spread * np.random.default_rng(seed).normal(size=500)
    held_out = ScoreSet({key: Score(1.0, 0.1) for key in series.JUDGED}, {}, [])
    return compare.Scored(
        name=f"seed {seed}",
        seeds=(0,),
        facts={},
        rules=None,
        scores=held_out,
        held_out=held_out,
        second={},
        values={"fid": fid, "kid": kid},
        replicates={"fid": fid + noise, "kid": kid + 1e-3 * noise},
        path=Path(),
    )


def test_a_paired_difference_is_surer_than_two_intervals():
    standard = scored(5, 0.01)
    same_noise, other_noise = scored(5.05, 0.01), scored(5.05, 0.01, seed=1)
    found = series.against(standard, [same_noise, other_noise])
    assert found["verdict"].tolist() == ["worse, within the floor", "no sure difference"]
    sure = series.against(standard, [scored(5.5, 0.01)])
    assert sure["verdict"].tolist() == ["surely worse"]  # beyond what two honest sets differ by
    # The word is that of `bench compare`.
    row = compare.difference(standard, scored(5.5, 0.01), "fid")
    assert row["margin"] < 0.5
    assert found["fid_change"].tolist() == pytest.approx([0.05, 0.05])
    assert (found["fid_change_low"] <= found["fid_change_high"]).all()


def test_p_is_corrected_for_all_members():
    """What is sure alone is not among many."""
    standard, near = scored(5, 0.01), scored(5.5, 0.01, seed=1)
    alone = series.against(standard, [near])
    among = series.against(standard, [near, *(scored(5, 0.01, seed=k) for k in range(2, 30))])
    assert alone["verdict"][0] == "surely worse"
    assert among["fid_holm"][0] > alone["fid_holm"][0]


@pytest.mark.parametrize(
    ("strengths", "said"),
    [
        ((-2, -1), "surely better"),
        ((-1, 0), "better, within the floor"),
        ((0, 1), "worse, within the floor"),
        ((2, 1), "surely worse"),
        ((0, 0), "no sure difference"),
        ((-2, 1), "no sure difference"),
    ],
)
def test_two_scores_that_contradict_each_other_decide_nothing(strengths, said):
    assert series.verdict(strengths) == said
