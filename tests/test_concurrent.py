"""The same command, several times at once: all end well, with the same result, and leave nothing over."""

import errno
import os
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import commands
import numpy as np
import pytest

from bench import machine
from bench.runs import Run
from denoisers import files

SMALL = ["--dataset", "mnist5k", "--device", "cpu"]
RUN = [
    "run",
    "--denoiser",
    "median",
    *SMALL,
    "--num",
    "40",
    "--steps",
    "4",
    "--batch-size",
    "8",
    "--workers",
    "1",
]
COMMANDS = {
    "run": RUN,
    "run with workers": [*RUN[:-1], "2"],
    "run again": [*RUN, "--overwrite", "always"],
    "score": ["score", "images.npz", *SMALL],
    "gauge": [
        "gauge",
        "--denoiser",
        "median",
        "--dataset",
        "mnist5k",
        "--num",
        "6",
        "--out",
        "results",
    ],
    "report": ["report", "results", "--format", "html,md,csv,tex,json"],
}


@pytest.fixture
def place(tmp_path, monkeypatch, digits_at_hand, few_control_sets):
    """An empty folder with images to score."""
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", arr_0=digits_at_hand.held_out[:40, ..., None])
    return tmp_path


def start(arguments, number):
    """A copy of this process that runs `bench ...`; what it says goes into files. Its pid."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    out, err = (os.open(f"{number}.{name}", flags) for name in ("out", "err"))
    pid = commands.start(arguments, out, err)
    os.close(out)
    os.close(err)
    return pid


def at_once(command, count, apart):
    """What each of `count` copies of a command prints and says, started `apart` seconds from each other."""
    pids = []
    for number in range(count):
        pids.append(start(COMMANDS[command], number))
        time.sleep(apart)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    said = [Path(f"{number}.err").read_text() for number in range(count)]
    assert codes == [0] * count, said
    return [Path(f"{number}.out").read_text() for number in range(count)], said


def left_over(folder):
    return [
        path
        for path in folder.rglob("*")
        if path.name.endswith((".tmp", ".lock")) or path.name == "chunks"
    ]


TIMES = int(os.environ.get("BENCH_TIMES", "1"))  # by hand, ten


CASES = [("run", 4, 0.3), ("run", 4, 0), ("run with workers", 2, 0), ("run again", 2, 0)]
CASES += [("score", 4, 0), ("gauge", 2, 0), ("report", 2, 0)]


@pytest.mark.parametrize(("command", "count", "apart"), CASES)
def test_all_end_with_the_same_result(place, command, count, apart):
    for _ in range(TIMES):
        if command == "report":
            at_once("score", 1, 0)
        printed, _ = at_once(command, count, apart)
        assert all(printed)
        # The last is a time.
        tables = {str([line.split()[:-1] for line in text.splitlines()]) for text in printed}
        assert len(tables) == 1
        assert not left_over(place)
        shutil.rmtree("results")


def test_the_later_says_that_the_run_is_under_way_and_by_whom(place):
    path = place / "results" / "d" / "id"
    life, end = os.pipe()
    holder = os.fork()
    if holder == 0:
        with Run(path).alone(print):
            os.write(end, b"!")
            signal.pause()
    os.read(life, 1)
    said = []

    def say(line):
        said.append(line)
        os.kill(holder, signal.SIGKILL)

    with Run(path).alone(say), Run(path).alone(pytest.fail):  # the lock of the dead is nobody's
        assert [lock.name for lock in path.parent.iterdir()] == [".id.lock"]
    os.waitpid(holder, 0)
    assert re.fullmatch(
        rf"{path} is under way \(process {holder} of \w+ on \S+, since \S+\); waiting for it",
        said[0],
    )
    assert not left_over(place)


def test_copies_of_a_process_hold_nothing(place):
    path = place / "results" / "d" / "id"
    with Run(path).alone(pytest.fail):
        copy = os.fork()
        if copy == 0:
            time.sleep(60)
            os._exit(0)
    with Run(path).alone(pytest.fail):
        os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)


def test_where_nothing_can_be_locked_work_goes_on(place, monkeypatch):
    def refused(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refused)
    with Run(place / "results" / "d" / "id").alone(pytest.fail):
        pass
    (place / "file").write_text("in the way")
    with Run(place / "file" / "id").alone(pytest.fail):
        pass


def test_a_folder_that_another_process_removes_is_made_again(tmp_path, monkeypatch):
    folder, times = tmp_path / "chunks", []

    def vanishing(path, within=None):
        folder.mkdir(exist_ok=True)
        if len(times) < 3:
            folder.rmdir()
        times.append(path)

    monkeypatch.setattr(files, "make_folder", vanishing)
    files.write(folder / "a", lambda file: file.write(b"whole"))
    assert (folder / "a").read_bytes() == b"whole"


def test_many_may_try_at_once_whether_a_folder_takes_files(tmp_path):
    def tries():
        for _ in range(100):
            machine.check_writable(tmp_path / "out")
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda n: tries(), range(8)))
    assert not list(tmp_path.iterdir())


def test_a_home_that_takes_no_files_costs_time_and_a_line(place, monkeypatch):
    """A file stands for one that can only be read, as no mode stops root."""
    assert commands.call(*RUN, "--out", "usual")[0] == 0
    Path("home").touch()
    monkeypatch.setenv("BENCH_HOME", str(place / "home"))
    status, out, err = commands.call(*RUN)
    assert status == 0, err
    (line,) = (line for line in err.splitlines() if "BENCH_HOME" in line)
    assert "is computed each time (BENCH_HOME chooses another place)" in line
    usual = commands.call(*RUN, "--out", "usual")[1]
    assert [row.split()[:-1] for row in out.splitlines()[:9]] == [
        row.split()[:-1] for row in usual.splitlines()[:9]
    ]
