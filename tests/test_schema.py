"""Scores as JSON and back: the same, or refused by name."""

import json

import pytest

from bench.scoring.schema import Score, ScoreSet
from bench.scoring.uncertainty import Estimate, Rate
from denoisers.errors import UsageError

SET = ScoreSet(
    {"fid": Score.of(Estimate(2.0, 0.1), 40), "noise_std": Score.of(0.01, 40)},
    {"pixels": {"copy_rate": Score.of(Rate(0.25, 0.1, 0.4, 40), 40)}},
    [4] * 10,
)


def test_what_is_written_is_read():
    assert ScoreSet.from_json(json.loads(json.dumps(SET.to_json()))) == SET


def test_an_interval_of_its_own_wins():
    assert Score.of(Estimate(2.0, 0.1), 40).low == pytest.approx(2 - 0.196)
    assert Score.of(Estimate(2.0, 0.1), 40, (1.5, 2.2))[2:4] == (1.5, 2.2)


def test_what_was_not_measured_is_left_out():
    content = {"scores": {"fid": None, "kid": {"value": None}, "recall": {"value": 0.5}}}
    assert ScoreSet.from_json(content) == ScoreSet({"recall": Score(0.5)}, {}, [])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (3, "int for fid, expected an object"),
        ({"value": "3"}, "something else than numbers"),
        ({"value": True}, "something else than numbers"),
        ({"value": 1, "ci95": [1]}, "no pair of numbers"),
        ({"value": 1, "ci95": [1, None]}, "no pair of numbers"),
        ({"value": 1, "ci95": [1, False]}, "something else than numbers"),
        ({"value": 1, "stderr": -1}, "cannot be"),
        ({"value": 1, "n": 2.5}, "cannot be"),
        ({"value": 1, "n": 10**9}, "cannot be"),
    ],
)
def test_what_no_score_can_be_is_refused(entry, said):
    with pytest.raises(UsageError, match=said):
        ScoreSet.from_json({"scores": {"fid": entry}})


@pytest.mark.parametrize("name", ["FID", "", "n", "path", "a" * 41, "fid\n", "1st"])
def test_names_that_would_hide_a_column_are_refused(name):
    with pytest.raises(UsageError, match="a score called"):
        ScoreSet.from_json({"scores": {name: {"value": 1}}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"scores": []}, None),
        ({"scores": [1]}, "list for scores"),
        ({"memorization": {"pixels": 1}}, "int for pixels in memorization"),
        ({"memorization": [1]}, "list for memorization"),
        ({"class_histogram": [1, -1]}, "class_histogram"),
        ({"class_histogram": {"a": 1}}, "class_histogram"),
    ],
)
def test_sets_of_another_shape_are_refused(content, said):
    if said is None:
        assert ScoreSet.from_json(content) == ScoreSet({}, {}, [])
        return
    with pytest.raises(UsageError, match=said):
        ScoreSet.from_json(content)
