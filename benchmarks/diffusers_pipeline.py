"""Networks of diffusers' in its own DDIMPipeline and in our sampler, on the same weights: image steps per second.

python benchmarks/diffusers_pipeline.py [--device cuda] [--quick]    all cases, or the first few

The pipeline runs as its documentation shows it; ours as `bench run --denoiser diffusers` would, with
its workers on a CPU.
"""

import argparse
import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timing import Line, Work, in_turns

from bench import experiment
from bench.sampling import generation, workers
from bench.sampling.plan import SamplingPlan
from denoisers.precision import bfloat16_is_fast


class Case(NamedTuple):
    """A network and how it is asked: `steps` calls of it for `num` images, `batch` at once."""

    channels: int
    attention: bool
    batch: int
    dtype: str
    num: int
    steps: int

    def __str__(self) -> str:
        attention = "attention" if self.attention else "no attention"
        return f"{attention}, {self.channels} channel{'s' * (self.channels > 1)}, batch {self.batch}, {self.dtype}"


def cases(device: str, quick: bool) -> Iterator[Case]:
    """All there are; on a CPU two processes have a batch each, and a run has six images at least."""
    on_cuda = device.startswith("cuda")
    dtypes = ["float32", *["tf32"] * on_cuda, *["bfloat16"] * bfloat16_is_fast(device)]
    kinds = [(1, True)] if quick else [(1, True), (3, False), (3, True), (1, False)]
    batches = ([1024] if quick else [1, 64, 1024]) if on_cuda else ([16] if quick else [1, 16, 64])
    for (channels, attention), batch, dtype in itertools.product(kinds, batches, dtypes):
        num = max(6, batch if on_cuda else 2 * batch)
        # Enough of them that the beginning of a worker, which compiles its convolutions, is little.
        steps = 10 if on_cuda else max(6, min(20, 384 // num))
        yield Case(channels, attention, batch, dtype, num, steps)


def network(channels: int, attention: bool) -> Any:
    """A UNet2DModel for images of 32x32 with random weights, 6.5 M of them with attention."""
    from diffusers import UNet2DModel
    from diffusers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    middle = "Attn" * attention
    return UNet2DModel(
        sample_size=32,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=2,
        block_out_channels=(64, 128, 128),
        down_block_types=("DownBlock2D", f"{middle}DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", f"{middle}UpBlock2D", "UpBlock2D"),
        add_attention=attention,
    )


@contextlib.contextmanager
def saved(channels: int = 1, attention: bool = True) -> Iterator[Path]:
    """Inside, a folder with the network and its DDIMScheduler, as a pipeline saves it."""
    from diffusers import DDIMPipeline, DDIMScheduler

    with tempfile.TemporaryDirectory() as folder:
        pipeline = DDIMPipeline(network(channels, attention), DDIMScheduler())
        pipeline.save_pretrained(folder)
        yield Path(folder)


def theirs(folder: Path, case: Case, device: str) -> Work:
    """The pipeline, with as many threads as torch takes.

    It cannot hand out images in bfloat16, so that there the network alone computes in it, and the
    state stays float32, as ours does. TF32 is what convolutions of float32 are made in unless it is
    forbidden; ours asks to be told.
    """
    from diffusers import DDIMPipeline

    dtype = torch.bfloat16 if case.dtype == "bfloat16" else torch.float32
    pipeline = DDIMPipeline.from_pretrained(folder).to(device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.register_forward_pre_hook(lambda net, given: (given[0].to(dtype), *given[1:]))
    pipeline.unet.register_forward_hook(lambda net, given, out: type(out)(out.sample.float()))

    def work() -> None:
        torch.backends.cudnn.allow_tf32 = case.dtype == "tf32"
        for first in range(0, case.num, case.batch):
            size = min(case.batch, case.num - first)
            pipeline(batch_size=size, num_inference_steps=case.steps, output_type="np")

    return work


def ours(folder: Path, case: Case, device: str, compiling: str = "auto") -> Work:
    """What `bench run` does between its files: chunks of images, by as many workers as it would take."""
    plan = experiment.resolve(
        "diffusers",
        SamplingPlan(case.num, case.steps, "ddim"),
        weights=str(folder),
        dataset_name="mnist5k",
        device=device,
        dtype_name=case.dtype,
        compiling=compiling,
        batch_size=case.batch,
        out=folder,
    )
    chunks = generation.chunks(case.num, case.batch, case.steps)
    generate = functools.partial(generation.generate, plan.setup())
    count = max(1, min(plan.workers, len(chunks)))

    def work() -> None:
        list(workers.side_by_side(chunks, generate, count, lambda images: None))

    return work


def compare(case: Case, device: str, rounds: int) -> list[Line]:
    """A line for the pipeline and one for ours."""
    with saved(case.channels, case.attention) as folder:
        makers = {
            "DDIMPipeline": lambda: theirs(folder, case, device),
            "bench": lambda: ours(folder, case, device),
        }
        if device.startswith("cuda") and case.batch > 64:
            makers["bench --compile on"] = lambda: ours(folder, case, device, "on")
        work = case.num * case.steps
        return in_turns(
            str(case), makers, device, rounds, lambda took: work / took, "image steps/s"
        )


def main() -> None:
    """Two lines for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for case in cases(given.device, given.quick):
        for line in compare(case, given.device, 2):
            print(line, flush=True)


if __name__ == "__main__":
    main()
