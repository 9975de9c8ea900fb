"""KBNet_s against spandrel's on the same random weights: throughput, peak memory, largest difference.

make bench    (or: python benchmarks/kbnet.py [--device cuda [--tiles]])

On the CPU each network has a process of its own and they are called in turns, so that a slow minute
of the machine is everyone's. On a GPU they are timed one after the other, as they are and captured
as a CUDA graph, without TF32, with weights cast once.
"""

import argparse
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
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


def load(name: str, dtype: torch.dtype, threads: int, parent: int) -> None:
    """Ours or theirs, with the same weights, cast once: KBNet_s for grey images."""
    end_with(parent)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours = KBNet().eval()
    net = (
        ours
        if name == "ours"
        else ModelLoader().load_from_state_dict(ours.state_dict()).model.eval()
    )
    loaded.append(net.to(dtype, memory_format=torch.channels_last))


def memory(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process in GB; Linux only."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(field)
    )
    return int(line.split()[1]) / 1e6


@torch.inference_mode()
def call(shape: tuple[int, ...]) -> tuple[float, float, Tensor]:
    """Seconds, peak memory beyond the weights in GB, and the output."""
    gc.collect()
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, began = memory("VmRSS"), time.perf_counter()
    out = loaded[0](image)
    seconds = time.perf_counter() - began
    return seconds, memory("VmHWM") - before, out.float()


def compare(shape: tuple[int, ...], pools: dict[tuple[str, torch.dtype], Pool]) -> list[str]:
    """A line of the table for each network."""
    rounds = [
        {key: pool.apply(call, (shape,)) for key, pool in pools.items()} for _ in range(ROUNDS + 1)
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


def on_cpu() -> None:
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
        pools = {key: context.Pool(1, load, (*key, threads, os.getpid())) for key in keys}
        for case, shape in CASES.items():
            for line in compare(shape, pools):
                print(f"| {case} | {threads} | {line} |", flush=True)
        for pool in pools.values():
            pool.terminate()


# On a GPU: as on the CPU, but with work enough for it.
GPU_CASES = {"32x32, batch 64": (64, 1, 32, 32), "256x256, batch 8": (8, 1, 256, 256)}
CHECKED = 1 << 16  # pixels whose result is compared with that of the CPU
SECONDS = 0.3  # that one timing takes, at least


def milliseconds(run: Callable[[], object]) -> float:
    """Median of some calls that are ready to go."""
    times: list[float] = []
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    until = time.perf_counter() + SECONDS
    while len(times) < 5 or time.perf_counter() < until:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def captured(run: Callable[[], Tensor]) -> Callable[[], object]:
    """The same as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def awake(net: nn.Module) -> nn.Module:
    """`net` with scales above their initial 0.01, so that every branch counts in the difference."""
    for name, parameter in net.named_parameters():
        if name.rsplit(".")[-1] in ("attgamma", "ga1", "beta", "gamma"):
            nn.init.uniform_(parameter.data, 0.1, 0.3)
    return net.eval().requires_grad_(False)


@torch.inference_mode()
def on_gpu(tiles: bool) -> None:
    """A table: every case in float32 and bfloat16, plain and captured; then where the time goes."""
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    ours = awake(KBNet()).to(memory_format=torch.channels_last)
    theirs = ModelLoader().load_from_state_dict(ours.state_dict()).model.eval()
    images = {case: torch.rand(shape) for case, shape in GPU_CASES.items()}
    few = {case: image[: max(1, CHECKED // image[0].numel())] for case, image in images.items()}
    truths = {case: ours(some) - some for case, some in few.items()}
    print(torch.cuda.get_device_name(), torch.__version__)
    print("| images | network | images/s | ratio | peak memory | relative difference |")
    print("| --- " * 6 + "|")
    nets = {"spandrel": theirs.cuda(), "ours": ours.cuda()}
    for dtype in (torch.float32, torch.bfloat16):
        nets = {name: net.to(dtype) for name, net in nets.items()}
        for case, image in images.items():
            first = None
            for name, net in nets.items():
                x = image.cuda().to(dtype if name == "spandrel" else torch.float32)
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                change = (net(x) - x)[: len(few[case])].float().cpu()
                peak = (torch.cuda.max_memory_allocated() - before) / 1e9
                off = ((change - truths[case]).norm() / truths[case].norm()).item()
                for way, run in (("plain", lambda f: f), ("graph", captured)):
                    try:
                        rate = 1000 * len(x) / milliseconds(run(lambda: net(x)))  # noqa: B023
                    except RuntimeError as error:
                        print(f"| {case} | {name}, {way} | {error} |"[:200].replace("\n", " "))
                        continue
                    first = first or rate
                    print(
                        f"| {case} | {name}, {str(dtype)[6:]}, {way} | {rate:.0f} | "
                        f"{rate / first:.2f} | {peak:.2f} GB | {off:.1e} |",
                        flush=True,
                    )
    profile(nets["ours"], images)
    if tiles:
        sweep()


def profile(net: nn.Module, images: dict[str, Tensor]) -> None:
    """Which kernels take the time of one call."""
    for case, image in images.items():
        x = image.cuda()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
            net(x)
            torch.cuda.synchronize()
        print(f"\n{case}, bfloat16")
        for event in sorted(seen.key_averages(), key=lambda e: -e.self_device_time_total)[:14]:
            print(f"{event.self_device_time_total:9.0f} us {event.count:5} x {event.key[:110]}")


def sweep() -> None:
    """The kernel in other tiles, for the largest and the deepest maps of 64 images of 32x32."""
    from denoisers.kbnet import kernels

    print("\n| dtype | channels | way | pixels, pairs, warps | us |\n" + "| --- " * 5 + "|")
    for dtype in (torch.float32, torch.bfloat16):
        for channels, side in ((64, 32), (1024, 2)):
            x, share = (
                torch.randn(64, c, side, side, device="cuda", dtype=dtype).to(
                    memory_format=torch.channels_last
                )
                for c in (channels, 32)
            )
            for way, taps, n in (("mixture", 3, 32), ("5x5", 5, 1)):
                weight = torch.randn(n, channels, 4, taps, taps, device="cuda", dtype=dtype)
                bias = torch.randn(n, channels, device="cuda", dtype=dtype)
                given = x, share if n > 1 else None, weight, bias, channels // 4
                for tile in ((64, 128, 8), (64, 64, 4), (64, 64, 8), (32, 128, 8), (32, 64, 4)):
                    kernels.PIXELS, kernels.PAIRS, kernels.WARPS = tile
                    run = captured(lambda: kernels.mixture(*given))  # noqa: B023
                    microseconds = 1000 * milliseconds(run)
                    print(
                        f"| {str(dtype)[6:]} | {channels} | {way} | {tile} | {microseconds:.1f} |",
                        flush=True,
                    )


def main() -> None:
    """The table of one device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--tiles", action="store_true", help="also time the kernel in other tiles")
    options = parser.parse_args()
    if options.device == "cpu":
        on_cpu()
    else:
        on_gpu(options.tiles)


if __name__ == "__main__":
    main()
