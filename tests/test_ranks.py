"""One run by the ranks of torchrun: the same bytes as by one process, whatever their number, and when one dies."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import pytest
import torch
from test_shards import PLACE, RUN, files_of

from bench import ranks
from bench.ranks import World
from denoisers.errors import UsageError

ROOT = Path(__file__).parents[1]
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
SLOW = """
import time

from denoisers.classical import median


def load():
    '''A median filter that takes its time.'''
    denoiser = median()
    forward = denoiser.forward

    def slowly(x, sigma):
        time.sleep(0.3)
        return forward(x, sigma)

    denoiser.forward = slowly
    return denoiser
"""


@pytest.fixture
def said(monkeypatch):
    """Sets what torchrun says in the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return lambda *values: [
        monkeypatch.setenv(name, value) for name, value in zip(NAMES, values, strict=False)
    ]


def test_who_this_is(said):
    assert ranks.world() == World(0, 1, 0)
    said("3")  # some scheduler's
    assert ranks.world() == World(0, 1, 0)
    said("3", "8", "1")
    assert ranks.world() == World(3, 8, 1)
    assert not ranks.world().leads


@pytest.mark.parametrize(
    "values", [("a", "2", "0"), ("2", "2", "0"), ("-1", "2", "0"), ("0", "0", "0")]
)
def test_what_torchrun_would_not_say_is_refused(said, values):
    said(*values)
    with pytest.raises(UsageError, match=f"RANK={values[0]}, WORLD_SIZE={values[1]}"):
        ranks.world()


def test_each_has_a_device_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert World(5, 8, 1).device("auto") == "cuda:1"
    assert World(5, 8, 5).device("cuda") == "cuda:1"
    assert World(5, 8, 1).device("cpu") == "cpu"
    assert World(5, 8, 1).device("cuda:2") == "cuda:2"
    assert World().device("cuda") == "cuda"


def test_a_world_is_not_divided_twice(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said("0", "2", "0")
    for flags, about in (
        (["--shard", "0/2"], "--shard"),
        (["--overwrite", "always"], "--overwrite"),
    ):
        status, _, err = commands.call(*RUN, *flags)
        assert status == 2
        assert f"error: {about}: " in err


def test_what_ranks_do_not_share_the_first_does(said):
    said("0", "2", "0")
    assert "unet" in commands.call("list")[1]
    said("1", "2", "1")
    assert commands.call("list") == (0, "", "")


def torchrun(count, *arguments):
    """A world of processes that run `bench ...`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*launcher, "--nproc-per-node", str(count), "-m", "--", "bench", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pid_of(rank, folder):
    """The process of a rank of the world that works in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            if (
                os.readlink(process / "cwd") == str(folder)
                and f"RANK={rank}".encode() in environment
            ):
                return int(process.name)
        except OSError:  # it has ended, or is another's
            continue
    raise AssertionError(f"there is no rank {rank}")


@pytest.fixture
def alone(tmp_path, monkeypatch, digits_at_hand, few_control_sets):
    """What a run comes to in one process, which is elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert commands.call(*RUN, "--out", "alone")[0] == 0
    return files_of(Path("alone/median"))


@pytest.mark.parametrize("count", [2, 4])
def test_they_make_the_same_and_one_of_them_speaks(alone, count):
    world = torchrun(count, *RUN)
    out, err = world.communicate(timeout=120)
    assert world.returncode == 0, err
    assert files_of() == alone
    assert out.count("Protocol ") == 1
    assert err.splitlines().count("loading PyTorch") == 1


@pytest.mark.parametrize("others", [1, 2])
def test_one_dies_and_another_number_goes_on(alone, tmp_path, others):
    (tmp_path / "slow.py").write_text(SLOW)
    slow = ["slow.py:load" if word == "median" else word for word in RUN]
    world = torchrun(3, *slow)
    while not list(Path("results").glob("*/*/chunks/*.npz")):
        assert world.poll() is None, world.communicate()
        time.sleep(0.02)
    os.kill(pid_of(2, tmp_path), signal.SIGKILL)
    _, err = world.communicate(timeout=120)
    assert world.returncode != 0
    assert re.search("the same command resumes", err)
    there = len(list(Path("results").glob("*/*/chunks/*.npz")))
    assert 0 < there < 5
    world = torchrun(others, *slow)
    _, err = world.communicate(timeout=120)
    assert world.returncode == 0, err
    assert others > 1 or f"resuming: {8 * there} of 40 images" in err
    (folder,) = Path("results").iterdir()
    found = files_of(folder)
    assert found["trace.csv"] == alone["trace.csv"]
    assert (next(folder.glob("*/samples.npz"))).read_bytes() == alone["samples.npz"]
    assert PLACE.name not in str(folder)
