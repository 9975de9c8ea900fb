"""Workers change nothing but the time: the same bytes, the same sentences, nothing left running."""

import functools
import json
import os
import platform
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import cli
from bench.sampling import workers
from bench.sampling.workers import side_by_side
from denoisers import registry
from denoisers.base import Denoiser, Spec

# Five chunks.
RUN = ["run", "--dataset", "mnist5k", "--num", "40", "--steps", "4", "--batch-size", "8"]
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
            raise RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"
            )
        return x * float("nan")


def fragile(how: str = "nan") -> Fragile:
    return Fragile(how)


def test_the_same_bytes_from_one_process_and_from_two(bench):
    folders = [
        bench("--denoiser", "gaussian", "--workers", n, "--out", f"with-{n}")[1] for n in (1, 2)
    ]
    assert folders[0].name == folders[1].name
    for name in ("samples.npz", "trace.csv"):
        one, two = ((folder / name).read_bytes() for folder in folders)
        assert one == two
    one, two = (json.loads(next(folder.glob("metrics-*.json")).read_text()) for folder in folders)
    assert one["argv"] != two["argv"]
    assert all(one[name] == two[name] for name in one.keys() - {"argv", "scored", "seal"})
    costs = [json.loads((folder / "run.json").read_text())["cost"] for folder in folders]
    assert [cost["workers"] for cost in costs] == [1, 2]
    assert all(cost["seconds_per_image"] == cost["seconds"] / 40 > 0 for cost in costs)


@pytest.mark.parametrize(
    ("how", "sentence"), [("nan", "NaN or infinity at step"), ("memory", "--batch-size")]
)
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


USES = """
import resource, torch
from bench.sampling.workers import side_by_side

def faults(task, advance):
    def use():
        return torch.ones(1 << 24).sum()  # 64 MB: 16 384 pages

    for _ in range(10):  # glibc keeps up to seven small remainders, each of which may part two large ones
        use()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        use()
    return [resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]

print(max(count for _, [count] in side_by_side("ab", faults, 2, lambda images: None)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_worker_uses_its_memory_again():
    """In a process of its own: the heap of one that has run other tests is in pieces."""
    found = subprocess.run([sys.executable, "-c", USES], check=True, capture_output=True, text=True)
    assert int(found.stdout) < 5000


def test_a_worker_that_is_killed():
    with pytest.raises(MemoryError, match="--workers"):
        list(
            side_by_side(
                [1, 2], lambda task, advance: os.kill(os.getpid(), signal.SIGKILL), 2, print
            )
        )


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), "by SIGUSR1"),
        (lambda: os._exit(3), "status 3"),
    ],
)
def test_a_worker_that_ends_by_itself(end, said):
    with pytest.raises(ChildProcessError, match=said):
        list(side_by_side([1, 2], lambda task, advance: end(), 2, print))


def test_errors_that_cannot_be_sent_are_quoted():
    class Local(Exception):
        pass

    def work(task, advance):
        raise Local("it broke")

    with pytest.raises(RuntimeError, match="Local: it broke"):
        list(side_by_side([1, 2], work, 2, print))


def test_what_ends_a_program_is_a_failure_in_a_worker():
    with pytest.raises(RuntimeError, match="SystemExit: 0"):
        list(side_by_side([1, 2], lambda task, advance: sys.exit(0), 2, print))


def test_a_result_that_cannot_be_sent_is_said():
    with pytest.raises(Exception, match="pickle"):
        list(side_by_side([1, 2], lambda task, advance: lambda: None, 2, print))


def test_threads_that_a_denoiser_leaves_hold_nobody_up():
    def work(task, advance):
        threading.Thread(target=time.sleep, args=(60,)).start()

    began = time.monotonic()
    assert len(list(side_by_side([1, 2], work, 2, print))) == 2
    assert time.monotonic() - began < 10


def test_copies_that_a_denoiser_makes_hold_nobody_up():
    def work(task, advance):
        copy = os.fork()
        if copy == 0:
            time.sleep(60)
            os._exit(0)
        advance(copy)
        os.kill(os.getpid(), signal.SIGKILL)

    copies, began = [], time.monotonic()
    with pytest.raises(MemoryError):
        list(side_by_side([1, 2], work, 2, copies.append))
    assert time.monotonic() - began < 10
    for copy in copies:
        os.kill(copy, signal.SIGKILL)


@pytest.mark.parametrize("ignored", [False, True])
def test_what_is_closed_leaves_nothing_running(monkeypatch, ignored):
    def work(task, advance):
        advance(os.getpid())
        while task:
            signal.pause()

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        pids = []
        found = side_by_side([1, 0], work, 2, pids.append)
        assert next(found) == (0, None)
        found.close()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not workers.ENDS


class Parent:
    """A copy of this process that gives `work` to three workers, and pauses as soon as the first has finished."""

    def __init__(self, work, end=signal.pause):
        self.life, self.held = os.pipe()  # the end of all that hold it is the end of the pipe
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.life)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                for _ in side_by_side(range(3), functools.partial(self.first, work), 3, print):
                    end()
            finally:
                os._exit(1)
        os.close(self.held)
        with open(self.life, closefd=False) as lines:
            self.workers = [int(line) for line in (lines.readline(), lines.readline()) if line]

    def first(self, work, task, advance):
        if task:
            os.write(self.held, f"{os.getpid()}\n".encode())
            return work()

    def wait_for(self, function):
        """Until the workers are in a function of the kernel."""
        deadline = time.monotonic() + 10
        while any(function not in Path(f"/proc/{pid}/wchan").read_text() for pid in self.workers):
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def nobody_is_left(self, seconds=2):
        """Whether it and all its workers end within that time."""
        ended, _, _ = select.select([self.life], [], [], seconds)
        for pid in () if ended else self.workers:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.life)
        return bool(ended)


@pytest.mark.parametrize("kernel", [True, False])
def test_killed_while_a_large_chunk_is_sent(monkeypatch, kernel):
    if not kernel:  # then the pipe alone says that nobody reads
        monkeypatch.setattr(workers, "end_with", lambda parent: None)
    chunk = np.ones(10_000_000, np.uint8)
    for _ in range(10):
        parent = Parent(lambda: chunk)
        parent.wait_for("pipe_write")
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.nobody_is_left()


class Talkative(Parent):
    """Of workers that report an advance after the other."""

    def first(self, work, task, advance):
        if task:
            os.write(self.held, f"{os.getpid()}\n".encode())
            while True:
                advance(task)


@pytest.mark.parametrize("kernel", [True, False])
def test_stopped_and_then_killed(monkeypatch, kernel):
    """Nobody reads for a while, so that workers wait in the pipe; then the one that is to read is gone."""
    if not kernel:
        monkeypatch.setattr(workers, "end_with", lambda parent: None)
    parent = Talkative(None)
    os.kill(parent.pid, signal.SIGSTOP)
    parent.wait_for("pipe_write")
    time.sleep(float(os.environ.get("BENCH_STOPPED", "0.3")))  # by hand, 15
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.nobody_is_left()


def sleep():
    time.sleep(60)


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]
)
def test_killed_while_workers_work(how):
    parent = Parent(sleep)
    os.kill(parent.pid, how)
    assert parent.nobody_is_left()


@pytest.mark.parametrize("end", [lambda: os._exit(0), lambda: 1 / 0, lambda: sys.exit(0)])
def test_a_parent_that_ends_by_itself(end):
    assert Parent(sleep, lambda: (time.sleep(0.2), end())).nobody_is_left()


def test_how_many(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert workers.choose("auto", "cpu", foreign=False) == 6
    assert workers.choose("auto", "cpu", foreign=True) == 1
    assert workers.choose("3", "cpu", foreign=True) == 3
    assert workers.choose("3", "cuda", foreign=False) == 1
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers.choose("3", "cpu", foreign=False) == 1
