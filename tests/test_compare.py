"""Differences between scored sets: found where there is one, called a tie where there is none, refused where unfair."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from bench.scoring import compare, control_sets, record, selection
from bench.scoring.schema import Score
from denoisers.errors import UsageError

N = 200


@pytest.fixture(scope="module")
def scored(digits, tmp_path_factory, shared_home):
    """Two honest halves of the held-out digits, and training digits under much noise."""
    folder = tmp_path_factory.mktemp("scored")
    sets = {
        "one": digits.held_out[:N],
        "two": digits.held_out[N : 2 * N],
        "noisy": control_sets.noisy(0.2)(digits, N),
    }
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(shared_home))
        for name, images in sets.items():
            np.savez(folder / f"{name}.npz", arr_0=images[..., None])
            found[name], _ = record.score_path(
                folder / f"{name}.npz", dataset_name="mnist5k", out=folder / "results"
            )
    return {name: run.path for name, run in found.items()}


def load(path, features=None):
    (found,) = selection.load([path], features)
    return found


@pytest.fixture
def runs(scored):
    return {name: load(path) for name, path in scored.items()}


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
    assert (back.low, back.difference, back.high) == pytest.approx(
        (-forth.high, -forth.difference, -forth.low)
    )
    assert back.better == forth.better == "one"


def test_a_run_ties_with_itself(runs):
    frame = compare.compare([runs["one"], runs["one"]])
    assert (frame["difference"] == 0).all()
    assert set(frame["better"]) <= {"tie", ""}
    assert (frame["holm"] == 1).all()


def test_ranks_share_places(runs):
    assert compare.ranks([runs["noisy"], runs["one"], runs["two"]]) == ["3", "1=", "1="]
    assert compare.ranks([runs["one"]]) == ["1"]


@pytest.mark.parametrize(
    ("second", "tau"),
    [
        ((1, 2, 3, 4), 1),
        ((4, 3, 2, 1), -1),
        ((1, 2, 4, 3), 2 / 3),
        ((1, 3, 4, 2), 1 / 3),
        ((2, 1, 4, 3), 1 / 3),
    ],
)
def test_extractors_agree_as_far_as_their_orders_do(runs, second, tau):
    """Kendall's tau is the share of pairs in the same order less that of pairs in the other."""

    def ordered(first, other):
        one = runs["one"]
        scores = one.scores._replace(scores=one.scores.scores | {"kid": Score(first)})
        return dataclasses.replace(one, scores=scores, second={"kid": Score(other)})

    found = [ordered(10 * place, 7 * value) for place, value in enumerate(second)]
    assert compare.concordance(found) == pytest.approx(tau)
    assert compare.concordance(found[:2]) is None


def test_extractors_agree_on_what_is_far_apart(runs):
    kids = {name: run.second["kid"].value for name, run in runs.items()}
    assert kids["noisy"] > 10 * max(kids["one"], kids["two"])
    # Of unequal ones.
    assert compare.concordance([runs["noisy"], runs["one"], runs["noisy"]]) == pytest.approx(1)


def test_names_tell_apart_what_is_compared(scored, tmp_path):
    made = {
        "denoiser": "unet",
        "weights": "card@01234567",
        "dtype": "float32",
        "sampler": {"sampler": "ddpm"},
    }
    made |= dict.fromkeys(("kind", "source", "digest"))  # of a run, not of images
    same = with_facts(scored["one"], tmp_path, "a/run", **made)
    paths = [same, with_facts(scored["one"], tmp_path, "b/run", **made)]
    assert [run.name for run in selection.load(paths)] == ["unet card (a)", "unet card (b)"]
    paths[1] = with_facts(scored["two"], tmp_path, "c/run", **made | {"dtype": "bfloat16"})
    found = selection.load(paths)
    assert [run.name for run in found] == ["unet card (float32)", "unet card (bfloat16)"]
    frame = compare.compare(found)
    assert set(frame["first"]) == {"unet card (float32)"}
    assert set(frame["second"]) == {"unet card (bfloat16)"}
    assert compare.pairing(*found).startswith("unet card (float32) and unet card (bfloat16): ")
    several = with_facts(scored["two"], tmp_path, "seeds/0", **made, seed=0).parent
    with_facts(scored["two"], tmp_path, "seeds/1", **made, seed=1)
    assert [run.name for run in selection.load([same, several])] == [
        "unet card (seed 0)",
        "unet card (seeds 0, 1)",
    ]


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
    found = load(tmp_path)
    assert found.seeds == (0, 1, 2)
    assert found.values["kid"] == pytest.approx(3)


def test_what_differs_in_more_than_the_seed_is_not_combined(scored, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(scored[name], tmp_path / name)
    assert [run.seeds for run in selection.load([tmp_path])] == [(0,), (0,)]


def test_runs_that_are_not_scored_alike_are_refused_by_field(runs, scored, tmp_path):
    path = shutil.copytree(scored["one"], tmp_path / "other")
    (file,) = path.glob("metrics-*.json")
    content = json.loads(file.read_text())
    content["scoring"]["quantisation"] = "uint8, truncated"
    content["scores"]["kid"]["n"] = 150
    file.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match="images 200 and 150; quantisation uint8, rounded and uint8, truncated"
    ):
        compare.compare([runs["one"], load(path)])


def test_what_is_missing_is_named(scored, tmp_path):
    with pytest.raises(UsageError, match=r"no run in .*: expected run\.json"):
        load(tmp_path)
    with pytest.raises(ValueError, match="not scored with 'inception'; found lenet-a"):
        load(scored["one"], "inception")
    path = shutil.copytree(scored["one"], tmp_path / "run")
    (file,) = path.glob("replicates-*.npz")
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"replicates-.*npz is missing or damaged"):
        load(path)
    for file in path.glob("metrics-*.json"):
        file.unlink()
    with pytest.raises(ValueError, match="has no scores"):
        load(path)


def test_scoring_again_returns_at_once(scored, tmp_path, home):
    said = []
    source = next(iter(scored.values())).parents[2] / "one.npz"
    run, mark = record.score_path(
        source, dataset_name="mnist5k", out=source.parent / "results", say=said.append
    )
    assert run.path == scored["one"]
    assert said == [f"complete: {run.path}"]
    assert (run.path / f"metrics-{mark}.json").exists()


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("run.json", {"name": None, "denoiser": None}, "run.json names no denoiser"),
        ("metrics", {"second": [1]}, "second scores without the name of their features"),
        ("metrics", {"scoring": None}, "has no scoring"),
        ("metrics", {"controls": [1]}, "list for controls"),
        ("metrics", {"scores": {"kid": {"value": "low"}}}, "something else than numbers"),
    ],
)
def test_damaged_files_are_named_with_their_run(scored, tmp_path, file, change, said):
    copy = tmp_path / "copy"
    shutil.copytree(scored["one"], copy)
    path = next(copy.glob(f"{file}*"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        load(copy)
    assert str(copy) in str(refused.value)
