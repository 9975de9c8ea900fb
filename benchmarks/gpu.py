"""Every speed on a GPU in one call of under six minutes, each beside something measured in the same minute.

    python benchmarks/gpu.py [--out results/reference/speed/gpu.json] [--parts network,sampler] [--no-paper]
    python benchmarks/gpu.py --device cpu --quick      whether it runs

Each part has a process and a time of its own: what fails, or takes too long, costs its own lines. In
a copy of the checkout that git does not know, BENCH_COMMIT says which commit it is of.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS = 345  # of all parts together


def measured(name: str, device: str, quick: bool, limit: float) -> tuple[list[dict], str]:
    """The lines of a part, measured in a process of its own, and what went wrong, if anything did."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        lines, log = Path(folder) / "lines", Path(folder) / "log"
        command = [sys.executable, __file__, "--device", device, "--one", name, "--out", str(lines)]
        with log.open("w") as said:
            process = subprocess.Popen(
                command + ["--quick"] * quick, stdout=said, stderr=said, start_new_session=True
            )
            try:
                status = process.wait(limit)
                wrong = "" if status == 0 else last_line(log)
            except subprocess.TimeoutExpired:
                wrong = f"not done after {limit:.0f} s"
            finally:
                end(process)
        found = lines.read_text().splitlines() if lines.exists() else []
    sys.stderr.write(f"{name}: {time.perf_counter() - began:.0f} s\n")
    return [json.loads(line) for line in found], wrong


def end(process: subprocess.Popen) -> None:
    """End a process and those that it started."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    process.wait()


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def one(name: str, device: str, quick: bool, out: Path) -> None:
    """In the process of a part: a line of JSON for each of its lines, as soon as it is known."""
    from parts import PARTS

    from bench import machine as here

    here.choose_device(device)  # which says, too, how float32 is multiplied there
    part, _ = PARTS[name]
    with out.open("a") as file:
        for line in part(device, quick):
            file.write(json.dumps(line._asdict()) + "\n")
            file.flush()


def run(names: list[str], device: str, quick: bool, out: Path | None) -> None:
    """Measure parts one after the other, print their lines, and write all of it as JSON.

    Other parts that `out` holds of this machine stay there.
    """
    from parts import PARTS
    from timing import Line

    found: dict[str, Any] = {"machine": machine(device), "parts": kept(out, device), "failed": {}}
    for text in found["machine"].items():
        print(*text, flush=True)
    until = time.perf_counter() + (SECONDS if device.startswith("cuda") else 3600)
    for name in names:
        limit = min(PARTS[name][1], until - time.perf_counter())
        limit = limit if device.startswith("cuda") else 10 * limit
        lines, wrong = measured(name, device, quick, limit) if limit > 5 else ([], "no time left")
        for line in lines:
            print(Line(**line), flush=True)
        found["parts"][name] = lines
        if wrong:
            found["failed"][name] = wrong
            print(f"{name} failed: {wrong}", flush=True)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(found, indent=1) + "\n")


def kept(out: Path | None, device: str) -> dict[str, list]:
    """The parts in a file, if they were measured on such a device."""
    if out is None or not out.exists():
        return {}
    before = json.loads(out.read_text())
    return before["parts"] if before["machine"]["device"] == machine(device)["device"] else {}


def machine(device: str) -> dict[str, str]:
    """What it was measured on, and when."""
    import torch

    from bench import machine as here

    cuda = device.startswith("cuda")
    memory = (
        f", {torch.cuda.get_device_properties(device).total_memory / 1e9:.0f} GB" if cuda else ""
    )
    return {
        "device": here.device_name(device) + memory,
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": here.commit() or os.environ.get("BENCH_COMMIT", "unknown"),
        "month": time.strftime("%B %Y"),
    }


def main() -> None:
    """What is asked for on the command line."""
    from parts import PARTS

    from bench.machine import choose_device
    from denoisers.errors import UsageError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small: whether it runs")
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="some of them, with commas between"
    )
    parser.add_argument("--no-paper", action="store_true", help="leave out the longest protocol")
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.device, given.quick, given.out)
        return
    names = [name for name in given.parts.split(",") if not (given.no_paper and name == "paper")]
    if unknown := sorted({*names} - {*PARTS}):
        parser.error(f"no part {unknown[0]}; there are {', '.join(PARTS)}")
    try:
        choose_device(given.device)
    except UsageError as error:
        parser.error(f"--device: {error.message}")
    run(names, given.device, given.quick, given.out)


if __name__ == "__main__":
    main()
