"""KBNet_s against spandrel's on the same random weights: throughput, peak memory, largest difference.

make bench    (or: python benchmarks/kbnet.py)

Each network has a process of its own and they are called in turns, so that a slow minute of the
machine is everyone's.
"""

import gc
import multiprocessing
import os
import statistics
import time
from multiprocessing.pool import Pool
from pathlib import Path

import torch
from spandrel import ModelLoader
from torch import Tensor, nn

from bench.sampling.workers import end_with
from denoisers.kbnet.net import KBNet
from denoisers.precision import bfloat16_is_fast

CASES = {"32x32, batch 16": (16, 1, 32, 32), "256x256, batch 1": (1, 1, 256, 256)}
ROUNDS = 7
loaded: list[nn.Module] = []  # the one network of this process


def load(name: str, threads: int, parent: int) -> None:
    """Ours or theirs, with the same weights: KBNet_s for grey images."""
    end_with(parent)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours = KBNet().eval()
    net = (
        ours
        if name == "ours"
        else ModelLoader().load_from_state_dict(ours.state_dict()).model.eval()
    )
    loaded.append(net.to(memory_format=torch.channels_last))


def memory(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in GB; Linux only."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(field)
    )
    return int(line.split()[1]) / 1e6


@torch.inference_mode()
def call(dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[float, float, Tensor]:
    """Seconds, peak memory beyond the weights in GB, and the output."""
    gc.collect()
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, began = memory("VmRSS"), time.perf_counter()
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        out = loaded[0](image)
    seconds = time.perf_counter() - began
    return seconds, memory("VmHWM") - before, out.float()


def compare(shape: tuple[int, ...], pools: dict[tuple[str, torch.dtype], Pool]) -> list[str]:
    """A line of the table for each network."""
    rounds = [
        {key: pool.apply(call, (key[1], shape)) for key, pool in pools.items()}
        for _ in range(ROUNDS + 1)
    ]
    first, warm = next(iter(pools)), rounds[1:]
    lines = []
    for key in pools:
        seconds = statistics.median(found[key][0] for found in warm)
        ratios = sorted(found[first][0] / found[key][0] for found in warm)
        peak, difference = rounds[0][key][1], (rounds[0][key][2] - rounds[0][first][2]).abs().max()
        ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        lines.append(
            f"{key[0]}, {str(key[1])[6:]} | {shape[0] / seconds:.2f} | {ratio} | {peak:.2f} GB | {difference:.1e}"
        )
    return lines


def main() -> None:
    """A table: every case with one thread and with as many as torch takes."""
    context = multiprocessing.get_context("spawn")
    dtypes = [torch.float32, torch.bfloat16] if bfloat16_is_fast("cpu") else [torch.float32]
    keys = [("spandrel", torch.float32), *(("ours", dtype) for dtype in dtypes)]
    print(
        "| images | threads | network | images/s | ratio | peak memory | difference |\n"
        + "| --- " * 7
        + "|"
    )
    for threads in sorted({1, torch.get_num_threads()}):
        pools = {key: context.Pool(1, load, (key[0], threads, os.getpid())) for key in keys}
        for case, shape in CASES.items():
            for line in compare(shape, pools):
                print(f"| {case} | {threads} | {line} |", flush=True)
        for pool in pools.values():
            pool.terminate()


if __name__ == "__main__":
    main()
