"""Runs that are killed, and what they leave: who still lives, which files, and what the same command makes of it.

python benchmarks/kills.py [AIMED RANDOM STOPPED]    20, 20 and 5 by default, half a minute for
                                                     each; Linux only

An aimed kill strikes while a worker sends a large chunk: the parent is stopped, so that nobody
reads, until a worker waits in the pipe, and then killed. A random one strikes anywhere between the
start and the end of the run. A stopped parent is killed 15 seconds later, whatever its workers have
come to.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from denoisers.files import TEMPORARY

# Chunks of more than a pipe holds.
RUN = (
    "run",
    "--denoiser",
    "unet",
    "--dataset",
    "mnist5k",
    "--num",
    "900",
    "--steps",
    "3",
    "--batch-size",
    "128",
)
SECONDS = 2  # that whoever is left may take to end
STOPPED = 15  # seconds that a parent is stopped before it is killed
PATIENCE = 300  # seconds for what has to come sooner or later


def start(home: Path) -> subprocess.Popen[bytes]:
    """The run, in a session of its own, by which all processes that it starts can be found."""
    command = [
        sys.executable,
        "-m",
        "bench",
        *RUN,
        "--workers",
        "2",
        "--out",
        str(home / "results"),
    ]
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "stdin": subprocess.DEVNULL,
    }
    variables = os.environ | {"BENCH_HOME": str(home / "home"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=variables, start_new_session=True, **quiet)


def living(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, leader = (place / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # it ended in this moment
            continue
        if int(leader) == session and state not in "ZX":
            found.append(int(place.name))
    return found


def wait_for(
    condition: object, process: subprocess.Popen[bytes], seconds: float = PATIENCE
) -> bool:
    """Whether something becomes true before the run ends and the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            return False
        time.sleep(0.005)
    return True


def sending(process: subprocess.Popen[bytes]) -> bool:
    """Whether a worker waits for somebody to read what it sends."""
    for worker in set(living(process.pid)) - {process.pid}:
        try:
            if "pipe_write" in Path(f"/proc/{worker}/wchan").read_text():
                return True
        except OSError:
            continue
    return False


def aim(process: subprocess.Popen[bytes], results: Path, dice: random.Random) -> bool:
    """Wait for the moment when a worker sends a chunk; whether it came."""
    first = dice.randrange(2)  # the first chunks, or one that comes after the first is on disk
    begun = "chunks/*.npz" if first else "run.json"
    if not wait_for(lambda: any(results.rglob(begun)) and len(living(process.pid)) > 1, process):
        return False
    time.sleep(dice.uniform(0, 0.3))
    process.send_signal(signal.SIGSTOP)
    return wait_for(lambda: sending(process), process, 60)


def stop(process: subprocess.Popen[bytes], dice: random.Random) -> bool:
    """Stop the parent some time after its workers have begun, for STOPPED seconds; whether they had."""
    if not wait_for(lambda: len(living(process.pid)) > 1, process):
        return False
    time.sleep(dice.uniform(0, 2))
    process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED)
    return True


def leftovers(folder: Path) -> list[Path]:
    """Temporary files below a folder."""
    return [
        path
        for path in folder.rglob("*")
        if TEMPORARY.fullmatch(path.name) or path.suffix == ".tmp"
    ]


def main(aimed: int, anywhere: int, stopped: int) -> int:
    """Kill, look, resume, compare; a line for each kill and a summary. The exit status."""
    dice, bad = random.Random(0), 0
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        results = home / "results"
        began = time.monotonic()
        # The second one as all that follow, with what the first one has measured.
        for _ in range(2):
            subprocess.run(["rm", "-rf", str(results)], check=True)
            began = time.monotonic()
            if start(home).wait(PATIENCE):
                raise RuntimeError("the run itself fails")
        took = time.monotonic() - began
        whole = next(results.rglob("samples.npz")).read_bytes()
        print(f"{took:.0f} s for a run that nobody kills", flush=True)
        print(
            "| kill | moment | alive after 2 s | half-written, before and after the resume | same bytes |",
            flush=True,
        )
        print("| --- " * 5 + "|", flush=True)
        for number in range(aimed + anywhere + stopped):
            subprocess.run(["rm", "-rf", str(results)], check=True)
            process = start(home)
            if number < aimed:
                moment = "while a worker sends" if aim(process, results, dice) else "MISSED"
            elif number < aimed + stopped:
                moment = f"stopped for {STOPPED} s" if stop(process, dice) else "MISSED"
            else:
                after = dice.uniform(0, took)
                wait_for(lambda: False, process, after)
                moment = f"after {after:.1f} s"
            process.kill()
            process.wait()
            time.sleep(SECONDS)
            alive = living(process.pid)
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
            before = leftovers(home)
            failed = start(home).wait(PATIENCE)
            after_ = leftovers(home)
            same = not failed and next(results.rglob("samples.npz")).read_bytes() == whole
            bad += bool(alive or after_ or not same or moment == "MISSED")
            print(
                f"| {number + 1} | {moment} | {len(alive)} | {len(before)}, {len(after_)} | {same} |",
                flush=True,
            )
    print(f"{number + 1 - bad} of {number + 1} kills left nobody, no file, and the same bytes")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4] or (20, 20, 5))))
