"""KBNet_s against spandrel's on the same random weights: throughput, peak memory, largest difference.

make bench    (or: python benchmarks/kbnet.py)
"""

import gc
import multiprocessing
import time
from pathlib import Path

import torch
from spandrel import ModelLoader
from torch import Tensor, nn

from denoisers.kbnet.net import KBNet

CASES = {"32x32, batch 16": (16, 1, 32, 32), "256x256, batch 1": (1, 1, 256, 256)}


def network(name: str) -> nn.Module:
    """Ours or theirs, with the same weights: KBNet_s for grey images."""
    torch.manual_seed(0)
    ours = KBNet().eval()
    return ours if name == "ours" else ModelLoader().load_from_state_dict(ours.state_dict()).model.eval()


def memory(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in GB; Linux only."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1e6


@torch.inference_mode()
def measure(name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[float, float, Tensor]:
    """Images per second, peak memory beyond the weights in GB, and the output."""
    net = network(name).to(memory_format=torch.channels_last)
    gc.collect()
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = memory("VmRSS")
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        out, began, calls = net(image), time.perf_counter(), 0
        while calls < 3 or time.perf_counter() - began < 5:
            net(image)
            calls += 1
    rate = calls * shape[0] / (time.perf_counter() - began)
    return rate, memory("VmHWM") - before, out.float()


def main() -> None:
    """One line per case, network and dtype; a fresh process each, so that peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    print("| images | network | images/s | ratio | peak memory | difference |\n| --- | --- | --- | --- | --- | --- |")
    for case, shape in CASES.items():
        first: tuple[float, float, Tensor] | None = None
        for name, dtype in [("spandrel", torch.float32), ("ours", torch.float32), ("ours", torch.bfloat16)]:
            with context.Pool(1) as pool:
                rate, memory, out = found = pool.apply(measure, (name, dtype, shape))
            first = first or found
            label = f"{name}, {str(dtype).removeprefix('torch.')}"
            difference = (out - first[2]).abs().max()
            line = f"{case} | {label} | {rate:.2f} | {rate / first[0]:.2f} | {memory:.2f} GB | {difference:.1e}"
            print(f"| {line} |", flush=True)


if __name__ == "__main__":
    main()
