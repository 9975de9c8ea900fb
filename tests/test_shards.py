"""A run in shards, made in any order, at once, killed, on other machines: the same bytes as in one go."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import commands
import pytest

from bench.shards import Shard
from denoisers.classical import Median
from denoisers.errors import UsageError

RUN = ["run", "--denoiser", "median", "--dataset", "mnist5k", "--device", "cpu"]
RUN += ["--num", "40", "--steps", "4", "--batch-size", "8", "--workers", "1"]  # five chunks
FORWARD = Median.forward
PLACE = Path("results/median")


@pytest.mark.parametrize(
    ("text", "part"), [("0/1", "abcdefg"), ("0/3", "adg"), ("2/3", "cf"), ("8/9", "")]
)
def test_each_shard_has_its_part(text, part):
    assert "".join(Shard.parse(text).of("abcdefg")) == part
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "3", "3/3", "-1/3", "1/0", "a/b", "1/3/5", "0/999999999", "½/3", "0/200000"]
)
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="takes I/N"):
        Shard.parse(text)


@pytest.fixture
def place(tmp_path, monkeypatch, digits_at_hand, few_control_sets):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(folder=PLACE):
    """What a run has come to: images and traces as bytes, scores without when and where."""
    (run,) = folder.iterdir()
    said = json.loads(next(run.glob("metrics-*.json")).read_text())
    for key in ("scored", "argv", "commit", "versions", "seal", "files"):
        said.pop(key)
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert not [
        path
        for path in folder.rglob("*")
        if path.suffix in (".lock", ".tmp") or path.name == "chunks"
    ]
    return {name: (run / name).read_bytes() for name in ("samples.npz", "trace.csv")} | {
        "scores": said
    }


@pytest.fixture
def whole(place):
    """Those of a run in one go, which is removed."""
    assert commands.call(*RUN)[0] == 0
    found = files_of()
    shutil.rmtree("results")
    return found


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_in_any_order(whole, order):
    for index in order:
        status, out, err = commands.call(*RUN, "--shard", f"{index}/3")
        assert status == 0, err
        last = index == order[-1]
        assert (out.startswith("Protocol")) == last
        assert ("is done; " in err) != last
        assert ("bench merge results/median/" in err) != last
    assert files_of() == whole
    status, out, err = commands.call(*RUN, "--shard", "1/3")
    assert "complete: " in err
    assert out.startswith("Protocol")


def begin(name, *arguments):
    """A job in a process of its own, which tells a file of that name; its pid."""
    with open(f"{name}.log", "wb") as log:
        return commands.start([*RUN, *arguments], log.fileno(), log.fileno())


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_all_at_once_and_one_of_them_twice(whole, monkeypatch):
    monkeypatch.setattr(Median, "forward", slowly(FORWARD))
    jobs = [
        begin(name, "--shard", f"{index}/3")
        for name, index in zip("abcd", (0, 1, 1, 2), strict=True)
    ]
    assert [ended(job) for job in jobs] == [0] * 4
    assert files_of() == whole
    waited = ["shard 1/3 of" in Path(f"{name}.log").read_text() for name in "bc"]
    assert sorted(waited) == [False, True]


def slowly(forward):
    """A denoiser that takes its time."""

    def slow(self, x, sigma):
        time.sleep(0.05)
        return forward(self, x, sigma)

    return slow


AGAIN = [["--shard", "0/3"], ["--shard", "0/2"], ["--shard", "0/1"], ["--workers", "2"]]


@pytest.mark.parametrize("again", AGAIN, ids=" ".join)
def test_one_is_killed_and_others_go_on_in_another_way(whole, again, monkeypatch):
    monkeypatch.setattr(Median, "forward", slowly(FORWARD))
    job = begin("killed", "--shard", "0/3")
    deadline = time.monotonic() + 60
    while not list(PLACE.glob("*/chunks/*.npz")):
        assert os.waitpid(job, os.WNOHANG) == (0, 0)
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(job, signal.SIGKILL)
    assert ended(job) == -signal.SIGKILL
    monkeypatch.setattr(Median, "forward", FORWARD)
    assert list(PLACE.glob(".*.shard-0-3.part.lock"))
    status, _, err = commands.call(*RUN, *again)
    assert status == 0, err
    assert "waiting for it" not in err  # the lock of the dead is nobody's
    if again[-1].endswith("/2") or again[-1].endswith("/3"):
        for index in range(1, int(again[-1][-1])):
            assert commands.call(*RUN, "--shard", f"{index}/{again[-1][-1]}")[0] == 0
    assert files_of() == whole


def test_chunks_of_several_machines_are_merged(whole):
    for index in range(3):
        commands.call(*RUN, "--shard", f"{index}/3", "--out", f"machine{index}")
    for index in (1, 2):
        status, _, err = commands.call("merge", "machine0")
        assert (status, "images of machine0/median/" in err) == (2, True), err
        shutil.copytree(f"machine{index}", "machine0", dirs_exist_ok=True)
    status, out, err = commands.call("merge", "machine0")
    assert status == 0, err
    assert out.startswith("Protocol")
    assert files_of(Path("machine0/median")) == whole
    status, _, err = commands.call("merge", "machine0")
    assert status == 2
    assert "no run whose images wait" in err


def test_of_several_runs_the_whole_ones_are_merged(place):
    for seed, shards in {"0": ("0/2", "1/2"), "1": ("0/2",)}.items():
        for number, shard in enumerate(shards):
            commands.call(*RUN, "--seed", seed, "--shard", shard, "--out", f"m{number}")
    shutil.copytree("m1", "m0", dirs_exist_ok=True)
    status, out, err = commands.call("merge", "m0")
    assert status == 0, err
    assert "not merged: " in err
    assert "-seed1-" in err.partition("not merged: ")[2].partition("\n")[0]
    assert "-seed0-" in out
    assert "-seed1-" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*RUN, "--shard", "3/3"], "error: --shard: takes I/N"),
        (
            [*RUN, "--shard", "0/3", "--overwrite", "always"],
            "error: --overwrite: always is not for",
        ),
        (
            [*RUN, "--shard", "0/3", "--overwrite", "never"],
            "error: --overwrite: never is not for",
        ),
        (["merge", "nowhere"], "error: FOLDER"),
        (["merge", "."], "error: FOLDER: . holds no run"),
    ],
)
def test_what_cannot_be_is_one_sentence(place, arguments, said):
    status, _, err = commands.call(*arguments)
    assert status == 2
    assert said in err
    assert not Path("results").exists()


def test_a_merge_asks_for_data_without_a_name(place):
    commands.call(*RUN, "--shard", "0/1", "--out", "m")
    (run,) = Path("m/median").iterdir()
    for path in run.glob("metrics-*"):
        path.unlink()
    said = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(said | {"dataset": "mine@0123456789abcdef"}))
    status, _, err = commands.call("merge", "m")
    assert status == 2
    assert "--dataset" in err
    status, _, err = commands.call("merge", "m", "--dataset", "mnist5k")
    assert status == 2
    assert "error: --dataset: the images are of mine@" in err
