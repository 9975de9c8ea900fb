"""Differences between scored sets: found where there is one, called a tie where there is none, refused where unfair."""

import json
import shutil

import numpy as np
import pytest

from bench import compare, panel, scoring
from denoisers.errors import UsageError

N = 200


@pytest.fixture(scope="module")
def scored(digits, tmp_path_factory):
    """Two honest halves of the held-out digits, and training digits under much noise."""
    folder = tmp_path_factory.mktemp("scored")
    sets = {"one": digits.held_out[:N], "two": digits.held_out[N : 2 * N], "noisy": panel.noisy(0.2)(digits, N)}
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        for name, images in sets.items():
            np.savez(folder / f"{name}.npz", arr_0=images[..., None])
            found[name], _ = scoring.score_path(folder / f"{name}.npz", dataset_name="mnist5k", out=folder / "results")
    return {name: run.path for name, run in found.items()}


@pytest.fixture
def runs(scored):
    return {name: compare.load(path) for name, path in scored.items()}


def rows(frame):
    return {(row.first, row.second, row.score): row for row in frame.itertuples()}


def test_what_differs_is_found_and_what_does_not_is_a_tie(runs):
    found = rows(compare.compare(list(runs.values())))
    for score in ("fid", "kid", "confidence", "precision"):
        assert found["one", "two", score].better == "tie", score
        assert found["one", "noisy", score].better == "one", score
        assert found["two", "noisy", score].holm < 0.05, score
    assert found["one", "two", "density"].better == ""  # more is neither better nor worse


def test_the_difference_lies_in_its_interval_and_turns_with_the_order(runs):
    forth = rows(compare.compare([runs["one"], runs["noisy"]]))["one", "noisy", "kid"]
    back = rows(compare.compare([runs["noisy"], runs["one"]]))["noisy", "one", "kid"]
    assert forth.low <= forth.difference <= forth.high
    assert (back.low, back.difference, back.high) == pytest.approx((-forth.high, -forth.difference, -forth.low))
    assert back.better == forth.better == "one"


def test_a_run_ties_with_itself(runs):
    frame = compare.compare([runs["one"], runs["one"]])
    assert (frame["difference"] == 0).all()
    assert set(frame["better"]) <= {"tie", ""}
    assert (frame["holm"] == 1).all()


def test_ranks_share_places(runs):
    assert compare.ranks([runs["noisy"], runs["one"], runs["two"]]) == ["3", "1=", "1="]
    assert compare.ranks([runs["one"]]) == ["1"]


def test_extractors_agree_on_what_is_far_apart(runs):
    assert compare.concordance(list(runs.values())) == pytest.approx(1, abs=0.7)
    assert compare.concordance([runs["one"], runs["two"]]) is None


def with_facts(path, folder, name, *, number=None, **facts):
    """A copy of a run with other facts, and another value of KID."""
    copy = shutil.copytree(path, folder / name)
    content = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(content | facts))
    (file,) = copy.glob("metrics-*.json")
    content = json.loads(file.read_text())
    if number is not None:
        content["scores"]["kid"]["value"] = number
    file.write_text(json.dumps(content))
    return copy


def test_seeds_are_combined(scored, tmp_path):
    for seed, kid in ((0, 1.0), (1, 2.0), (2, 6.0)):
        with_facts(scored["one"], tmp_path, f"seed{seed}", seed=seed, number=kid)
    found = compare.load(tmp_path)
    assert found.seeds == (0, 1, 2)
    assert found.values["kid"] == pytest.approx(3)


def test_what_differs_in_more_than_the_seed_is_not_combined(scored, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(scored[name], tmp_path / name)
    with pytest.raises(ValueError, match=r"differ in more than their seed: .*digest .* name one of them"):
        compare.load(tmp_path)


def test_runs_that_are_not_scored_alike_are_refused_by_field(runs, scored, tmp_path):
    path = shutil.copytree(scored["one"], tmp_path / "other")
    (file,) = path.glob("metrics-*.json")
    content = json.loads(file.read_text())
    content["scoring"]["quantisation"] = "uint8, truncated"
    content["scores"]["kid"]["n"] = 150
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="images 200 and 150; quantisation uint8, rounded and uint8, truncated"):
        compare.compare([runs["one"], compare.load(path)])


def test_what_is_missing_is_named(scored, tmp_path):
    with pytest.raises(UsageError, match=r"no run in .*: expected run\.json"):
        compare.load(tmp_path)
    with pytest.raises(ValueError, match="not scored with 'inception'; found lenet-a"):
        compare.load(scored["one"], "inception")
    path = shutil.copytree(scored["one"], tmp_path / "run")
    (file,) = path.glob("replicates-*.npz")
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"replicates-.*npz is missing or damaged"):
        compare.load(path)
    for file in path.glob("metrics-*.json"):
        file.unlink()
    with pytest.raises(ValueError, match="has no scores"):
        compare.load(path)


def test_scoring_again_returns_at_once(scored, tmp_path, home):
    said = []
    source = next(iter(scored.values())).parents[2] / "one.npz"
    run, mark = scoring.score_path(source, dataset_name="mnist5k", out=source.parent / "results", say=said.append)
    assert run.path == scored["one"]
    assert said == [f"complete: {run.path}"]
    assert (run.path / f"metrics-{mark}.json").exists()
