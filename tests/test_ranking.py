"""Places with ties, seeds together, extractors that disagree, and which controls a statistic catches."""

import json

import numpy as np
import pytest
from synthetic import entry, measured, metrics

from bench import reporting
from bench.reporting import detection, table
from bench.reporting.results import ranking
from bench.scoring import catalogue
from bench.scoring.schema import ScoreSet

NAMES = (*catalogue.COMPARED, *catalogue.COPIES)


@pytest.fixture
def scored(make_run, rng):
    """make(name, kid, spread=, seed=, second=): a run whose KID has bootstrap values of that spread."""
    noise = rng.normal(size=500)

    def make(name, kid, *, spread=0.001, seed=0, second=None, folder=None):
        scores = dict.fromkeys(catalogue.COMPARED, 1.0) | {"kid": kid}
        spaces = {
            space: {"copy_rate": entry(0.0, low=0, high=0.01)}
            for space in ("pixels", "shifted", "guarded", "features")
        }
        controls = {"held_out": measured(**scores | {"kid": 0.0})}
        more = {
            "features": "lenet-b@00",
            "fid": entry(1.0),
            "kid": entry(kid if second is None else second),
        }
        facts = {"seed": seed, "denoiser": name}
        run = make_run(
            folder or name,
            scores=scores,
            facts=facts,
            memorization=spaces,
            second=more,
            controls=controls,
        )
        (mark,) = (json.loads((run.path / file).read_text())["fingerprint"] for file in run.metrics)
        values = {name: np.full(500, scores.get(name, 0.0)) for name in NAMES} | {
            "kid": kid + spread * noise
        }
        run.write_npz(f"replicates-{mark}.npz", **values)
        return run

    return make


def grouped(tmp_path):
    entries, _ = reporting.collect(tmp_path / "results")
    return ranking.grouped(entries)


def test_what_cannot_be_told_apart_shares_a_place(scored, tmp_path):
    for name, kid in (("a", 0.010), ("b", 0.011), ("c", 0.5)):
        scored(name, kid)
    (group,) = grouped(tmp_path)
    frame = table.frame(group).set_index("name")["rank"]
    assert {name.split()[0]: rank for name, rank in frame.items() if rank} == {
        "a": "1=",
        "b": "1=",
        "c": "3",
    }


def test_seeds_are_taken_together(scored, tmp_path):
    for seed, kid in ((0, 0.010), (1, 0.030)):
        scored("a", kid, seed=seed, folder=f"a{seed}")
    (group,) = grouped(tmp_path)
    (said,) = group.notes
    assert "2 seeds together" in said
    assert "KID x 1e3 20.00 [" in said
    assert "between seeds 14.14" in said


def test_extractors_that_disagree_are_warned_of(scored, tmp_path):
    for name, kid, second in (("a", 0.1, 0.3), ("b", 0.2, 0.2), ("c", 0.3, 0.1)):
        scored(name, kid, second=second)
    (group,) = grouped(tmp_path)
    assert "lenet-b is -1.00" in group.notes[0]
    assert "do not rely on it" in group.notes[0]


def test_extractors_of_which_one_has_no_order_are_not_compared(scored, tmp_path):
    for name, kid in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        scored(name, kid, second=0.5)
    (group,) = grouped(tmp_path)
    assert not any("tau" in note for note in group.notes)
    assert "nan" not in reporting.tables(*reporting.collect(tmp_path / "results"))


def test_runs_without_bootstrap_values_are_shown_without_a_place(scored, tmp_path):
    for name in ("a", "c"):
        scored(name, 0.1)
    run = scored("b", 0.2)
    for path in run.path.glob("replicates-*"):
        path.write_bytes(b"")
    (group,) = grouped(tmp_path)
    ranks = table.frame(group).set_index("name")["rank"]
    assert sorted(ranks[ranks != ""]) == ["1=", "1="]


def test_seeds_made_otherwise_are_not_taken_together(scored, tmp_path):
    for seed, kid in ((0, 0.010), (1, 0.030)):
        run = scored("a", kid, seed=seed, folder=f"a{seed}")
        run.update(dtype=["float32", "bfloat16"][seed])
    (group,) = grouped(tmp_path)
    assert group.notes == []


@pytest.mark.parametrize("lacks", ["controls", "second", "memorization"])
def test_scores_that_lack_something_are_shown(scored, tmp_path, lacks):
    for name in ("a", "b", "c"):
        run = scored(name, 0.1)
        (file,) = run.metrics
        run.write_json(
            file, {key: value for key, value in run.read_json(file).items() if key != lacks}
        )
    (group,) = grouped(tmp_path)
    assert len(table.frame(group).query("kind == 'run'")) == 3


def test_what_keeps_two_tables_apart_is_said(make_run, tmp_path):
    make_run("a")
    sampler = {"num": 20, "steps": 9, "sampler": "ddim", "grid": "ddpm", "eta": 0.0, "clip": True}
    make_run("b", fingerprint="cccccccc", facts={"sampler": sampler})
    first, second = grouped(tmp_path)
    assert not any("Not ranked" in note for note in first.notes)
    assert (
        "sampler eta 1.0 and 0.0; sampler sampler ddpm and ddim; sampler steps 4 and 9"
        in second.notes[-1]
    )


def test_controls_that_each_statistic_catches():
    held_out = measured(fid=5.0, kid=0.0005) | {
        "memorization": {"pixels": {"copy_rate": entry(0.0, low=0, high=0.01)}}
    }
    copies = measured(fid=4.0, kid=0.0) | {
        "memorization": {"pixels": {"copy_rate": entry(1.0, low=0.9, high=1)}}
    }
    blurred = measured(fid=50.0, kid=0.9) | {
        "memorization": {"pixels": {"copy_rate": entry(0.0, low=0, high=0.01)}}
    }
    content = metrics(controls={"held_out": held_out, "copies": copies, "blurred": blurred})[
        "controls"
    ]
    found = detection.caught({name: ScoreSet.from_json(value) for name, value in content.items()})
    cells = {
        row["statistic"]: (row["training digits"], row["blurred"]) for _, row in found.iterrows()
    }
    assert cells == {"copy_rate": ("yes", ""), "fid": ("", "yes"), "kid": ("", "yes")}
    assert not len(detection.caught({}))
    assert not len(detection.caught({"held_out": ScoreSet.from_json(content["held_out"])}))


def test_a_table_has_the_controls_that_any_of_its_runs_has(make_run, tmp_path):
    """Small runs measure held-out digits only."""
    few = {"controls": {"held_out": measured(kid=0.0005)}}
    make_run("a", **few)
    (group,) = grouped(tmp_path)
    assert list(group.controls) == ["held_out"]
    make_run("b")
    make_run("c", **few)
    (group,) = grouped(tmp_path)
    assert list(group.controls) == ["held_out", "gaussian"]
