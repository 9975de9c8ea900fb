"""Which runs are meant: by folder, by name, all of a folder of results; always of one protocol, if there is one."""

import json
import shutil

import numpy as np
import pytest
from synthetic import FACTS, entry

from bench.runs import Run
from bench.scoring import catalogue, compare, selection
from denoisers.errors import UsageError


@pytest.fixture
def results(tmp_path, monkeypatch):
    """results/, where names are looked up, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    return selection.RESULTS


def write(results, name, num=20, *, seed=0, sampler="ddpm", **facts):
    """A run with all that is compared, in results/<name>/<sampler>-n<num>-seed<seed>."""
    run = Run(results / name / f"{sampler}-n{num}-seed{seed}")
    run.path.mkdir(parents=True)
    made = {
        "denoiser": name,
        "seed": seed,
        "sampler": {"sampler": sampler, "num": num},
        "started": str(seed),
    }
    run.write_json("run.json", FACTS | {"weights": f"card-{name}@01234567"} | made | facts)
    found = {score: entry(1.0, num) for score in catalogue.COMPARED}
    copies = {
        score.removeprefix("copy_rate_"): {"copy_rate": entry(0.0, num)}
        for score in catalogue.COPIES
    }
    mark = f"{sampler}{num}"
    content = {
        "fingerprint": mark,
        "table": str(num),
        "scoring": {"features": "lenet-a@ef"},
        "scores": found,
    }
    content |= {"memorization": copies, "controls": {"held_out": {"scores": found}}}
    run.write_json(f"metrics-{mark}.json", content)
    drawn = np.random.default_rng(seed).normal(size=50)
    run.write_npz(
        f"replicates-{mark}.npz", **dict.fromkeys([*catalogue.COMPARED, *catalogue.COPIES], drawn)
    )
    return run


def chosen(*words, said=None):
    found = selection.load(
        [selection.Path(word) for word in words], say=(said if said is not None else []).append
    )
    return [(run.name, run.num, run.seeds) for run in found]


def test_runs_have_the_names_of_tables_and_of_the_command_line(results):
    run = write(results, "unet")
    write(results, "ideal")
    for name in ("unet", "unet card-unet", run.path, run.path.parent):
        assert chosen(name, "ideal") == [
            ("unet card-unet", 20, (0,)),
            ("ideal card-ideal", 20, (0,)),
        ]


def test_a_folder_of_results_says_where_names_are_looked_up(results):
    elsewhere = results.parent / "elsewhere"
    for folder, num in ((results, 20), (elsewhere, 30)):
        for name in ("unet", "ideal"):
            write(folder, name, num)
    assert {num for _, num, _ in chosen("unet", "ideal")} == {20}
    assert {num for _, num, _ in chosen("unet", "ideal", "elsewhere")} == {30}
    assert {num for _, num, _ in chosen("unet", results / "ideal")} == {20}


def test_a_folder_of_results_alone_stands_for_all_that_compares(results):
    for name in ("unet", "ideal", "gaussian"):
        write(results, name)
    write(results, "kbnet", 30)  # the largest, but nothing compares with it
    write(results, "broken")
    for path in results.glob("broken/*/replicates-*"):
        path.unlink()
    said = []
    assert [name.split()[0] for name, *_ in chosen(results, said=said)] == [
        "gaussian",
        "ideal",
        "unet",
    ]
    assert said == ["compared at 20 images, protocol ddpm20; 1 other runs are left out"]


def test_of_several_protocols_that_all_have_the_one_with_most_images_is_taken(results):
    for name, nums in {"unet": (20, 30, 40), "ideal": (20, 30)}.items():
        for num in nums:
            write(results, name, num)
    write(results, "unet", 30, sampler="ddim")
    said = []
    assert [(name.split()[0], num) for name, num, _ in chosen("unet", "ideal", said=said)] == [
        ("unet", 30),
        ("ideal", 30),
    ]
    assert said == ["compared at 30 images, protocol ddpm30; 4 other runs are left out"]


def test_of_other_samplers_the_same_number_of_images_is_compared(results):
    write(results, "unet", sampler="ddim")
    write(results, "ideal")
    write(results, "ideal", 30)
    assert [(name.split()[0], num) for name, num, _ in chosen("unet", "ideal")] == [
        ("unet", 20),
        ("ideal", 20),
    ]


def test_images_made_elsewhere_join_every_sampler(results):
    write(results, "vae", kind="images", sampler="none")
    write(results, "unet", sampler="ddim")
    write(results, "unet", 30, sampler="ddim")
    assert [(name.split()[0], num) for name, num, _ in chosen("unet", "vae")] == [
        ("unet", 20),
        ("vae", 20),
    ]


def test_seeds_are_one_and_what_differs_otherwise_is_told_apart(results):
    for seed in (0, 1, 2):
        write(results, "unet", seed=seed)
    write(results, "ideal")
    write(results, "ideal", seed=1, dtype="bfloat16")
    assert chosen("unet", "ideal") == [
        ("unet card-unet", 20, (0, 1, 2)),
        ("ideal card-ideal (seed 0)", 20, (0,)),
        ("ideal card-ideal (seed 1, bfloat16)", 20, (1,)),
    ]


def test_what_is_there_twice_counts_once_and_the_same_word_twice_is_two(results):
    run = write(results, "unet")
    shutil.copytree(run.path, results / "copies" / "unet" / run.id)
    found = selection.load([selection.Path("unet")] * 2)
    assert [part.path for part in found] == [run.path] * 2


def test_runs_of_a_study_are_not_meant(results):
    write(results, "unet")
    run = write(results / "ladder" / "runs", "unet", 30)
    (results / "ladder" / "study.json").write_text("{}")
    assert chosen("unet") == [("unet card-unet", 20, (0,))]
    assert chosen("unet", run.path)[1][1] == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["unett"],
            r"'unett' is no folder, and no run in results is called so; did you mean 'unet'\?",
        ),
        (["xyz"], "'xyz' is no folder, and no run in results is called so; there are "),
        (["empty"], r"no run in empty: expected run\.json"),
        (["bare", "unet"], "has no scores"),
        (
            ["unet", "kbnet", "ideal"],
            r"no two are scored alike \(ideal card-ideal, 20 images, kbnet",
        ),
    ],
)
def test_what_is_wrong_is_named(results, words, said):
    write(results, "unet")
    write(results, "unet", 25)
    write(results, "ideal")
    write(results, "kbnet", 30)
    (results.parent / "empty").mkdir()
    for path in write(results, "bare").path.glob("metrics-*"):
        path.unlink()
    (results / "other").mkdir()
    (results / "other" / "run.json").write_text(json.dumps([1]))
    with pytest.raises(UsageError, match=said):
        chosen(*words)


def test_two_runs_are_taken_as_they_are(results):
    """`compare.compare` then says in which field they differ."""
    write(results, "unet")
    write(results, "kbnet", 30)
    with pytest.raises(UsageError, match="not scored alike and cannot be ranked: images 20 and 30"):
        compare.compare(selection.load([selection.Path("unet"), selection.Path("kbnet")]))
