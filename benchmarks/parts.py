"""The parts of a benchmark: each measures one thing against another in the same minute, and gives lines.

A part is a function part(device, quick). Those of the network, the sampler, noise and training are
small enough for a CPU; `quick` makes them smaller still, to see that they run.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from timing import Line, Work, in_turns, seconds_of
from torch import Tensor

import denoisers
from bench import experiment
from bench.noise import noise
from bench.sampling import generation
from bench.sampling.execution import Runner, Way
from bench.sampling.plan import SamplingPlan
from denoisers.precision import bfloat16_is_fast

STEPS = "image steps/s"


def on_cuda(device: str) -> bool:
    """Whether the sizes are those of a GPU."""
    return device.startswith("cuda")


def batches(device: str, quick: bool) -> list[int]:
    """Images at once, of the U-Net."""
    if on_cuda(device):
        return [1024] if quick else [1024, 4096]
    return [8] if quick else [128]


def network(device: str, quick: bool) -> Iterator[Line]:
    """The U-Net alone: plain float32, and every other way in which a run could take it."""
    size = batches(device, quick)[0]
    x, sigma = torch.randn(size, 1, 32, 32, device=device), torch.tensor(1.0, device=device)
    ways = {"float32": Way()}
    if on_cuda(device):
        ways["tf32"] = Way("tf32")
    if bfloat16_is_fast(device):
        ways["bfloat16 by autocast"] = Way("bfloat16")
        ways["bfloat16, weights cast once"] = Way("bfloat16", cast=True)
    if on_cuda(device):
        ways["bfloat16, cast, one graph"] = Way("bfloat16", cast=True, graph=True)
        ways["bfloat16, cast, compiled"] = Way("bfloat16", cast=True, compiled=True)
        ways["bfloat16, cast, compiled, one graph"] = Way("bfloat16", True, True, True)
    works = {}
    for name, way in ways.items():
        net = denoisers.load("unet").to(device, memory_format=torch.channels_last)
        works[f"{name}, batch {size}"] = called(Runner(net, way, device), x, sigma)
    yield from in_turns("U-Net", works, device, rounds(quick), lambda n, s: size / s, STEPS)


def called(denoise: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor) -> Work:
    """One call without gradients."""

    @torch.no_grad()
    def work() -> None:
        denoise(x, sigma)

    for _ in range(3):  # what is compiled or recorded
        work()
    return work


def rounds(quick: bool) -> int:
    """How often each is called."""
    return 3 if quick else 11


def sampler(device: str, quick: bool) -> Iterator[Line]:
    """A run's sampler in whole, beside its network alone in the same way: what is lost outside of it."""
    steps = 50 if on_cuda(device) else 5
    for size in batches(device, quick):
        with tempfile.TemporaryDirectory() as folder:
            plan = experiment.resolve(
                "unet",
                SamplingPlan(size, steps),
                dataset_name="mnist5k",
                device=device,
                batch_size=size,
                out=Path(folder),
            )
        setup = plan.setup()
        x = torch.randn(size, 1, 32, 32, device=device)
        alone = called(generation.Metered(setup), x, torch.tensor(1.0, device=device))

        def calls(alone: Work = alone, steps: int = steps) -> None:
            for _ in range(steps):
                alone()

        works = {
            f"its {steps} calls of the network alone": calls,
            "sampler": lambda setup=setup, size=size: generation.generate(setup, range(size)),
        }
        lines = in_turns(
            f"sampler as run, batch {size}",
            works,
            device,
            3 if quick else 5,
            lambda name, took, work=size * steps: work / took,
            STEPS,
        )
        yield from lines
        outside = max(0.0, 1 - lines[1].ratio) if lines[1].ratio else 0.0
        yield Line(lines[1].part, "outside the network", 100 * outside, "%", None, "", None)


def diffusers(device: str, quick: bool) -> Iterator[Line]:
    """A network of diffusers' in its DDIMPipeline and in ours, on the same weights."""
    import diffusers_pipeline

    cases = list(diffusers_pipeline.cases(device, quick=True))
    if on_cuda(device) and not quick:
        cases += [case._replace(batch=64, num=64) for case in cases]
    for case in cases:
        yield from diffusers_pipeline.compare(case, device, 3)


def kbnet(device: str, quick: bool) -> Iterator[Line]:
    """KBNet_s beside spandrel's on the same weights, as they are and as one CUDA graph."""
    from kbnet import CASES, GPU_CASES, awake, captured
    from spandrel import ModelLoader

    from denoisers.kbnet.net import KBNet

    torch.manual_seed(0)
    ours = awake(KBNet()).to(memory_format=torch.channels_last)
    theirs = ModelLoader().load_from_state_dict(ours.state_dict()).model.eval()
    found = GPU_CASES if on_cuda(device) else CASES
    dtypes = [torch.float32, torch.bfloat16] if on_cuda(device) else [torch.float32]
    for dtype, (case, shape) in itertools.product(dtypes, found.items()):
        ours, theirs = ours.to(device, dtype), theirs.to(device, dtype)
        x = torch.rand((1, 1, 16, 16) if quick and not on_cuda(device) else shape, device=device)
        calls = {
            "spandrel": lambda x=x.to(dtype), net=theirs: net(x),
            "ours": lambda x=x, net=ours: net(x),
        }
        with torch.inference_mode():
            if on_cuda(device):
                calls |= {f"{name}, one graph": captured(call) for name, call in calls.items()}
            yield from in_turns(
                f"KBNet_s, {case}, {str(dtype).removeprefix('torch.')}",
                calls,
                device,
                rounds(quick) if on_cuda(device) else 3,
                lambda name, took, size=len(x): size / took,
                "images/s",
            )


def random_numbers(device: str, quick: bool) -> Iterator[Line]:
    """Stateless noise beside torch's own generator."""
    size = 1024 if on_cuda(device) else 128
    ids = torch.arange(size, device=device)
    works = {
        "torch.randn": lambda: torch.randn(size, 1, 32, 32, device=device),
        "noise(seed, ids, step)": lambda: noise(0, ids, 1, (1, 32, 32)),
    }
    part = f"noise of {size} images"
    yield from in_turns(part, works, device, rounds(quick), lambda n, s: 1e3 * s, "ms")


def training(device: str, quick: bool) -> Iterator[Line]:
    """Steps of the U-Net's training with all that belongs to them: as written, and recorded on CUDA."""
    size, steps, images = (256, 20, 60_000) if on_cuda(device) else (16 if quick else 64, 1, 512)
    data = torch.rand(images, 1, 32, 32, device=device) * 2 - 1
    works = {"as written": steps_of("Update", data, size, steps, device)}
    if on_cuda(device):
        works["compiled, recorded as one graph"] = steps_of("Recorded", data, size, steps, device)
    else:
        net = denoisers.load("unet").to(device)
        sigma = torch.tensor(1.0)
        works["the network alone, forward"] = called(net, data[:size], sigma)
    part = f"training step of {size} images"
    yield from in_turns(part, works, device, 3, lambda n, s: 1e3 * s / steps, "ms")


def steps_of(kind: str, data: Tensor, size: int, steps: int, device: str) -> Work:
    """Some steps of the loop of `training.fit`, the first of them made."""
    from denoisers import training as loop
    from denoisers import updates
    from denoisers.unet.net import UNet
    from denoisers.unet.train import V_LOSS

    torch.manual_seed(0)
    net = UNet().to(device, memory_format=torch.channels_last).train()
    update = getattr(updates, kind)(
        updates.State(net, updates.optimizers(net, 1e-3, 4e-3, 0.01)), V_LOSS.loss
    )

    def work(steps: int = steps) -> None:
        order = loop.batches(len(data), size, 0, device)[:steps]
        ahead = loop.drawn_ahead(V_LOSS, size, 0, 0, len(order), device)
        for rows, (levels, generator) in zip(order, ahead, strict=True):
            update(V_LOSS.draw([data[rows]], levels, generator), 1e-3, 0.9)

    work(5 if on_cuda(device) else 1)  # those before the recording, and it
    return work


def scores(device: str, quick: bool) -> Iterator[Line]:
    """All scores of 10 000 images, as benchmarks/scores.py measures them."""
    script = str(Path(__file__).with_name("scores.py"))
    num = 500 if quick else 10_000
    took = seconds_of(lambda: spoken([script, str(num)]))
    yield Line("scores", f"all of them, of {num} images", took, "s", None, "", None)


def protocols(device: str, quick: bool) -> Iterator[Line]:
    """`bench run --denoiser unet` on the clock, with nothing in the cache and with all of it; then at length."""
    protocol, first = "quick" if quick else "standard", None
    data = ["--dataset", "mnist5k"] if quick else []
    chosen = [(protocol, "cold"), (protocol, "warm")]
    if on_cuda(device) and not quick and not os.environ.get("BENCH_NO_PAPER"):
        chosen.append(("paper", "warm"))
    with tempfile.TemporaryDirectory() as home:
        for name, cache in chosen:
            out = Path(home) / f"{name}-{cache}"
            words = [
                "--denoiser",
                "unet",
                "--protocol",
                name,
                "--device",
                device,
                "--out",
                str(out),
            ]
            environment = os.environ | {"BENCH_HOME": f"{home}/home"}
            took = seconds_of(
                lambda w=words, e=environment: spoken(["-m", "bench", "run", *w, *data], e)
            )
            facts = json.loads(next(out.glob("*/*/run.json")).read_text())
            memory = facts["peak_memory_bytes"] / 1e9
            part = f"bench run --protocol {name}, {cache} cache"
            ratio, beside = (
                (first / took, "cold cache")
                if cache == "warm" and first and name == protocol
                else (None, "")
            )
            first = first or took
            yield Line(part, "all of it", took, "s", ratio, beside, memory)
            sampling = facts["cost"]["seconds"]
            yield Line(part, "its sampling", sampling, "s", took / sampling, "all of it", None)


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
    works = {
        "python itself": lambda: spoken(["-c", ""]),
        "bench --help": lambda: spoken(["-m", "bench", "--help"]),
        "bench list": lambda: spoken(["-m", "bench", "list"]),
    }
    yield from in_turns("start", works, "cpu", rounds(quick), lambda n, s: s, "s")


# Name -> what measures it, and the seconds that it may take.
PARTS: dict[str, tuple[Callable[[str, bool], Iterator[Line]], int]] = {
    "network": (network, 90),
    "sampler": (sampler, 90),
    "diffusers": (diffusers, 60),
    "kbnet": (kbnet, 60),
    "noise": (random_numbers, 30),
    "scores": (scores, 60),
    "training": (training, 90),
    "protocols": (protocols, 180),
    "start": (start_up, 60),
}
