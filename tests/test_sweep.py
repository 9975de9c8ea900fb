"""A sweep is the runs that it names: the same numbers as one by one, whoever makes them, however often it is killed."""

import json
import os
import signal
import time
from pathlib import Path

import commands
import pytest
from test_ranks import torchrun
from test_shards import slowly

from bench import sweep
from bench.shelf import Shelf
from denoisers.classical import Median

SMALL = ["--dataset", "mnist5k", "--device", "cpu", "--num", "24", "--steps", "3"]
SMALL += ["--batch-size", "8", "--workers", "1"]
NAMES = ("median", "gaussian", "ideal")
SWEEP = [
    "sweep",
    *(word for name in NAMES for word in ("--denoiser", name)),
    "--seed",
    "0..1",
    *SMALL,
]
FORWARD = Median.forward


@pytest.fixture
def place(tmp_path, monkeypatch, digits_at_hand, few_control_sets):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(folder="results"):
    """What all runs of a folder came to, by denoiser and seed."""
    runs = {}
    for path in Path(folder).glob("*/*/run.json"):
        said = json.loads(path.read_text())
        (metrics,) = path.parent.glob("metrics-*.json")
        scores = json.loads(metrics.read_text())
        numbers = {key: scores[key] for key in ("fingerprint", "scores", "memorization", "verdict")}
        assert said["status"] == "finished"
        assert sorted(part.name for part in path.parent.iterdir() if part.is_dir()) == []
        runs[said["denoiser"], said["seed"]] = (path.parent / "samples.npz").read_bytes(), numbers
    return runs


def without_times(table):
    """The words of a table, without its last column, seconds for an image."""
    lines = [line.split() for line in table.splitlines() if not line.startswith("---")]
    return [words[:-1] if "24" in words and "3" in words else words for words in lines]


@pytest.fixture
def one_by_one(place):
    """Six runs, and the table of all."""
    for name in NAMES:
        for seed in "01":
            command = ["run", "--denoiser", name, "--seed", seed, *SMALL, "--out", "single"]
            assert commands.call(*command)[0] == 0
    status, out, err = commands.call(*SWEEP, "--out", "single")
    assert status == 0, err
    assert err.count("complete: ") == 6
    return found("single"), without_times(out)


def test_killed_twice_it_ends_with_the_table_of_six_single_runs(one_by_one, monkeypatch):
    runs, table = one_by_one
    monkeypatch.setattr(Median, "forward", slowly(FORWARD))
    monkeypatch.setattr(sweep, "OVERHEAD", 1000)
    for after in ("results/median/*seed0*/chunks/*.npz", "results/median/*seed1*/chunks/*.npz"):
        with open("log", "wb") as log:
            job = commands.start(SWEEP, log.fileno(), log.fileno())
        deadline = time.monotonic() + 120
        while not list(Path().glob(after)):
            assert os.waitpid(job, os.WNOHANG) == (0, 0), Path("log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(job, signal.SIGKILL)
        os.waitpid(job, 0)
    assert len(found_so_far()) < 6
    monkeypatch.setattr(Median, "forward", FORWARD)
    status, out, err = commands.call(*SWEEP)
    assert status == 0, err
    assert "run 3 of 6: sampling" in err
    assert found() == runs
    assert without_times(out) == table


def found_so_far():
    return list(Path("results").glob("*/*/metrics-*.json"))


def test_shards_share_it(one_by_one):
    runs, table = one_by_one
    status, out, err = commands.call(*SWEEP, "--shard", "0/2")
    assert status == 0, err
    assert "6 of 6 runs wait for other shards" in err
    assert out == "No finished runs.\n\n"
    status, out, err = commands.call(*SWEEP, "--shard", "1/2")
    assert status == 0, err
    assert found() == runs
    assert without_times(out) == table


def test_ranks_share_it(one_by_one):
    runs, table = one_by_one
    world = torchrun(2, *SWEEP)
    out, err = world.communicate(timeout=180)
    assert world.returncode == 0, err
    assert found() == runs
    assert without_times(out) == table


def test_data_and_networks_are_loaded_once(place, monkeypatch):
    import denoisers
    from bench.data import datasets

    loaded = []
    for module, name in ((datasets, "load"), (denoisers, "load")):
        plain = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda *args, plain=plain, **named: loaded.append(args[0]) or plain(*args, **named),
        )
    status, _, err = commands.call(*SWEEP)
    assert status == 0, err
    assert sorted(loaded) == ["gaussian", "ideal", "median", "mnist5k"]


BROKEN = """
from denoisers.classical import median


def load():
    denoiser = median()
    calls = []

    def forward(x, sigma):
        calls.append(x)
        if len(calls) > 40:
            raise RuntimeError("it is tired")
        return x

    denoiser.forward = forward
    return denoiser
"""


def test_one_that_fails_is_told_and_the_others_go_on(place):
    Path("broken.py").write_text(BROKEN)
    Path("sweep.yaml").write_text("denoisers: [broken.py:load, ideal]\nnum: 24\nsteps: 60\n")
    status, out, err = commands.call("sweep", "sweep.yaml", *SMALL[:4], *SMALL[-4:])
    assert status == 1
    assert err.count("failed: RuntimeError: it is tired") == 2  # when it does, and below the table
    assert "failed: broken.py:load, 24 x 60 of ddpm on ddpm, seed 0: the denoiser" in err
    assert "ideal" in out
    assert "Traceback" not in err


def test_one_that_fails_at_another_rank_is_told_by_the_first(place):
    Path("broken.py").write_text(BROKEN)
    Path("sweep.yaml").write_text("denoisers: [ideal, broken.py:load]\nnum: 24\nsteps: 60\n")
    batches = ["--batch-size", "24"]  # one part each: the second run is the second rank's
    world = torchrun(2, "sweep", "sweep.yaml", *SMALL[:4], *batches, *SMALL[-2:])
    out, err = world.communicate(timeout=180)
    assert world.returncode == 1
    assert "failed: broken.py:load, 24 x 60 of ddpm on ddpm, seed 0: the denoiser" in err
    assert "wait for other shards" not in err
    assert "ideal" in out


WRONG = {
    "error: --seed: is said in the file": ["sweep.yaml", "--seed", "1"],
    "error: --denoiser: ": [],
    "error: --shard: ": ["--denoiser", "ideal", "--shard", "2/2"],
    "error: --denoiser: unknown denoiser 'unett'": ["--denoiser", "unett"],
    "error: --weights: ": ["--denoiser", "unet", "--weights", "nothing"],
    "error: --seed: ": ["--denoiser", "unet", "--seed", "a"],
    "error: FILE: ": ["absent.yaml"],
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_said_before_the_first_image(place, said):
    Path("sweep.yaml").write_text("denoisers: [ideal]\n")
    status, out, err = commands.call("sweep", *WRONG[said])
    assert status == 2
    assert said in err
    assert not Path("results").exists() or not list(Path("results").iterdir())
    assert out == ""


def test_a_cell_that_cannot_be_is_named(place):
    Path("sweep.yaml").write_text("denoisers: [ideal, {name: kbnet, weights: none}]\nnum: 24\n")
    status, _, err = commands.call("sweep", "sweep.yaml", *SMALL[:4])
    assert status == 2
    assert "(kbnet none, 24 x 50 of ddpm on ddpm, seed 0)" in err
    assert not list(Path("results").glob("ideal/*"))


def test_of_cells_that_differ_in_their_seed_one_is_tried():
    from bench import cells

    every = cells.cells({"denoisers": ["ideal", "unet"], "seeds": "1..3"})
    assert [str(cell)[:6] + str(cell.seed) for cell in sweep.first_of_each(every)] == [
        "ideal,1",
        "unet, 1"[:6] + "1",
    ]
    assert Shelf("mnist5k", None).kept
