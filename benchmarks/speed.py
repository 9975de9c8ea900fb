"""Speed of the standard run's parts, each against something measured in the same minute: `make bench`."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import denoisers
from bench.noise import noise
from bench.sampling.generation import Setup, generate
from bench.sampling.samplers import SAMPLERS
from denoisers import schedule

BATCH = 128
STEPS = 10


def median_seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Median time of `work`, after one call that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@torch.inference_mode()
def network() -> None:
    """Images x steps per second of the U-Net alone, in three ways."""
    x, sigma = torch.randn(BATCH, 1, 32, 32), torch.tensor(1.0)
    ways = {
        "float32": (torch.contiguous_format, False),
        "float32, channels_last": (torch.channels_last, False),
        "bfloat16, channels_last": (torch.channels_last, True),
    }
    plain = None
    for name, (layout, fast) in ways.items():
        denoiser = denoisers.load("unet").to(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            rate = BATCH / median_seconds(lambda denoiser=denoiser: denoiser(x, sigma))
        plain = plain or rate
        print(f"unet, {name:<25} {rate:8.0f} images x steps/s   {rate / plain:5.2f} x float32")


def run() -> None:
    """Images x steps per second of the whole sampler, and how much of its time is not the network's."""
    denoiser = denoisers.load("unet").to(memory_format=torch.channels_last)
    options = {"seed": 0, "shape": (1, 32, 32), "pad": 2, "batch_size": BATCH}
    grid = schedule.ddpm_grid(STEPS)
    for dtype in (torch.float32, torch.bfloat16):
        for _ in range(2):  # the first one warms up
            setup = Setup(denoiser, grid, SAMPLERS["ddpm"], dtype=dtype, **options)
            chunk = generate(setup, range(2 * BATCH))
        seconds, inside, _ = chunk.cost
        name = str(dtype).removeprefix("torch.")
        rate = 2 * BATCH * STEPS / seconds
        print(
            f"run,  {name:<25} {rate:8.0f} images x steps/s   {1 - inside / seconds:5.1%} outside the network"
        )


def random_numbers() -> None:
    """Stateless noise against torch's own generator."""
    ids = torch.arange(BATCH)
    ours = median_seconds(lambda: noise(0, ids, 1, (1, 32, 32)))
    torchs = median_seconds(lambda: torch.randn(BATCH, 1, 32, 32))
    print(
        f"noise of {BATCH} images: {1e3 * ours:.1f} ms, torch.randn {1e3 * torchs:.1f} ms   {ours / torchs:5.2f} x"
    )


def start_up() -> None:
    """Commands that must answer at once, against Python's own start."""
    plain = median_seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    for arguments in (["--help"], ["list"]):
        command = [sys.executable, "-m", "bench", *arguments]
        took = median_seconds(
            lambda command=command: subprocess.run(command, check=True, capture_output=True)
        )
        print(f"bench {' '.join(arguments):<8} {took:.2f} s   python itself {plain:.2f} s")


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}")
    network()
    run()
    random_numbers()
    start_up()
