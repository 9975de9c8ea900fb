"""The parts of a benchmark: each measures one thing against another in the same minute, and gives lines.

A part is a function part(device, quick). Those of the network, the sampler, noise and training are
small enough for a CPU; `quick` makes them smaller still, to see that they run.
"""

import functools
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import commands
import torch
from timing import Line, Work, in_turns
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
    return [8] if quick else [32]


def network(device: str, quick: bool) -> Iterator[Line]:
    """The U-Net alone: plain float32, and every other way in which a run could take it."""
    size = batches(device, quick)[-1]
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

    def make(way: Way) -> Work:
        net = denoisers.load("unet").to(device)
        return called(Runner(net, way, device), x, sigma)

    makers = {name: functools.partial(make, way) for name, way in ways.items()}
    part = f"U-Net, batch {size}"
    yield from in_turns(part, makers, device, rounds(device, quick), lambda s: size / s, STEPS)


def called(denoise: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor) -> Work:
    """One call without gradients."""

    @torch.no_grad()
    def work() -> None:
        denoise(x, sigma)

    for _ in range(3):  # what is compiled or recorded
        work()
    return work


def rounds(device: str, quick: bool) -> int:
    """How often each is called."""
    return 11 if on_cuda(device) and not quick else 5


def sampler(device: str, quick: bool) -> Iterator[Line]:
    """A run's sampler in whole, beside its network alone in the same way: what is lost outside of it."""
    steps = 50 if on_cuda(device) else 5
    ways = [(size, "auto") for size in batches(device, quick)]
    if on_cuda(device):
        ways.append((ways[-1][0], "on"))
    for size, compiling in ways:
        with tempfile.TemporaryDirectory() as folder:
            plan = experiment.resolve(
                "unet",
                SamplingPlan(size, steps),
                dataset_name="mnist5k",
                device=device,
                compiling=compiling,
                batch_size=size,
                out=Path(folder),
            )
        yield from whole_and_alone(plan, quick)


def whole_and_alone(plan: experiment.Plan, quick: bool) -> list[Line]:
    """The sampler of a run of one batch, and the same calls of its network alone."""
    size, steps, device, setup = plan.batch_size, plan.sampling.steps, plan.device, plan.setup()
    x, sigma = torch.randn(size, *setup.shape, device=device), torch.tensor(1.0, device=device)
    costs = []

    def alone() -> Work:
        call = called(plan.runner, x, sigma)
        return lambda: [call() for _ in range(steps)]

    def whole() -> Work:
        return lambda: costs.append(generation.generate(setup, range(size)).cost)

    network, sampler = in_turns(
        f"{steps} steps as run ({way_of(plan)}), batch {size}",
        {"its calls of the network alone": alone, "sampler": whole},
        plan.device,
        3 if quick else 5,
        lambda took: size * steps / took,
        STEPS,
    )
    sampler = sampler._replace(memory=add(network.memory, sampler.memory))
    outside = statistics.median(1 - inside / seconds for seconds, inside, _ in costs[1:])
    share = Line(sampler.part, "outside the network", 100 * outside, "%", None, "", None)
    return [network, sampler, share]


def way_of(plan: experiment.Plan) -> str:
    """How a run's networks compute, in a few words."""
    facts = plan.runner.to_json()
    return ", ".join([facts["dtype"], *(key for key, value in facts.items() if value is True)])


def add(one: float | None, other: float | None) -> float | None:
    """The sum of two that are known."""
    return None if one is None or other is None else one + other


def diffusers(device: str, quick: bool) -> Iterator[Line]:
    """A network of diffusers' in its DDIMPipeline and in ours, on the same weights."""
    import diffusers_pipeline

    for case in diffusers_pipeline.cases(device, quick=True):
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
    if quick and not on_cuda(device):
        found = {"16x16, batch 1": (1, 1, 16, 16)}
    dtypes = [torch.float32, torch.bfloat16] if on_cuda(device) else [torch.float32]
    for dtype, (case, shape) in itertools.product(dtypes, found.items()):
        ours, theirs = ours.to(device, dtype), theirs.to(device, dtype)
        x = torch.rand(shape, device=device)
        calls = {
            "spandrel": lambda x=x.to(dtype), net=theirs: net(x),
            "ours": lambda x=x, net=ours: net(x),
        }
        makers = {name: lambda call=call: call for name, call in calls.items()}
        if on_cuda(device):
            makers |= {
                f"{name}, one graph": functools.partial(captured, call)
                for name, call in calls.items()
            }
        with torch.inference_mode():
            yield from in_turns(
                f"KBNet_s, {case}, {str(dtype).removeprefix('torch.')}",
                makers,
                device,
                rounds(device, quick),
                lambda took, size=len(x): size / took,
                "images/s",
            )


def random_numbers(device: str, quick: bool) -> Iterator[Line]:
    """Stateless noise beside torch's own generator."""
    size = 1024 if on_cuda(device) else 128
    ids = torch.arange(size, device=device)
    makers = {
        "torch.randn": lambda: lambda: torch.randn(size, 1, 32, 32, device=device),
        "noise(seed, ids, step)": lambda: lambda: noise(0, ids, 1, (1, 32, 32)),
    }
    part = f"noise of {size} images"
    yield from in_turns(part, makers, device, rounds(device, quick), lambda s: 1e3 * s, "ms")


def training(device: str, quick: bool) -> Iterator[Line]:
    """Steps of the U-Net's training with all that belongs to them: as written, and recorded on CUDA."""
    size, steps, images = (256, 20, 60_000) if on_cuda(device) else (8 if quick else 32, 1, 512)
    data = torch.rand(images, 1, 32, 32, device=device) * 2 - 1

    def forward() -> Work:
        net = denoisers.load("unet").to(device, memory_format=torch.channels_last)
        call = called(net, data[:size], torch.tensor(1.0, device=device))
        return lambda: [call() for _ in range(steps)]

    written = {"step as written": lambda: steps_of("Update", data, size, steps, device)}
    if on_cuda(device):
        name = "step compiled and recorded"
        makers = written | {name: lambda: steps_of("Recorded", data, size, steps, device)}
    else:
        makers = {"the network alone, forward": forward} | written
    part = f"training, {size} images"
    yield from in_turns(part, makers, device, 3, lambda s: 1e3 * s / steps, "ms/step")


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


# Name -> what measures it, and the seconds that it may take on a GPU.
PARTS: dict[str, tuple[Callable[[str, bool], Iterator[Line]], int]] = {
    "network": (network, 100),
    "sampler": (sampler, 120),
    "diffusers": (diffusers, 120),
    "protocols": (commands.protocols, 90),
    "kbnet": (kbnet, 60),
    "noise": (random_numbers, 30),
    "training": (training, 100),
    "scores": (commands.scores, 90),
    "paper": (commands.paper, 180),
    "start": (commands.start_up, 60),
}
