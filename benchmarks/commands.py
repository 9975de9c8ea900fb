"""The parts of a benchmark that run whole commands: protocols, all scores, and what must answer at once."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from timing import Line, in_turns, seconds_of


def protocols(device: str, quick: bool) -> Iterator[Line]:
    """`bench run --denoiser unet` on the clock, with nothing in the cache and with all of it."""
    flags = ["--denoiser", "unet", "--protocol", "quick" if quick else "standard"]
    yield from cold_and_warm(flags, device, quick)


def paper(device: str, quick: bool) -> Iterator[Line]:
    """The longest protocol, on a GPU, which is to sample and score 10 000 images of 1 000 steps."""
    if device.startswith("cuda") and not quick:
        yield from cold_and_warm(
            ["--denoiser", "unet", "--protocol", "paper"], device, quick, ("",)
        )


def scores(device: str, quick: bool) -> Iterator[Line]:
    """All scores of 10 000 images that cost little to make."""
    flags = ["--denoiser", "gaussian", "--num", "300" if quick else "10000", "--steps", "3"]
    yield from cold_and_warm(flags, device, quick)


def cold_and_warm(
    flags: list[str], device: str, quick: bool, caches: tuple[str, ...] = ("cold", "warm")
) -> Iterator[Line]:
    """A run and its parts, first with an empty cache."""
    flags = [*flags, "--device", device, *(["--dataset", "mnist5k"] if quick else [])]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"BENCH_HOME": f"{home}/home"}
        before = None
        for cache in caches:
            words = ["-m", "bench", "run", *flags, "--out", f"{home}/{cache or 'out'}"]
            took = seconds_of(lambda words=words: spoken(words, environment))
            facts = json.loads(next(Path(words[-1]).glob("*/*/run.json")).read_text())
            sampling, memory = facts["cost"]["seconds"], facts["peak_memory_bytes"] / 1e9
            part = f"bench run {' '.join(flags[1:])}".replace(f" --device {device}", "")
            ratio = (None, "") if before is None else (before / took, "cold cache")
            what = f"{cache} cache" if cache else "all of it"
            yield Line(part, what, took, "s", *ratio, memory)
            yield Line(part, "of which sampling", sampling, "s", took / sampling, what, None)
            before = took


def spoken(words: list[str], environment: dict[str, str] | None = None) -> None:
    """Python with these arguments. Raises RuntimeError with its last line if it fails."""
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing said"]
        raise RuntimeError(f"{' '.join(words)[:100]}: {said[-1]}")


def start_up(device: str, quick: bool) -> Iterator[Line]:
    """Commands that must answer at once, beside Python's own start."""
    words = {
        "python itself": ["-c", ""],
        "bench --help": ["-m", "bench", "--help"],
        "bench list": ["-m", "bench", "list"],
    }
    makers = {name: lambda said=said: lambda: spoken(said) for name, said in words.items()}
    for line in in_turns("start", makers, "cpu", 3 if quick else 11, lambda s: s, "s"):
        yield line._replace(memory=None)  # it would be that of this process
