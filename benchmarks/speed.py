"""Every speed on this machine's CPU, each beside something measured in the same minute: `make bench`.

    python benchmarks/speed.py [--quick] [--out FILE]

The parts are those of benchmarks/gpu.py, in sizes for a CPU.
"""

import argparse
from pathlib import Path

from gpu import run

PARTS = ("network", "sampler", "diffusers", "noise", "training", "start")
OUT = Path(__file__).parent.parent / "results" / "reference" / "speed" / "cpu.json"


def main() -> None:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small: whether it runs")
    parser.add_argument("--out", type=Path, default=OUT, help="a JSON file, for docs/speed.md")
    given = parser.parse_args()
    run(list(PARTS), "cpu", given.quick, given.out)


if __name__ == "__main__":
    main()
