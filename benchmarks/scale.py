"""What it takes to score many images against very many: seconds and memory of each stage, on synthetic images.

    python benchmarks/scale.py --train 1000000 --num 50000 [--device cuda] [--out results/reference/speed/scale.json]

The images are smooth surfaces and noise, written to a file as `--dataset FOLDER/train.npy` takes it,
and scored in all spaces and under all shifts, in one extractor, without control sets. Memory is what
the process itself holds (anonymous pages); pages of mapped files come and go. Given again with the
same --out and $BENCH_HOME it goes on, and says so in the file: what was measured stays, as the caches
would make it look fast.
"""

import argparse
import functools
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from denoisers import files

BLOCK = 10_000
SAMPLED = 0.05  # seconds between two looks at the memory


class Memory:
    """The most that this process holds, between two questions, in GB: its own pages, and with those of files."""

    def __init__(self) -> None:
        self.own = self.all = 0.0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Look, for ever."""
        while True:
            said = Path("/proc/self/status").read_text()
            own, whole = (field(said, name) for name in ("RssAnon", "VmRSS"))
            self.own, self.all = max(self.own, own), max(self.all, whole)
            time.sleep(SAMPLED)

    def peak(self) -> tuple[float, float]:
        """Both, since the last time."""
        found = self.own, self.all
        self.own = self.all = 0.0
        return found


def field(status: str, name: str) -> float:
    """A line of /proc/self/status, from kB to GB."""
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e9


def blobs(number: int, side: int, seed: int, device: str) -> np.ndarray:
    """uint8 (number, side, side): smooth random surfaces, and noise."""
    generator = torch.Generator(device).manual_seed(seed)
    draw = functools.partial(torch.rand, generator=generator, device=device)
    smooth = F.interpolate(draw(number, 1, 6, 6), (side, side), mode="bicubic")[:, 0]
    return (255 * (smooth + 0.1 * draw(number, side, side))).clamp(0, 255).byte().cpu().numpy()


def write(path: Path, number: int, side: int, seed: int, device: str) -> None:
    """So many of them, block by block."""
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (number, side, side))
    for i in range(0, number, BLOCK):
        file[i : i + BLOCK] = blobs(min(BLOCK, number - i), side, seed + i, device)
    file.flush()


def means(images: np.ndarray) -> np.ndarray:
    """Features that cost nothing, as the time of a network says nothing of the rest: means of 64 squares."""
    side = images.shape[1] // 8
    squares = images.reshape(len(images), 8, side, 8, side)
    return squares.mean((2, 4), dtype=np.float32).reshape(len(images), 64) / 255


def measure_stages(folder: Path, given: argparse.Namespace, keep: Callable[[dict], None]) -> None:
    """A line for each stage, given to `keep` when it is over."""
    from bench.data import datasets
    from bench.scoring import extractors, measure
    from bench.scoring.reference import References
    from denoisers import reading

    reading.allow(2**40)  # as --max-bytes 1T does
    memory, cuda = Memory(), given.device.startswith("cuda")

    def stage(name: str, work: object) -> object:
        memory.peak()
        began = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - began
        own, whole = memory.peak()
        on_gpu = torch.cuda.max_memory_allocated() / 1e9 if cuda else 0.0
        line = {"stage": name, "seconds": seconds, "own_gb": own, "with_files_gb": whole}
        keep(line | {"gpu_gb": on_gpu})
        figures = f"{own:7.2f} GB of its own {whole:7.2f} GB with files {on_gpu:7.2f} GB on the GPU"
        print(f"{name:32}{seconds:9.1f} s {figures}", flush=True)
        return found

    dataset = stage("dataset", lambda: datasets.load(str(folder / "train.npy")))
    stage("digest", lambda: dataset.digest)
    extractor = extractors.suiting(dataset, device=given.device)
    if given.features == "means":
        extractor = extractors.Extractor("means", "1", means, device=given.device, block=BLOCK)
    against = References(dataset).of(extractor)
    images = blobs(given.num, given.side, 10**9, given.device)
    stage("features of the training set", lambda: against.features)
    stage("sums of KID", lambda: against.kid)
    stage("cells", lambda: against.cells)
    for name in ("pixels", "guarded", "features", "directions"):
        stage(f"index: {name}", lambda name=name: getattr(against.spaces, name))
    stage("distances of held-out images", lambda: against.null)
    noise = np.zeros(given.num)
    stage(
        f"scores of {given.num} images",
        lambda: measure.measure(images, noise, against, searched=given.searched),
    )


def main() -> None:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=1_000_000)
    parser.add_argument("--held-out", type=int, default=10_000)
    parser.add_argument("--num", type=int, default=50_000)
    parser.add_argument(
        "--searched", type=int, help="images whose neighbours are searched; all by default"
    )
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--features", choices=("cifar-a", "means"), default="cifar-a")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    found = begin(given)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write(place / "train.npy", given.train, given.side, 0, given.device)
        write(place / "test.npy", given.held_out, given.side, 10**8, given.device)
        measure_stages(place, given, functools.partial(keep, found, given.out))


def begin(given: argparse.Namespace) -> dict:
    """What --out holds of the same question, or a page without stages."""
    from gpu import machine

    asked = {name: value for name, value in vars(given).items() if name != "out"}
    begun = {"machine": machine(given.device), "asked": asked, "stages": []}
    if not given.out or not given.out.exists():
        return begun
    found = json.loads(given.out.read_text())
    same = {key: begun["machine"][key] for key in ("device", "cores", "torch")}
    if found["asked"] != asked or not same.items() <= found["machine"].items():
        raise SystemExit(f"--out: {given.out} is of another question or machine; name a new file")
    return found | {"resumed": True}


def keep(found: dict, out: Path | None, line: dict) -> None:
    """Add what a stage took, unless it was measured before, and write it all."""
    if line["stage"] not in (stage["stage"] for stage in found["stages"]):
        found["stages"].append(line)
    if out:
        files.write(out, lambda file: file.write(json.dumps(found, indent=1).encode() + b"\n"))


if __name__ == "__main__":
    main()
