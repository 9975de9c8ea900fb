"""Which control sets are measured when: a run's own floor at once, the others when they are needed, each only once."""

import dataclasses

import numpy as np
import pytest

from bench.data import mnist
from bench.reporting.results import completed
from bench.reporting.results.entries import CONTROLS
from bench.scoring import control_scores, control_sets, extractors, measure
from bench.scoring.rules import rules_in_words
from bench.scoring.schema import Score, ScoreSet
from denoisers.errors import UsageError

N = 6


@pytest.fixture
def rules(against):
    """How images of the embedded digits are scored."""
    ids = {"second": extractors.load("lenet-b").id, "versions": measure.VERSIONS}
    return rules_in_words(
        against.dataset.id, against.extractor.id, extractors.judges(against.dataset), **ids
    )


def test_small_runs_measure_the_floor_alone_where_a_report_can_measure_the_rest(digits):
    assert control_scores.names(16, digits) == ("held_out",)
    assert control_scores.names(256, digits) == ("held_out",)
    assert control_scores.names(2000, digits) == tuple(control_sets.CONTROLS)
    mine = dataclasses.replace(digits, name="mine")
    assert control_scores.names(16, mine) == tuple(control_sets.CONTROLS)


def test_each_set_is_measured_once(against, monkeypatch):
    found = control_scores.measured(against, N, ["held_out", "copies"])
    assert found["copies"]["memorization"]["pixels"]["copy_rate"]["value"] == 1
    assert found["held_out"]["memorization"]["pixels"]["copy_rate"]["value"] == 0
    monkeypatch.setattr(
        measure, "measure", lambda *args, **kwargs: pytest.fail("not from the cache")
    )
    assert control_scores.measured(against, N, ["copies", "held_out"]) == found
    with pytest.raises(pytest.fail.Exception):
        control_scores.measured(against, N + 1, ["copies"])


def test_later_gives_what_would_have_been_measured_with_the_run(against, rules, monkeypatch):
    monkeypatch.setattr(
        control_sets,
        "CONTROLS",
        {name: control_sets.CONTROLS[name] for name in ("held_out", "copies_shifted")},
    )
    assert control_scores.later(rules, N) == control_scores.measured(
        against, N, control_sets.CONTROLS
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"dataset": "mnist5k@0123456789abcdef"},
            "mnist5k@0123456789abcdef is not on this machine",
        ),
        ({"dataset": "mnist@0123456789abcdef"}, "--data-dir"),
        ({"dataset": "faces@0123456789abcdef"}, "faces@0123456789abcdef is not on this machine"),
        ({"features": "lenet-a@0123456789abcdef"}, "lenet-a@0123456789abcdef is not at hand"),
        ({"features": "inception@0123456789abcdef"}, "inception@0123456789abcdef is not at hand"),
        ({"versions": "0"}, None),
        ({"judge": "other"}, None),
    ],
)
def test_sets_that_cannot_be_measured_here_are_left_out_in_words(rules, change, said, monkeypatch):
    monkeypatch.setattr(
        mnist, "download", lambda *rest, **names: pytest.fail("a report downloads nothing")
    )
    lines = []
    assert control_scores.later(rules | change, N, say=lines.append) == {}
    assert [said in line for line in lines] == ([] if said is None else [True])


def test_no_set_of_that_name():
    with pytest.raises(UsageError, match="is not on this machine"):
        control_scores.dataset_of("faces@1", None)


def test_a_report_asks_once_for_all_alike(make_run, tmp_path):
    from bench import reporting

    for name, kid in (("one", 0.003), ("two", 0.004)):
        make_run(name, scores={"kid": kid})
    make_run(
        "three", scores={"kid": 0.1}, scoring={"dataset": "mnist@d4", "features": "lenet-a@ef"}
    )
    entries, _ = reporting.collect(tmp_path / "results")
    asked = []

    def measure(rules, n):
        asked.append((rules["dataset"], n))
        return {"copies": {"scores": {"kid": {"value": 0.5, "n": n}}}, "held_out": {"scores": {}}}

    found = {entry.where.split("/")[0]: entry for entry in completed.completed(entries, measure)}
    assert sorted(asked) == [("mnist@d3", 20), ("mnist@d4", 20)]
    for entry in found.values():
        assert entry.controls["copies"].scores["kid"] == Score(0.5, None, None, None, 20)
        assert entry.controls["held_out"].scores["kid"].value == 0.0005  # the run's own stays


def test_complete_entries_ask_for_nothing(make_run, tmp_path):
    from bench import reporting

    make_run("one", controls={name: measured_json() for name in CONTROLS})
    entries, _ = reporting.collect(tmp_path / "results")
    assert completed.completed(entries, lambda rules, n: pytest.fail("asked")) == entries


def measured_json():
    return {
        "scores": {"kid": {"value": 0.1, "n": 20}},
        "memorization": {},
        "class_histogram": [2] * 10,
    }


def test_json_of_a_control_reads_as_a_runs_own(against):
    found = ScoreSet.from_json(control_scores.measured(against, N, ["held_out"])["held_out"])
    assert isinstance(found, ScoreSet)
    assert np.isfinite(found.scores["kid"].value)
    assert sum(found.histogram) == N
