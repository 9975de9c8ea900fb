"""The catalogue has a row for every score that there is, and what it says of one is so."""

import inspect

import pytest

from bench.scoring import catalogue, memorization, quality
from bench.scoring.reference import Reference


def functions():
    """The scores that have a function of their own, by name."""
    members = inspect.getmembers(quality, inspect.isfunction)
    return {name for name, function in members if function.__module__ == quality.__name__}


def test_each_key_is_there_once():
    keys = [spec.key for spec in (*catalogue.SCORES, *catalogue.MEMORIZATION)]
    assert len(set(keys)) == len(keys)


def test_each_function_has_a_row_and_each_row_is_measured(against, digits):
    assert functions() <= {spec.key for spec in catalogue.SCORES}
    together = {"fid", "fid_infinity", "kid", "mifid"}
    assert {spec.key for spec in catalogue.SCORES} == functions() | together
    distances = against.distances(digits.held_out[:40])["pixels"]
    null = against.null["pixels"]
    assert memorization.statistics(distances, null).keys() <= {
        spec.key for spec in catalogue.MEMORIZATION
    }
    assert isinstance(against, Reference)


@pytest.mark.parametrize("spec", catalogue.SCORES, ids=lambda spec: spec.key)
def test_a_row_is_a_sentence_a_person_can_read(spec):
    assert spec.help[0].isupper()
    assert spec.help.endswith(".")
    assert spec.title


def test_what_files_say_is_what_the_rows_say():
    """As runs of earlier versions have it: true, false, or null where neither is better."""
    assert [catalogue.higher_is_better(key) for key in ("fid", "precision", "density", "auc")] == [
        False,
        True,
        None,
        None,
    ]
    with pytest.raises(KeyError):
        catalogue.higher_is_better("unheard_of")


def test_every_statistic_that_detects_knows_its_way():
    ways = {spec.key: catalogue.nearer(spec) for spec in catalogue.MEMORIZATION if spec.detects}
    assert ways == {
        "copy_rate": 1,
        "relative": 1,
        "authpct_excess": -1,
        "excess_1": 1,
        "excess_5": 1,
        "auc": 1,
        "ct": -1,
    }
