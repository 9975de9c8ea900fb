"""Scores on disk: several scorings of one run, each with its own facts in its own files."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench import experiment, machine, reporting
from bench.data import datasets
from bench.reporting.page import cards
from bench.sampling.plan import SamplingPlan
from bench.scoring import control_scores, fid_kid, record

OF_A_SCORING = {"scoring", "fingerprint", "table", "preprocessing", "scored"}


@pytest.fixture
def small(digits, monkeypatch):
    """300 digits to compare with, in place of every dataset, and few replicates: scoring takes little."""
    small = dataclasses.replace(
        digits,
        name="small",
        train=digits.train[:300],
        train_labels=digits.train_labels[:300],
        held_out=digits.held_out[:100],
        held_out_labels=digits.held_out_labels[:100],
    )
    monkeypatch.setattr(datasets, "load", lambda name, folder: small)
    monkeypatch.setattr(fid_kid, "REPLICATES_BELOW", ((1e9, 5),))
    return small


def rescored(out, extractor, monkeypatch):
    """One run of 12 images, scored with `extractor` by a command and with versions of its own."""
    monkeypatch.setattr(
        sys, "argv", ["bench", "run", "--denoiser", "gaussian", "--features", extractor]
    )
    monkeypatch.setattr(machine, "versions", lambda: {"torch": f"of {extractor}"})
    setting = SamplingPlan(num=12, steps=3)
    plan = experiment.resolve("gaussian", setting, extractor_name=extractor, out=out)
    rules = dataclasses.replace(plan.rules, preprocessing=f"as {extractor} has it")
    plan = dataclasses.replace(plan, rules=rules)
    return experiment.execute(plan), plan.rules.fingerprint


@pytest.mark.parametrize("order", [("lenet-a", "lenet-b"), ("lenet-b", "lenet-a")])
def test_the_card_of_each_scoring_has_its_own_facts(small, tmp_path, monkeypatch, order):
    (run, _), (again, _) = (rescored(tmp_path, extractor, monkeypatch) for extractor in order)
    assert again == run
    entries, absent = reporting.collect(tmp_path)
    assert absent == []
    told = {}
    for entry in entries:
        shown = dict(cards.facts(entry))
        extractor = shown["scoring: features"].split("@")[0]
        told[extractor] = entry.score("kid").value
        assert f"features {extractor}" in shown["protocol"]
        assert shown["preprocessing"] == f"as {extractor} has it"
        assert shown["scored with"] == f"torch of {extractor}"
        assert shown["versions"] == f"torch of {order[0]}"  # of the generation, which was done once
        commands = [f"bench run --denoiser gaussian --features {name}" for name in order]
        assert cards.commands(entry) == commands[: 1 + order.index(extractor)]
    assert told.keys() == set(order)
    assert len(set(told.values())) == 2
    assert not OF_A_SCORING & run.read_json("run.json").keys()


def test_fields_of_a_scoring_in_the_run_files_of_older_versions_are_ignored(
    small, tmp_path, monkeypatch
):
    run, mark = rescored(tmp_path, "lenet-a", monkeypatch)
    run.update(
        scoring={"features": "other@0"}, fingerprint="00000000", table="0", preprocessing="other"
    )
    ((entry,), absent) = reporting.collect(tmp_path)
    assert absent == []
    assert (entry.fingerprint, entry.table) == (
        mark,
        run.read_json(f"metrics-{mark}.json")["table"],
    )
    assert "other" not in json.dumps(cards.facts(entry))


def test_one_set_of_images_has_a_folder_for_each_dataset(small, tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", arr_0=small.held_out[:12, ..., None])
    first, _ = record.score_path(tmp_path / "x.npz", out=tmp_path / "results")
    other = dataclasses.replace(small, train=small.train[::-1])
    monkeypatch.setattr(datasets, "load", lambda name, folder: other)
    second, _ = record.score_path(tmp_path / "x.npz", out=tmp_path / "results")
    # Else the neighbours in one would be drawn beside the numbers of the other.
    assert first != second
    assert [run.read_json("run.json")["dataset"] for run in (first, second)] == [small.id, other.id]


def test_of_images_made_elsewhere_no_more_is_made_again_than_is_damaged(
    small, tmp_path, monkeypatch
):
    np.savez(tmp_path / "x.npz", arr_0=small.held_out[:12, ..., None])
    monkeypatch.setattr(record, "circumstances", dict)
    monkeypatch.setattr(control_scores, "measured", lambda *arguments: {})
    measured, said = [], []

    def score(*arguments):
        measured.append(1)
        rows = pd.DataFrame(dict.fromkeys(("id", "nearest", "class", "second_class"), range(12)))
        ratio = 1 / np.arange(1, 13)
        rows = rows.assign(ratio=ratio, confidence=ratio, second_confidence=ratio)
        return {part: {} for part in record.PARTS}, {"fid": np.arange(3)}, rows

    monkeypatch.setattr(record.measure, "score", score)
    nothing = SimpleNamespace(kid=None, null={})
    monkeypatch.setattr(record.References, "of", lambda *arguments: nothing)

    def again():
        measured.clear()
        said.clear()
        run, _ = record.score_path(tmp_path / "x.npz", out=tmp_path / "results", say=said.append)
        return run.path

    folder = again()
    assert measured
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert content.keys() >= {"run.json", "samples.npz", "grid.png", "nearest.png", "mixed.png"}
    for path in sorted(folder.iterdir()):
        path.write_bytes(content[path.name][:100])
        again()
        assert bool(measured) == path.name.startswith(("metrics", "per_sample", "replicates")), (
            path.name
        )
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    for name in ("run.json", "samples.npz", "grid.png", "nearest.png", "mixed.png"):
        (folder / name).unlink()
    again()
    assert not measured
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
    again()
    assert said == [f"complete: {folder}"]


def test_scores_of_other_features_stay_when_one_is_repaired(small, tmp_path, monkeypatch):
    (run, first), (_, second) = (
        rescored(tmp_path, name, monkeypatch) for name in ("lenet-a", "lenet-b")
    )
    before = (run.path / f"metrics-{second}.json").read_bytes()
    (run.path / f"per_sample-{first}.csv").unlink()
    (run.path / "run.json").write_text("{")
    rescored(tmp_path, "lenet-a", monkeypatch)
    assert (run.path / f"per_sample-{first}.csv").is_file()
    assert (run.path / f"metrics-{second}.json").read_bytes() == before
    assert run.read_json("run.json")["status"] == "finished"
