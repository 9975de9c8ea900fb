"""Workers change nothing but the time: the same bytes, the same sentences, nothing left running."""

import json
import os
import platform
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import cli, workers
from bench.workers import side_by_side
from denoisers import registry
from denoisers.base import Denoiser, Spec

RUN = ["run", "--dataset", "mnist5k", "--num", "600", "--steps", "3", "--batch-size", "64"]  # three chunks
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="one process elsewhere")


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path, one_thread):
    """Runs `bench ...` in an empty folder; gives (exit status, run folder or None, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench", *RUN, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        folder = Path(said.out.strip().splitlines()[-1]) if said.out else None
        return stopped.value.code or 0, folder, said.err

    return call


class Fragile(Denoiser):
    """Fails as soon as a chunk is on disk, unless there is a file `healed`."""

    spec = Spec("fragile", "sample")

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x, sigma):
        if Path("healed").exists() or not list(Path().rglob("chunks/*.npz")):
            return x / (1 + sigma)
        if self.how == "memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return x * float("nan")


def fragile(how: str = "nan") -> Fragile:
    return Fragile(how)


def test_the_same_bytes_from_one_process_and_from_two(bench):
    folders = [bench("--denoiser", "gaussian", "--workers", n, "--out", f"with-{n}")[1] for n in (1, 2)]
    assert folders[0].name == folders[1].name
    (scores,) = (path.name for path in folders[0].glob("metrics-*.json"))
    for name in ("samples.npz", "trace.csv", scores):
        one, two = ((folder / name).read_bytes() for folder in folders)
        assert one == two
    costs = [json.loads((folder / "run.json").read_text())["cost"] for folder in folders]
    assert [cost["workers"] for cost in costs] == [1, 2]
    assert all(cost["seconds_per_image"] == cost["seconds"] / 600 > 0 for cost in costs)


@pytest.mark.parametrize(("how", "sentence"), [("nan", "NaN or infinity at step"), ("memory", "--batch-size")])
def test_a_failure_says_the_same_and_what_is_finished_stays(bench, monkeypatch, how, sentence):
    monkeypatch.setitem(registry.BUILT_IN, "fragile", f"{__name__}:fragile")
    status, _, err = bench("--denoiser", "fragile", "--option", f"how={how}", "--workers", 2)
    assert status == 1
    assert sentence in err
    assert list(Path().rglob("chunks/*.npz"))
    assert "failed" in next(Path().rglob("run.json")).read_text()


def test_another_number_of_workers_resumes(bench, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "fragile", f"{__name__}:fragile")
    assert bench("--denoiser", "fragile", "--workers", 2)[0] == 1
    Path("healed").touch()
    status, resumed, err = bench("--denoiser", "fragile", "--workers", 1)
    assert status == 0
    assert "resuming: " in err
    whole = bench("--denoiser", "fragile", "--workers", 3, "--out", "whole")[1]
    assert (resumed / "samples.npz").read_bytes() == (whole / "samples.npz").read_bytes()


def test_results_and_progress_arrive():
    def work(task, advance):
        advance(task)
        return np.full(50_000, task), os.getpid()

    seen = []
    found = dict(side_by_side(range(5), work, 3, seen.append))
    assert sorted(seen) == sorted(found) == list(range(5))
    assert all((array == task).all() for task, (array, _) in found.items())
    pids = {pid for _, pid in found.values()}
    assert len(pids) == 5
    assert os.getpid() not in pids
    assert {pid for _, (_, pid) in side_by_side(range(2), work, 1, seen.append)} == {os.getpid()}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_worker_uses_its_memory_again():
    def faults(task, advance):
        def use():
            return torch.ones(1 << 24).sum()  # 64 MB: 16 384 pages

        use()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            use()
        return [resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]

    assert all(count < 5000 for _, [count] in side_by_side("ab", faults, 2, lambda images: None))


def test_a_worker_that_is_killed():
    with pytest.raises(MemoryError, match="--workers"):
        list(side_by_side([1, 2], lambda task, advance: os.kill(os.getpid(), signal.SIGKILL), 2, print))


def test_errors_that_cannot_be_sent_are_quoted():
    class Local(Exception):
        pass

    def work(task, advance):
        raise Local("it broke")

    with pytest.raises(RuntimeError, match="Local: it broke"):
        list(side_by_side([1, 2], work, 2, print))


def test_what_is_closed_leaves_nothing_running():
    def work(task, advance):
        advance(os.getpid())
        while task:
            signal.pause()

    pids = []
    found = side_by_side([1, 0], work, 2, pids.append)
    assert next(found) == (0, None)
    found.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_how_many(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert workers.choose("auto", "cpu", foreign=False) == 6
    assert workers.choose("auto", "cpu", foreign=True) == 1
    assert workers.choose("3", "cpu", foreign=True) == 3
    assert workers.choose("3", "cuda", foreign=False) == 1
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers.choose("3", "cpu", foreign=False) == 1
